//! Delivery directives of Low-Latency HLS: the `_HLS_` part of a media playlist's query (RFC 8216bis 6.2.5).
//!
//! Pure, and shared by the origin, which acts on them, and by caches, which need one key for one answer: directives in
//! another order, said twice, or among parameters that mean nothing here are the same directives.

/// What a playlist request asks for beyond the playlist as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Directives {
    /// `_HLS_msn`: hold until this segment is listed.
    pub msn: Option<u64>,
    /// `_HLS_part`: hold until this part of it is listed.
    pub part: Option<u32>,
    /// `_HLS_skip`: a delta update. `YES` and `v2` are one, since no date ranges are skipped here.
    pub skip: bool,
}

/// Why a query is answered 400 (STANDARDS 1.41).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A value that is no decimal number, or too large for one.
    #[error("_HLS_msn and _HLS_part are decimal numbers")]
    Number,
    /// One directive with two values.
    #[error("a directive is given twice with different values")]
    Twice,
    /// A part without its segment.
    #[error("_HLS_part needs _HLS_msn")]
    PartWithoutSegment,
}

impl Malformed {
    /// The cause in a line, for the answer's body.
    pub const fn text(self) -> &'static str {
        match self {
            Malformed::Number => "_HLS_msn and _HLS_part are decimal numbers\n",
            Malformed::Twice => "a directive is given twice with different values\n",
            Malformed::PartWithoutSegment => "_HLS_part needs _HLS_msn\n",
        }
    }
}

impl Directives {
    /// Reads a query. Parameters without a meaning here, and ways of skipping that are not known, are ignored.
    ///
    /// # Errors
    /// [`Malformed`], which is answered 400.
    pub fn parse(query: Option<&str>) -> Result<Self, Malformed> {
        let mut directives = Directives::default();
        for pair in query.unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "_HLS_msn" => once(&mut directives.msn, number(value)?)?,
                "_HLS_part" => {
                    once(&mut directives.part, number(value)?.try_into().map_err(|_| Malformed::Number)?)?;
                }
                "_HLS_skip" => directives.skip |= matches!(value, "YES" | "v2"),
                _ => {}
            }
        }
        if directives.part.is_some() && directives.msn.is_none() {
            return Err(Malformed::PartWithoutSegment);
        }
        Ok(directives)
    }

    /// Whether the playlist is asked for as it is.
    pub fn is_empty(&self) -> bool {
        *self == Directives::default()
    }

    /// The one spelling of these directives, for a cache's key and for the request upstream; `None` without any.
    pub fn canonical_query(&self) -> Option<String> {
        let mut words = Vec::with_capacity(3);
        words.extend(self.msn.map(|msn| format!("_HLS_msn={msn}")));
        words.extend(self.part.map(|part| format!("_HLS_part={part}")));
        words.extend(self.skip.then(|| "_HLS_skip=YES".to_owned()));
        (!words.is_empty()).then(|| words.join("&"))
    }
}

fn once<T: PartialEq>(slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match slot.replace(value) {
        Some(before) if slot.as_ref() != Some(&before) => Err(Malformed::Twice),
        _ => Ok(()),
    }
}

fn number(text: &str) -> Result<u64, Malformed> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(Malformed::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// STANDARDS 1.41: what is malformed; all else has one canonical spelling.
    #[test]
    fn queries_and_their_one_spelling() {
        for (query, want) in [
            (None, Ok(None)),
            (Some(""), Ok(None)),
            (Some("token=1&_HLS_foo=3&_HLS_skip=no"), Ok(None)),
            (Some("_HLS_msn=5"), Ok(Some("_HLS_msn=5"))),
            (Some("_HLS_part=1&x=y&_HLS_msn=5&_HLS_msn=05"), Ok(Some("_HLS_msn=5&_HLS_part=1"))),
            (Some("_HLS_skip=v2&_HLS_msn=5"), Ok(Some("_HLS_msn=5&_HLS_skip=YES"))),
            (Some("_HLS_skip=YES"), Ok(Some("_HLS_skip=YES"))),
            (Some("_HLS_part=0"), Err(Malformed::PartWithoutSegment)),
            (Some("_HLS_msn=5&_HLS_msn=6"), Err(Malformed::Twice)),
            (Some("_HLS_msn=5&_HLS_part=1&_HLS_part=2"), Err(Malformed::Twice)),
            (Some("_HLS_msn="), Err(Malformed::Number)),
            (Some("_HLS_msn"), Err(Malformed::Number)),
            (Some("_HLS_msn=-1"), Err(Malformed::Number)),
            (Some("_HLS_msn=+1"), Err(Malformed::Number)),
            (Some("_HLS_msn=99999999999999999999"), Err(Malformed::Number)),
            (Some("_HLS_msn=1&_HLS_part=4294967296"), Err(Malformed::Number)),
        ] {
            let got = Directives::parse(query).map(|d| d.canonical_query());
            assert_eq!(got, want.map(|w| w.map(str::to_owned)), "{query:?}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_spelling_says_the_same(query in "((_HLS_(msn|part|skip)|a)=(YES|[0-9]{0,3})&?){0,5}") {
            if let Ok(directives) = Directives::parse(Some(&query)) {
                let canonical = directives.canonical_query();
                prop_assert_eq!(Directives::parse(canonical.as_deref()), Ok(directives));
                prop_assert_eq!(canonical.is_none(), directives.is_empty());
            }
        }
    }
}

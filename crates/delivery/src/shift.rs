//! Time shift: the part of a manifest's query that asks for another time than now.
//!
//! Pure, and shared by the origin, which acts on it, and by caches, which need one key for one answer. The names and
//! their meaning are those of AWS Elemental MediaPackage, so that its users' URLs stay as they are.

use millstream_media::time::UtcTime;

/// Longest value read, in bytes.
const MAX_VALUE: usize = 64;
/// Seconds of the epoch from which on a time is none: those of 2242, in either form.
const TIME_SECONDS: i64 = 1 << 33;
/// Most seconds a depth or a delay may have: 14 days.
pub const MAX_SECONDS: u32 = 14 * 86_400;

/// Which time a manifest is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shift {
    /// `start`: the list begins here.
    pub start: Option<UtcTime>,
    /// `end`: the list ends here.
    pub end: Option<UtcTime>,
    /// `time_delay`: everything so many seconds later.
    pub delay_seconds: u32,
    /// `dvr` or `manifest_window_seconds`: the live list, this deep.
    pub depth: Option<Depth>,
}

/// How deep a list that moves with the time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depth {
    /// As deep as the channel allows.
    Whole,
    /// So many seconds, or as deep as the channel allows.
    Seconds(u32),
}

/// Why a query is answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No such time.
    #[error("start and end are times of RFC 3339 or seconds of the epoch\n")]
    Time,
    /// No number of seconds, or too many.
    #[error("time_delay, dvr and manifest_window_seconds are whole seconds, at most 1209600\n")]
    Seconds,
    /// One parameter with two values.
    #[error("a parameter is given twice with different values\n")]
    Twice,
    /// Nothing lies between.
    #[error("end must be later than start\n")]
    Order,
    /// An end alone.
    #[error("end needs start\n")]
    EndWithoutStart,
    /// A depth with a start.
    #[error("dvr and manifest_window_seconds do not go with start\n")]
    DepthWithStart,
}

impl Malformed {
    /// The cause in a line, for the answer's body.
    pub const fn text(self) -> &'static str {
        match self {
            Malformed::Time => "start and end are times of RFC 3339 or seconds of the epoch\n",
            Malformed::Seconds => "time_delay, dvr and manifest_window_seconds are whole seconds, at most 1209600\n",
            Malformed::Twice => "a parameter is given twice with different values\n",
            Malformed::Order => "end must be later than start\n",
            Malformed::EndWithoutStart => "end needs start\n",
            Malformed::DepthWithStart => "dvr and manifest_window_seconds do not go with start\n",
        }
    }
}

impl Shift {
    /// Reads a query. Parameters without a meaning here are ignored.
    ///
    /// # Errors
    /// [`Malformed`], which is answered 400.
    pub fn parse(query: Option<&str>) -> Result<Self, Malformed> {
        let (mut start, mut end, mut delay, mut depth) = (None, None, None, None);
        for pair in query.unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "start" => once(&mut start, time(value)?)?,
                "end" => once(&mut end, time(value)?)?,
                "time_delay" => once(&mut delay, seconds(value)?)?,
                "dvr" if value.is_empty() => once(&mut depth, Depth::Whole)?,
                "dvr" | "manifest_window_seconds" => once(&mut depth, Depth::Seconds(seconds(value)?))?,
                _ => {}
            }
        }
        match (start, end) {
            (None, Some(_)) => return Err(Malformed::EndWithoutStart),
            (Some(start), Some(end)) if end <= start => return Err(Malformed::Order),
            (Some(_), _) if depth.is_some() => return Err(Malformed::DepthWithStart),
            _ => {}
        }
        Ok(Shift { start, end, delay_seconds: delay.unwrap_or(0), depth })
    }

    /// Whether the manifest is asked for as it is.
    pub fn is_empty(&self) -> bool {
        *self == Shift::default()
    }

    /// The one spelling of these parameters: a cache's key, the request upstream, and what a manifest's URLs carry on.
    /// `None` without any.
    pub fn canonical_query(&self) -> Option<String> {
        let mut words = Vec::with_capacity(3);
        words.extend(self.start.map(|t| format!("start={}", Epoch(t))));
        words.extend(self.end.map(|t| format!("end={}", Epoch(t))));
        words.extend((self.delay_seconds > 0).then(|| format!("time_delay={}", self.delay_seconds)));
        words.extend(self.depth.map(|depth| match depth {
            Depth::Whole => "dvr".to_owned(),
            Depth::Seconds(seconds) => format!("dvr={seconds}"),
        }));
        (!words.is_empty()).then(|| words.join("&"))
    }
}

/// Seconds of the epoch, with milliseconds where there are any.
struct Epoch(UtcTime);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, ms) = (self.0.as_millis().div_euclid(1000), self.0.as_millis().rem_euclid(1000));
        if ms == 0 { write!(f, "{seconds}") } else { write!(f, "{seconds}.{ms:03}") }
    }
}

fn once<T: PartialEq>(slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match slot.replace(value) {
        Some(before) if slot.as_ref() != Some(&before) => Err(Malformed::Twice),
        _ => Ok(()),
    }
}

fn seconds(text: &str) -> Result<u32, Malformed> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|s| digits && *s <= MAX_SECONDS).ok_or(Malformed::Seconds)
}

/// To the millisecond. `%3A` and `%2B` are what browsers make of a colon and a plus.
fn time(text: &str) -> Result<UtcTime, Malformed> {
    if text.len() > MAX_VALUE {
        return Err(Malformed::Time);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !whole.is_empty() && digits(whole) && digits(fraction) {
        let ms = format!("{fraction:0<3}").get(..3).and_then(|ms| ms.parse::<i64>().ok());
        let whole = whole.parse::<i64>().ok().filter(|s| *s < TIME_SECONDS);
        return whole.zip(ms).map(|(s, ms)| UtcTime::from_millis(s * 1000 + ms)).ok_or(Malformed::Time);
    }
    let plain = text.replace("%3A", ":").replace("%3a", ":").replace("%2B", "+").replace("%2b", "+");
    // A plus that was not escaped may have become a blank on the way.
    let plain = plain.replace("%20", "+").replace(' ', "+");
    let at = UtcTime::from_iso8601(&plain).map(UtcTime::as_millis).unwrap_or(-1);
    if (0..TIME_SECONDS * 1000).contains(&at) { Ok(UtcTime::from_millis(at)) } else { Err(Malformed::Time) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_and_their_one_spelling() {
        for (query, want) in [
            (None, Ok(None)),
            (Some("a=b&_HLS_msn=4"), Ok(None)),
            (Some("start=1795386300"), Ok(Some("start=1795386300"))),
            (Some("start=2026-11-22T22:25:00Z"), Ok(Some("start=1795386300"))),
            (Some("start=2026-11-22T23%3A25%3A00.5%2B01:00"), Ok(Some("start=1795386300.500"))),
            (Some("end=1795386301.25&start=1795386300"), Ok(Some("start=1795386300&end=1795386301.250"))),
            (Some("time_delay=60&start=5&start=5.0"), Ok(Some("start=5&time_delay=60"))),
            (Some("time_delay=0"), Ok(None)),
            (Some("dvr"), Ok(Some("dvr"))),
            (Some("dvr="), Ok(Some("dvr"))),
            (Some("manifest_window_seconds=600"), Ok(Some("dvr=600"))),
            (Some("dvr=600&time_delay=5"), Ok(Some("time_delay=5&dvr=600"))),
            (Some("dvr=1209601"), Err(Malformed::Seconds)),
            (Some("time_delay=-1"), Err(Malformed::Seconds)),
            (Some("time_delay"), Err(Malformed::Seconds)),
            (Some("start="), Err(Malformed::Time)),
            (Some("start=yesterday"), Err(Malformed::Time)),
            (Some("start=99999999999999"), Err(Malformed::Time)),
            (Some("start=2260-11-22T22:25:00Z"), Err(Malformed::Time)),
            (Some("start=5&start=6"), Err(Malformed::Twice)),
            (Some("end=5"), Err(Malformed::EndWithoutStart)),
            (Some("start=5&end=5"), Err(Malformed::Order)),
            (Some("start=5&dvr"), Err(Malformed::DepthWithStart)),
        ] {
            let got = Shift::parse(query).map(|s| s.canonical_query());
            assert_eq!(got, want.map(|w: Option<&str>| w.map(str::to_owned)), "{query:?}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_spelling_says_the_same(query in "((start|end|time_delay|dvr)=([0-9.]{0,6})&?){0,4}") {
            if let Ok(shift) = Shift::parse(Some(&query)) {
                let canonical = shift.canonical_query();
                prop_assert_eq!(Shift::parse(canonical.as_deref()), Ok(shift));
                prop_assert_eq!(canonical.is_none(), shift.is_empty());
            }
        }
    }
}

//! What a viewer presents: parameters of the URL, or cookies (STANDARDS 7.2, 7.3, 7.7, 7.8).

use std::borrow::Cow;

/// Where a signature was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the URL's query.
    Query,
    /// In cookies.
    Cookie,
}

/// A signature and what belongs to it, as it was sent. Nothing of it is verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented<'a> {
    /// Where it was found.
    pub place: Place,
    /// A custom policy, encoded.
    pub policy: Option<Cow<'a, str>>,
    /// The end of a canned policy, in seconds of the epoch.
    pub expires: Option<Cow<'a, str>>,
    /// The signature, encoded.
    pub signature: Option<Cow<'a, str>>,
    /// Which key made it.
    pub key_pair_id: Option<Cow<'a, str>>,
    /// The hash it was made over: `SHA1` if it is not said.
    pub hash: Option<Cow<'a, str>>,
    /// One of them is there twice, so that it may be read in two ways.
    pub ambiguous: bool,
}

/// The names of the parameters; a URL of one's own must not use them.
const PARAMETERS: [&str; 5] = ["Policy", "Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm"];
const COOKIE_PREFIX: &str = "CloudFront-";

/// Whether a pair `name=value` of a query belongs to a signature.
pub fn is_reserved(pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    PARAMETERS.contains(&name)
}

/// Whether a pair of a query is said by a player to the server and not by whoever wrote the URL: directives of
/// Low-Latency HLS (RFC 8216bis 6.2.5.1 reserves `_HLS_`) and CMCD. Such a pair does not change what may be seen.
pub fn is_of_player(pair: &str) -> bool {
    pair.starts_with("_HLS_") || pair == "CMCD" || pair.starts_with("CMCD=")
}

/// The query without pairs that `left_out` names; `None` if nothing stays.
pub fn without<'a>(query: Option<&'a str>, left_out: fn(&str) -> bool) -> Option<Cow<'a, str>> {
    let query = query?;
    if !query.split('&').any(left_out) {
        return Some(Cow::Borrowed(query));
    }
    let mut kept = String::with_capacity(query.len());
    let mut first = true;
    for pair in query.split('&').filter(|pair| !left_out(pair)) {
        if !first {
            kept.push('&');
        }
        kept.push_str(pair);
        first = false;
    }
    (!first).then_some(Cow::Owned(kept))
}

impl<'a> Presented<'a> {
    fn new(place: Place) -> Self {
        Presented {
            place,
            policy: None,
            expires: None,
            signature: None,
            key_pair_id: None,
            hash: None,
            ambiguous: false,
        }
    }

    /// What a query presents; `None` if none of the reserved parameters is in it, so that cookies count (STANDARDS 7.7).
    pub fn in_query(query: &'a str) -> Option<Self> {
        let mut presented = Presented::new(Place::Query);
        let mut any = false;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let Some(slot) = presented.slot(name) {
                let again = slot.replace(percent_decoded(value)).is_some();
                presented.ambiguous |= again;
                any = true;
            }
        }
        any.then_some(presented)
    }

    /// What the values of `Cookie` headers present; `None` without any of ours. Where a name is there twice, the first
    /// counts: clients send the cookie of the longer path first (RFC 6265 5.4).
    pub fn in_cookies(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut presented = Presented::new(Place::Cookie);
        let mut any = false;
        for pair in headers.into_iter().flat_map(|header| header.split(';')) {
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            let Some(slot) = name.strip_prefix(COOKIE_PREFIX).and_then(|name| presented.slot(name)) else { continue };
            if slot.is_none() {
                *slot = Some(percent_decoded(value));
            }
            any = true;
        }
        any.then_some(presented)
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<Cow<'a, str>>> {
        Some(match name {
            "Policy" => &mut self.policy,
            "Expires" => &mut self.expires,
            "Signature" => &mut self.signature,
            "Key-Pair-Id" => &mut self.key_pair_id,
            "Hash-Algorithm" => &mut self.hash,
            _ => return None,
        })
    }
}

/// Hides the signature: it opens what it covers to whoever has it.
impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented").field("place", &self.place).field("key_pair_id", &self.key_pair_id).finish()
    }
}

/// A value of a query. Its characters need no escapes, but some clients escape `~`.
fn percent_decoded(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let bytes = value.as_bytes();
    let mut out = String::with_capacity(value.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|pair| {
            let digit = |b: u8| char::from(b).to_digit(16);
            let &[high, low] = pair else { return None };
            u8::try_from(digit(high)? * 16 + digit(low)?).ok().filter(u8::is_ascii)
        });
        match escaped {
            Some(byte) => out.push(char::from(byte)),
            // An escape of something else is none of ours: kept as it is, it will be refused.
            None => out.push(if byte.is_ascii() { char::from(*byte) } else { '\u{fffd}' }),
        }
        at += if escaped.is_some() { 3 } else { 1 };
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_reserved_parameter_counts_as_presented_in_the_url() {
        for name in PARAMETERS {
            let query = format!("a=b&{name}=x");
            assert_eq!(Presented::in_query(&query).map(|p| p.place), Some(Place::Query), "{name}");
        }
        assert_eq!(Presented::in_query("a=b&policy=x&_HLS_msn=3"), None, "names are case-sensitive");
    }

    #[test]
    fn queries_lose_what_is_not_theirs() {
        for (query, left) in [
            (None, None),
            (Some("a=b&c"), Some("a=b&c")),
            (Some("a=b&Signature=x&c&Policy&Key-Pair-Id=K"), Some("a=b&c")),
            (Some("Expires=1&Signature=x&Key-Pair-Id=K&Hash-Algorithm=SHA256"), None),
            (Some("SignatureX=1&Expires=5"), Some("SignatureX=1")),
        ] {
            assert_eq!(without(query, is_reserved).as_deref(), left, "{query:?}");
        }
        assert_eq!(without(Some("_HLS_msn=3&a=1&CMCD=bl%3D3&_HLS_part=2"), is_of_player).as_deref(), Some("a=1"));
        assert_eq!(without(Some("CMCDX=3"), is_of_player).as_deref(), Some("CMCDX=3"));
    }

    #[test]
    fn cookies_of_several_headers_and_the_first_of_two() {
        let headers =
            ["a=b; CloudFront-Policy=P; CloudFront-Signature=S", "CloudFront-Key-Pair-Id=K;CloudFront-Policy=Q"];
        let presented = Presented::in_cookies(headers).unwrap();
        assert_eq!(presented.policy.as_deref(), Some("P"));
        assert_eq!((presented.signature.as_deref(), presented.key_pair_id.as_deref()), (Some("S"), Some("K")));
        assert_eq!(Presented::in_cookies(["cloudfront-policy=P; Policy=x; junk"]), None);
    }

    #[test]
    fn a_parameter_twice_is_ambiguous_and_escapes_are_undone() {
        assert!(Presented::in_query("Policy=a&Policy=a").unwrap().ambiguous);
        let presented = Presented::in_query("Signature=a%7Eb%2d&Policy=%zz%e9%").unwrap();
        assert_eq!(presented.signature.as_deref(), Some("a~b-"));
        assert_eq!(presented.policy.as_deref(), Some("%zz%e9%"));
    }

    #[test]
    fn debug_hides_the_signature() {
        let text = format!("{:?}", Presented::in_query("Signature=secret&Policy=secret&Key-Pair-Id=K1").unwrap());
        assert!(text.contains("K1") && !text.contains("secret"));
    }
}

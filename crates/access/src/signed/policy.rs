//! Policies: what is signed (STANDARDS 7.1, 7.3).
//!
//! A canned policy is not sent: it is written anew from the URL and the end, byte by byte. A custom one is read from the
//! bytes that were sent and signed, whatever the order of its keys; a condition that is not known refuses it, because it
//! would otherwise be ignored.

use core::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::resource::{Resource, Url};

/// The last second that a policy may name.
pub const MAX_EPOCH: u64 = 2_147_483_647;
/// Longest policy that is read, in bytes.
pub const MAX_LENGTH: usize = 8192;

/// What a policy allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which URLs; `None` for all.
    pub resource: Option<Resource>,
    /// Until when, in seconds of the epoch: at this second it is over.
    pub expires: u64,
    /// From when on, in seconds of the epoch.
    pub not_before: Option<u64>,
    /// From which addresses.
    pub source: Option<Range>,
}

/// IPv4 addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    network: u32,
    mask: u32,
}

impl Range {
    /// Reads `a.b.c.d/nn` or `a.b.c.d`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let digits = (1..=2).contains(&length.len()) && length.bytes().all(|b| b.is_ascii_digit());
        let length: u32 = length.parse().ok().filter(|length| digits && *length <= 32)?;
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        Some(Range { network: u32::from(address.parse::<Ipv4Addr>().ok()?) & mask, mask })
    }

    /// Whether an address is one of them. All IPv6 addresses are in `0.0.0.0/0`, and in no other.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => u32::from(address) & self.mask == self.network,
            IpAddr::V6(_) => self.mask == 0,
        }
    }
}

/// Why a text is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy is malformed")]
pub struct Malformed;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "Statement")]
    statement: Statements,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Statements {
    List([Statement; 1]),
    One(Statement),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Resource")]
    resource: Option<String>,
    #[serde(rename = "Condition")]
    condition: Condition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(rename = "DateLessThan")]
    less: Epoch,
    #[serde(rename = "DateGreaterThan")]
    greater: Option<Epoch>,
    #[serde(rename = "IpAddress")]
    address: Option<Source>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Epoch {
    #[serde(rename = "AWS:EpochTime")]
    seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    #[serde(rename = "AWS:SourceIp")]
    range: String,
}

impl Grant {
    /// Reads a custom policy.
    ///
    /// # Errors
    /// [`Malformed`] if it is none.
    pub fn parse(policy: &[u8]) -> Result<Self, Malformed> {
        if policy.len() > MAX_LENGTH {
            return Err(Malformed);
        }
        let document: Document = serde_json::from_slice(policy).map_err(|_| Malformed)?;
        let (Statements::One(statement) | Statements::List([statement])) = document.statement;
        let condition = statement.condition;
        let seconds = |epoch: Epoch| if epoch.seconds <= MAX_EPOCH { Ok(epoch.seconds) } else { Err(Malformed) };
        Ok(Grant {
            resource: match statement.resource {
                Some(text) => Some(Resource::parse(&text).ok_or(Malformed)?),
                None => None,
            },
            expires: seconds(condition.less)?,
            not_before: condition.greater.map(seconds).transpose()?,
            source: condition.address.map(|s| Range::parse(&s.range).ok_or(Malformed)).transpose()?,
        })
    }

    /// Whether it covers more than one URL, so that those a playlist names may be among them.
    pub fn is_wide(&self) -> bool {
        self.resource.as_ref().is_none_or(Resource::is_wildcard)
    }

    /// Whether it covers this URL.
    pub fn covers(&self, url: &Url<'_>) -> bool {
        self.resource.as_ref().is_none_or(|resource| resource.covers(url))
    }
}

/// A custom policy to be signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `Resource`, with its wildcards.
    pub resource: String,
    /// `DateLessThan`, in seconds of the epoch.
    pub expires: u64,
    /// `DateGreaterThan`, in seconds of the epoch.
    pub not_before: Option<u64>,
    /// `IpAddress`: `a.b.c.d/nn`, or one address.
    pub source: Option<String>,
}

#[derive(Serialize)]
struct Named<'a> {
    #[serde(rename = "AWS:SourceIp")]
    range: &'a str,
}

impl Policy {
    /// Its text, without white space, keys in the order of botocore and the AWS command line, so that the URL is the same.
    pub fn to_json(&self) -> String {
        let mut text = String::from("{\"Statement\":[{\"Resource\":");
        text.push_str(&quoted(&self.resource));
        text.push_str(",\"Condition\":{\"DateLessThan\":{\"AWS:EpochTime\":");
        text.push_str(&self.expires.to_string());
        text.push('}');
        if let Some(source) = &self.source {
            let range = if source.contains('/') { source.clone() } else { format!("{source}/32") };
            text.push_str(",\"IpAddress\":");
            text.push_str(&serde_json::to_string(&Named { range: &range }).unwrap_or_default());
        }
        if let Some(from) = self.not_before {
            text.push_str(&format!(",\"DateGreaterThan\":{{\"AWS:EpochTime\":{from}}}"));
        }
        text.push_str("}}]}");
        text
    }
}

/// The canned policy of a URL: exactly these bytes (STANDARDS 7.1).
pub fn canned(url: &str, expires: u64) -> String {
    format!(
        "{{\"Statement\":[{{\"Resource\":{},\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":{expires}}}}}}}]}}",
        quoted(url)
    )
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The end of a canned policy as a URL or cookie says it: one spelling of a decimal number.
pub fn expires(text: &str) -> Option<u64> {
    let decimal =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|seconds| decimal && *seconds <= MAX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// STANDARDS 7.1 and 7.3, and that the order of keys does not matter.
    #[test]
    fn policies_of_every_shape() {
        let all = Policy {
            resource: "https://a.example/live/*".to_owned(),
            expires: 2_000_000_000,
            not_before: Some(1_000_000_000),
            source: Some("192.0.2.0/24".to_owned()),
        };
        let want = Grant {
            resource: Resource::parse("https://a.example/live/*"),
            expires: 2_000_000_000,
            not_before: Some(1_000_000_000),
            source: Range::parse("192.0.2.0/24"),
        };
        assert_eq!(Grant::parse(all.to_json().as_bytes()), Ok(want.clone()));
        let other_order = br#"{ "Statement": {"Condition":{"IpAddress":{"AWS:SourceIp":"192.0.2.0/24"},
            "DateGreaterThan":{"AWS:EpochTime":1000000000},"DateLessThan":{"AWS:EpochTime":2000000000}},
            "Resource":"https://a.example/live/*"}}"#;
        assert_eq!(Grant::parse(other_order), Ok(want));
        let canned = canned("http://h/x?a=b", 5);
        assert_eq!(
            canned,
            r#"{"Statement":[{"Resource":"http://h/x?a=b","Condition":{"DateLessThan":{"AWS:EpochTime":5}}}]}"#
        );
        assert!(Grant::parse(canned.as_bytes()).is_ok());
    }

    #[test]
    fn malformed_policies() {
        let end = r#""DateLessThan":{"AWS:EpochTime":5}"#;
        for text in [
            "".to_owned(),
            "{}".to_owned(),
            r#"{"Statement":[]}"#.to_owned(),
            format!(r#"{{"Statement":[{{"Condition":{{{end}}}}},{{"Condition":{{{end}}}}}]}}"#),
            r#"{"Statement":[{"Resource":"http://h/x","Condition":{}}]}"#.to_owned(),
            format!(r#"{{"Statement":[{{"Resource":"h/x","Condition":{{{end}}}}}]}}"#),
            format!(r#"{{"Statement":[{{"Resource":"http://h/x","Condition":{{{end},"Referer":"x"}}}}]}}"#),
            format!(r#"{{"Statement":[{{"NotResource":"http://h/x","Condition":{{{end}}}}}]}}"#),
            format!(r#"{{"Statement":[{{"Condition":{{{end},"IpAddress":{{"AWS:SourceIp":"2001:db8::/32"}}}}}}]}}"#),
            format!(r#"{{"Statement":[{{"Condition":{{{end},{end}}}}}]}}"#),
            r#"{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":2147483648}}}]}"#.to_owned(),
            r#"{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":-1}}}]}"#.to_owned(),
            r#"{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":"5"}}}]}"#.to_owned(),
            format!("{}{}", " ".repeat(MAX_LENGTH), canned("http://h/x", 5)),
        ] {
            assert_eq!(Grant::parse(text.as_bytes()), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn ranges_of_addresses() {
        for (range, address, want) in [
            ("192.0.2.0/24", "192.0.2.77", true),
            ("192.0.2.9/24", "192.0.2.77", true),
            ("192.0.2.0/24", "192.0.3.1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1/32", "192.0.2.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", true),
            ("10.0.0.0/8", "2001:db8::1", false),
            ("192.0.2.0/24", "::ffff:192.0.2.1", true),
        ] {
            assert_eq!(Range::parse(range).unwrap().contains(address.parse().unwrap()), want, "{range} {address}");
        }
        for wrong in ["", "192.0.2.0/33", "192.0.2.0/", "192.0.2/24", "192.0.2.0/+8", "192.0.2.0/24/1", "*"] {
            assert_eq!(Range::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_end_has_one_spelling() {
        for (text, want) in [("5", Some(5)), ("0", Some(0)), ("2147483647", Some(MAX_EPOCH)), ("2147483648", None)] {
            assert_eq!(expires(text), want, "{text}");
        }
        for wrong in ["", "05", "+5", "-5", "5 ", "5.0", "99999999999999999999999"] {
            assert_eq!(expires(wrong), None, "{wrong}");
        }
    }
}

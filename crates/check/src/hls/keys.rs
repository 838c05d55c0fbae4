//! `EXT-X-KEY` and `EXT-X-SESSION-KEY`: their form, and that they say what the media is: rule 1.51.

use std::sync::Arc;

use super::attributes::Attributes;
use super::playlist::{Media, Multivariant};
use crate::boxes::header::Header;
use crate::boxes::walk::name;
use crate::finding::Findings;

/// The keys in force at a place of a playlist: one for each key format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Arc<[Attributes]>);

impl Keys {
    /// An `EXT-X-KEY` comes: it takes the place of one of the same format; `NONE` ends all.
    pub fn push(&mut self, key: Attributes) {
        let is_none = key.get("METHOD") == Some("NONE");
        let others = self.0.iter().filter(|k| !is_none && format(k) != format(&key)).cloned();
        self.0 = others.chain(Some(key.clone()).filter(|_| !is_none)).collect();
    }

    /// Those in force; none if segments are clear.
    pub fn list(&self) -> &[Attributes] {
        &self.0
    }

    /// Whether whole segments are encrypted, so that nothing of them can be read.
    pub fn whole_segments(&self) -> bool {
        self.0.iter().any(|k| k.get("METHOD") == Some("AES-128"))
    }
}

fn format(key: &Attributes) -> &str {
    key.get("KEYFORMAT").unwrap_or("identity")
}

/// The form of one tag.
pub fn form(key: &Attributes, tag: &str, url: &str, findings: &mut Findings) {
    let mut fault = |message: String| findings.error_at("1.51", url, key.line, format!("{tag}: {message}"));
    let method = key.get("METHOD").unwrap_or_default();
    match method {
        "NONE" if tag == "EXT-X-SESSION-KEY" => fault("METHOD=NONE".to_owned()),
        "NONE" if key.sorted().len() > 1 => fault("METHOD=NONE with other attributes".to_owned()),
        "NONE" => {}
        "AES-128" | "SAMPLE-AES" if key.value("URI").is_none_or(|v| !v.quoted || v.text.is_empty()) => {
            fault("no URI in quotes".to_owned());
        }
        "AES-128" | "SAMPLE-AES" => {}
        "SAMPLE-AES-CTR" => fault("METHOD=SAMPLE-AES-CTR must not be used (Apple 13.11)".to_owned()),
        other => fault(format!("METHOD={other} is none")),
    }
    if let Some(iv) = key.value("IV") {
        let digits = iv.text.strip_prefix("0x").or(iv.text.strip_prefix("0X")).unwrap_or_default();
        if iv.quoted || digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            fault(format!("IV={} is no number of 128 bits", iv.text));
        }
    }
    for quoted in ["KEYFORMAT", "KEYFORMATVERSIONS"] {
        if key.value(quoted).is_some_and(|v| !v.quoted) {
            fault(format!("{quoted} is not in quotes"));
        }
    }
    let versions = key.get("KEYFORMATVERSIONS").unwrap_or("1");
    if !versions.split('/').all(|v| v.parse::<u64>().is_ok_and(|n| n > 0)) {
        fault(format!("KEYFORMATVERSIONS={versions} are no numbers"));
    }
}

/// The version that a playlist's keys need (rule 1.4).
pub fn floor(media: &Media) -> (u64, &'static str) {
    let all = || media.segments.iter().flat_map(|s| s.keys.list());
    let has = |name: &str| all().any(|k| k.get(name).is_some());
    if has("KEYFORMAT") || has("KEYFORMATVERSIONS") || all().any(|k| k.get("METHOD") == Some("SAMPLE-AES")) {
        return (5, "SAMPLE-AES or KEYFORMAT");
    }
    if has("IV") { (2, "IV") } else { (1, "nothing special") }
}

/// A segment's keys are those of what its header says.
pub fn against_header(keys: &Keys, header: &Header, what: &str, url: &str, findings: &mut Findings) {
    let wanted = header.encryption.as_ref().map(|e| match &e.scheme {
        b"cbcs" => "SAMPLE-AES",
        b"cenc" => "SAMPLE-AES-CTR",
        _ => "",
    });
    let scheme = header.encryption.as_ref().map(|e| name(e.scheme)).unwrap_or_default();
    match (wanted, keys.list()) {
        (None, []) => {}
        (None, [key, ..]) => {
            findings.error_at("1.51", url, key.line, format!("{what} has EXT-X-KEY, its header says that it is clear"));
        }
        (Some(_), []) => {
            findings.error("1.51", url, format!("{what} has no EXT-X-KEY, its header says {scheme}"));
        }
        (Some(wanted), keys) => {
            for key in keys.iter().filter(|k| k.get("METHOD") != Some(wanted)) {
                let method = key.get("METHOD").unwrap_or_default();
                let message = format!("{what} has METHOD={method}, its header says {scheme}");
                findings.error_at("1.51", url, key.line, message);
            }
        }
    }
}

/// `EXT-X-SESSION-KEY` says what `EXT-X-KEY` of the same URI says.
pub fn session<'a>(
    list: &Multivariant,
    url: &str,
    lists: impl Iterator<Item = &'a Media> + Clone,
    findings: &mut Findings,
) {
    for session in &list.session_keys {
        let same = |k: &&Attributes| k.get("URI") == session.get("URI");
        let differs = |k: &Attributes| {
            ["METHOD", "KEYFORMAT", "KEYFORMATVERSIONS", "IV"].iter().any(|n| k.get(n) != session.get(n))
        };
        let mut keys = lists.clone().flat_map(|m| &m.segments).flat_map(|s| s.keys.list()).filter(same);
        if keys.any(differs) {
            let message = "EXT-X-SESSION-KEY is not what EXT-X-KEY of the same URI says";
            findings.error_at("1.51", url, session.line, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(list: &str) -> Attributes {
        Attributes::parse(list).unwrap()
    }

    #[test]
    fn keys_of_each_format_replace_each_other() {
        let mut keys = Keys::default();
        keys.push(key("METHOD=SAMPLE-AES,URI=\"a\""));
        keys.push(key("METHOD=SAMPLE-AES,URI=\"b\",KEYFORMAT=\"com.apple.streamingkeydelivery\""));
        keys.push(key("METHOD=SAMPLE-AES,URI=\"c\",KEYFORMAT=\"identity\""));
        let uris: Vec<_> = keys.list().iter().filter_map(|k| k.get("URI")).collect();
        assert_eq!(uris, ["b", "c"]);
        keys.push(key("METHOD=NONE"));
        assert!(keys.list().is_empty());
    }

    #[test]
    fn forms() {
        let faults = |tag: &str, list: &str| {
            let mut findings = Findings::default();
            form(&key(list), tag, "u", &mut findings);
            findings.list().len()
        };
        let iv = "0x000102030405060708090a0b0c0d0e0f";
        for good in ["METHOD=NONE", "METHOD=AES-128,URI=\"k\"", &format!("METHOD=SAMPLE-AES,URI=\"k\",IV={iv}")] {
            assert_eq!(faults("EXT-X-KEY", good), 0, "{good}");
        }
        for bad in [
            "METHOD=NONE,URI=\"k\"",
            "METHOD=SAMPLE-AES",
            "METHOD=SAMPLE-AES,URI=k",
            "METHOD=SAMPLE-AES-CTR,URI=\"k\"",
            "METHOD=AES,URI=\"k\"",
            "METHOD=SAMPLE-AES,URI=\"k\",IV=0x01",
            "METHOD=SAMPLE-AES,URI=\"k\",KEYFORMAT=identity",
            "METHOD=SAMPLE-AES,URI=\"k\",KEYFORMATVERSIONS=\"1/x\"",
        ] {
            assert_eq!(faults("EXT-X-KEY", bad), 1, "{bad}");
        }
        assert_eq!(faults("EXT-X-SESSION-KEY", "METHOD=NONE"), 1);
    }
}

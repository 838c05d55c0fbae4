//! Attribute lists (RFC 8216bis 4.2): `NAME=VALUE,…`, read strictly.

use crate::finding::Line;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The text, without its quotes.
    pub text: String,
    /// It stood in quotes.
    pub quoted: bool,
}

/// An attribute list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    list: Vec<(String, Value)>,
    /// Where it stands.
    pub line: Line,
}

impl Attributes {
    /// Reads a list.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut out: Vec<(String, Value)> = Vec::new();
        let mut rest = list;
        loop {
            let (name, after) = rest.split_once('=').ok_or_else(|| format!("'{rest}' is no attribute"))?;
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-') {
                return Err(format!("'{name}' is no attribute name"));
            }
            if out.iter().any(|(n, _)| n == name) {
                return Err(format!("{name} is there twice"));
            }
            let (value, next) = if let Some(inside) = after.strip_prefix('"') {
                let (text, next) = inside.split_once('"').ok_or_else(|| format!("{name} lacks its closing quote"))?;
                (Value { text: text.to_owned(), quoted: true }, next)
            } else {
                let end = after.find(',').unwrap_or(after.len());
                let (text, next) = after.split_at(end);
                if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '"') {
                    return Err(format!("{name} has the bad value '{text}'"));
                }
                (Value { text: text.to_owned(), quoted: false }, next)
            };
            out.push((name.to_owned(), value));
            if next.is_empty() {
                return Ok(Attributes { list: out, line: Line(0) });
            }
            rest = next.strip_prefix(',').ok_or_else(|| format!("'{next}' follows {name} without a comma"))?;
        }
    }

    /// The attribute's text, quoted or not.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.value(name).map(|v| v.text.as_str())
    }

    /// The attribute's value.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.list.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// A decimal integer.
    pub fn integer(&self, name: &str) -> Option<u64> {
        self.get(name).filter(|t| t.bytes().all(|b| b.is_ascii_digit())).and_then(|t| t.parse().ok())
    }

    /// Names and values in order of names, to compare lists whose order does not matter.
    pub fn sorted(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = self.list.iter().map(|(n, v)| (n.as_str(), v.text.as_str())).collect();
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let list = Attributes::parse("BANDWIDTH=1,CODECS=\"a,b\",RESOLUTION=1x2").unwrap();
        assert_eq!((list.integer("BANDWIDTH"), list.get("CODECS"), list.get("X")), (Some(1), Some("a,b"), None));
        for broken in ["", "A", "a=1", "A=1,A=2", "A=\"x", "A=1, B=2", "A=,B=1", "A=\"x\"B=1", "A=1,"] {
            assert!(Attributes::parse(broken).is_err(), "{broken}");
        }
    }
}

//! XML to a tree of elements, attributes and text, as far as an MPD needs it.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::finding::Line;

/// Deepest nesting accepted.
const MAX_DEPTH: usize = 64;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Local name.
    pub name: String,
    /// Attributes, in order, names as written.
    pub attributes: Vec<(String, String)>,
    /// Children, in order.
    pub children: Vec<Element>,
    /// Its text.
    pub text: String,
    /// Where it begins.
    pub line: Line,
}

impl Element {
    /// An attribute's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Children of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The first child of a name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }
}

/// Reads a document.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(body: &[u8]) -> Result<Element, String> {
    let text = std::str::from_utf8(body).map_err(|_| "not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let (mut line, mut counted) = (1_u32, 0_usize);
    loop {
        // Where the next event begins.
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let passed = text.as_bytes().get(counted..at).unwrap_or_default();
        line = line.saturating_add(u32::try_from(passed.iter().filter(|b| **b == b'\n').count()).unwrap_or(0));
        counted = counted.max(at);
        match reader.read_event().map_err(|e| format!("{e} at byte {}", reader.buffer_position()))? {
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err(format!("nested deeper than {MAX_DEPTH}"));
                }
                open.push(element(&start, line)?);
            }
            Event::Empty(start) => {
                let leaf = element(&start, line)?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(leaf),
                    None => return Ok(leaf),
                }
            }
            Event::End(_) => {
                let done = open.pop().ok_or("an end without a start")?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => return Ok(done),
                }
            }
            Event::Text(text) => {
                if let Some(parent) = open.last_mut() {
                    parent.text.push_str(text.xml10_content().trim());
                }
            }
            Event::Eof => return Err("it ends before its root does".to_owned()),
            _ => {}
        }
    }
}

fn element(start: &BytesStart<'_>, line: u32) -> Result<Element, String> {
    let mut out = Element { name: start.local_name().as_ref().to_owned(), line: Line(line), ..Element::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| e.to_string())?;
        out.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(out)
}

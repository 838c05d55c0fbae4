//! AMF0: the values of commands and metadata, read with bounds on depth and number (AMF0 specification, 2006).

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::Cursor;

/// A value. Dates are kept as their milliseconds, XML as its text, typed objects as plain ones.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// A string of either length form, its bytes taken as UTF-8 with replacements.
    String(String),
    /// Named properties in the order they came.
    Object(Vec<(String, Value)>),
    /// An ECMA array: named properties, too.
    EcmaArray(Vec<(String, Value)>),
    /// A list.
    StrictArray(Vec<Value>),
    /// Milliseconds since the epoch.
    Date(f64),
    /// `null`.
    Null,
    /// `undefined`, or a value marked as unsupported.
    Undefined,
}

/// Bounds on one run of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of objects and arrays. Default 8.
    pub max_depth: usize,
    /// Values in all. Default 1024.
    pub max_values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_depth: 8, max_values: 1024 }
    }
}

/// Why bytes are not AMF0 that we take. Offsets count from the first byte of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end inside a value.
    #[error("AMF0 byte {offset}: the value is cut short")]
    Short {
        /// Where.
        offset: usize,
    },
    /// A type marker that AMF0 does not have, or that no encoder sends (references, AMF3 values, record sets).
    #[error("AMF0 byte {offset}: type {marker:#04x} is not taken")]
    Marker {
        /// Where.
        offset: usize,
        /// The marker.
        marker: u8,
    },
    /// Nested deeper than [`Limits::max_depth`].
    #[error("AMF0 byte {offset}: nested too deep")]
    Depth {
        /// Where.
        offset: usize,
    },
    /// More values than [`Limits::max_values`].
    #[error("AMF0 byte {offset}: too many values")]
    Count {
        /// Where.
        offset: usize,
    },
    /// An object's empty name is not followed by the end marker.
    #[error("AMF0 byte {offset}: an object does not end properly")]
    ObjectEnd {
        /// Where.
        offset: usize,
    },
}

mod marker {
    pub const NUMBER: u8 = 0x00;
    pub const BOOLEAN: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const OBJECT: u8 = 0x03;
    pub const NULL: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const ECMA_ARRAY: u8 = 0x08;
    pub const OBJECT_END: u8 = 0x09;
    pub const STRICT_ARRAY: u8 = 0x0a;
    pub const DATE: u8 = 0x0b;
    pub const LONG_STRING: u8 = 0x0c;
    pub const UNSUPPORTED: u8 = 0x0d;
    pub const XML: u8 = 0x0f;
    pub const TYPED_OBJECT: u8 = 0x10;
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// A number.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(n) => Some(*n),
            _ => None,
        }
    }

    /// The property `name` of an object or ECMA array; the last one where a name comes twice.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(p) | Value::EcmaArray(p) => p.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// An object of these properties.
    pub fn object<const N: usize>(properties: [(&str, Value); N]) -> Value {
        Value::Object(properties.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Value {
        Value::String(s.to_owned())
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Value {
        Value::Number(n)
    }
}

/// Reads all values of `data`.
pub fn decode(data: Bytes, limits: &Limits) -> Result<Vec<Value>, Error> {
    let mut decoder = Decoder { length: data.len(), cursor: Cursor::new(data), limits, values: 0 };
    let mut values = Vec::new();
    while !decoder.cursor.is_empty() {
        values.push(decoder.value(0)?);
    }
    Ok(values)
}

struct Decoder<'a> {
    cursor: Cursor,
    length: usize,
    limits: &'a Limits,
    values: usize,
}

impl Decoder<'_> {
    fn offset(&self) -> usize {
        self.length - self.cursor.remaining()
    }

    fn need<T>(&self, read: Option<T>) -> Result<T, Error> {
        read.ok_or(Error::Short { offset: self.offset() })
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        let offset = self.offset();
        self.values += 1;
        if self.values > self.limits.max_values {
            return Err(Error::Count { offset });
        }
        if depth > self.limits.max_depth {
            return Err(Error::Depth { offset });
        }
        let marker = self.cursor.u8();
        Ok(match self.need(marker)? {
            marker::NUMBER => Value::Number(self.number()?),
            marker::BOOLEAN => {
                let b = self.cursor.u8();
                Value::Boolean(self.need(b)? != 0)
            }
            marker::STRING => Value::String(self.string()?),
            marker::OBJECT => Value::Object(self.properties(depth, false)?),
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::ECMA_ARRAY => {
                // The count is often wrong; the end marker decides.
                let count = self.cursor.u32();
                self.need(count)?;
                Value::EcmaArray(self.properties(depth, true)?)
            }
            marker::STRICT_ARRAY => {
                let count = self.cursor.u32();
                let count = self.need(count)?;
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Value::StrictArray(values)
            }
            marker::DATE => {
                let ms = self.number()?;
                let zone = self.cursor.i16();
                self.need(zone)?;
                Value::Date(ms)
            }
            marker::LONG_STRING | marker::XML => {
                let length = self.cursor.u32();
                let length = self.need(length)?;
                let text = self.cursor.take(length as usize);
                Value::String(String::from_utf8_lossy(&self.need(text)?).into_owned())
            }
            marker::TYPED_OBJECT => {
                self.string()?;
                Value::Object(self.properties(depth, false)?)
            }
            marker => return Err(Error::Marker { offset, marker }),
        })
    }

    fn number(&mut self) -> Result<f64, Error> {
        let number = self.cursor.f64();
        self.need(number)
    }

    fn string(&mut self) -> Result<String, Error> {
        let length = self.cursor.u16();
        let length = self.need(length)?;
        let text = self.cursor.take(usize::from(length));
        Ok(String::from_utf8_lossy(&self.need(text)?).into_owned())
    }

    /// Properties up to the end marker. Some encoders leave the end of an ECMA array out where the message ends.
    fn properties(&mut self, depth: usize, may_end_early: bool) -> Result<Vec<(String, Value)>, Error> {
        let mut properties = Vec::new();
        loop {
            if may_end_early && self.cursor.is_empty() {
                return Ok(properties);
            }
            let offset = self.offset();
            let name = self.string()?;
            if name.is_empty() && self.cursor.peek() == Some(marker::OBJECT_END) {
                self.cursor.u8();
                return Ok(properties);
            }
            if self.cursor.peek() == Some(marker::OBJECT_END) {
                return Err(Error::ObjectEnd { offset });
            }
            properties.push((name, self.value(depth + 1)?));
        }
    }
}

/// Writes `values` one after the other.
pub fn encode(values: &[Value]) -> Bytes {
    let mut out = BytesMut::new();
    for value in values {
        put_value(value, &mut out);
    }
    out.freeze()
}

fn put_value(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Number(n) => {
            out.put_u8(marker::NUMBER);
            out.put_f64(*n);
        }
        Value::Boolean(b) => out.put_slice(&[marker::BOOLEAN, u8::from(*b)]),
        Value::String(s) if s.len() > usize::from(u16::MAX) => {
            out.put_u8(marker::LONG_STRING);
            out.put_u32(u32::try_from(s.len()).unwrap_or(u32::MAX));
            out.put_slice(s.as_bytes());
        }
        Value::String(s) => {
            out.put_u8(marker::STRING);
            put_name(s, out);
        }
        Value::Object(properties) => {
            out.put_u8(marker::OBJECT);
            put_properties(properties, out);
        }
        Value::EcmaArray(properties) => {
            out.put_u8(marker::ECMA_ARRAY);
            out.put_u32(u32::try_from(properties.len()).unwrap_or(u32::MAX));
            put_properties(properties, out);
        }
        Value::StrictArray(values) => {
            out.put_u8(marker::STRICT_ARRAY);
            out.put_u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
            for value in values {
                put_value(value, out);
            }
        }
        Value::Date(ms) => {
            out.put_u8(marker::DATE);
            out.put_f64(*ms);
            out.put_i16(0);
        }
        Value::Null => out.put_u8(marker::NULL),
        Value::Undefined => out.put_u8(marker::UNDEFINED),
    }
}

fn put_properties(properties: &[(String, Value)], out: &mut BytesMut) {
    for (name, value) in properties {
        put_name(name, out);
        put_value(value, out);
    }
    out.put_slice(&[0, 0, marker::OBJECT_END]);
}

/// A name of at most 65,535 bytes; a longer one is cut (we never write such a one).
fn put_name(name: &str, out: &mut BytesMut) {
    let bytes = name.as_bytes();
    let bytes = bytes.get(..bytes.len().min(usize::from(u16::MAX))).unwrap_or_default();
    out.put_u16(bytes.len() as u16);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8]) -> Result<Vec<Value>, Error> {
        decode(Bytes::copy_from_slice(data), &Limits::default())
    }

    #[test]
    fn values_survive_a_round_trip() {
        let values = vec![
            Value::from("connect"),
            Value::from(1.0),
            Value::object([("app", "live".into()), ("nested", Value::object([("x", Value::Boolean(true))]))]),
            Value::EcmaArray(vec![("duration".into(), Value::from(0.0))]),
            Value::StrictArray(vec![Value::Null, Value::Undefined, Value::Date(5.0)]),
            Value::String("x".repeat(70_000)),
        ];
        assert_eq!(decode(encode(&values), &Limits::default()).unwrap(), values);
    }

    #[test]
    fn an_ecma_array_may_lie_about_its_count_and_leave_out_its_end() {
        let open = [8, 0, 0, 0, 0, 0, 1, b'a', 1, 1];
        let expected = vec![Value::EcmaArray(vec![("a".into(), Value::Boolean(true))])];
        assert_eq!(read(&open).unwrap(), expected);
        let mut closed = open.to_vec();
        closed.extend([0, 0, 9]);
        assert_eq!(read(&closed).unwrap(), expected);
    }

    #[test]
    fn hostile_values_fail_with_their_place() {
        let deep: Vec<u8> = std::iter::repeat_n([3, 0, 1, b'a'], 20).flatten().collect();
        assert_eq!(read(&deep), Err(Error::Depth { offset: 36 }));
        let many = vec![5; 2000];
        assert_eq!(read(&many), Err(Error::Count { offset: 1024 }));
        assert_eq!(read(&[0x0a, 0xff, 0xff, 0xff, 0xff]), Err(Error::Short { offset: 5 }));
        assert_eq!(read(&[0x0c, 0xff, 0xff, 0xff, 0xff]), Err(Error::Short { offset: 5 }));
        assert_eq!(read(&[5, 0x11]), Err(Error::Marker { offset: 1, marker: 0x11 }));
        assert_eq!(read(&[3, 0, 1, b'a', 9]), Err(Error::ObjectEnd { offset: 1 }));
    }
}

//! Lengths of time in settings: written as a number of seconds, kept as whole milliseconds.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time that a setting names in seconds, to the millisecond (`2`, `0.5`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds {
    millis: u32,
}

impl Seconds {
    /// `s` whole seconds.
    pub const fn new(s: u32) -> Self {
        Seconds { millis: s.saturating_mul(1000) }
    }

    /// `ms` milliseconds.
    pub const fn from_millis(ms: u32) -> Self {
        Seconds { millis: ms }
    }

    /// In milliseconds.
    pub const fn millis(self) -> u32 {
        self.millis
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.millis as u64)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.millis) / 1000.0)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.millis.is_multiple_of(1000) {
            s.serialize_u32(self.millis / 1000)
        } else {
            s.serialize_f64(f64::from(self.millis) / 1000.0)
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds between 0 and 4294967")
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<Seconds, E> {
                self.visit_f64(v as f64)
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Seconds, E> {
                self.visit_f64(v as f64)
            }
            fn visit_f64<E: Error>(self, v: f64) -> Result<Seconds, E> {
                let millis = (v * 1000.0).round();
                if (0.0..=f64::from(u32::MAX)).contains(&millis) {
                    Ok(Seconds { millis: millis as u32 })
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(v), &self))
                }
            }
        }
        d.deserialize_any(Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_seconds() {
        for (text, ms) in [("2", 2000), ("0.5", 500), ("0.2", 200), ("1.92", 1920), ("0", 0), ("3600", 3_600_000)] {
            let s: Seconds = serde_json::from_str(text).unwrap();
            assert_eq!(s.millis(), ms);
            assert_eq!(serde_json::to_string(&s).unwrap(), text);
        }
        for bad in ["-1", "1e12", "\"2\"", "true", "null"] {
            assert!(serde_json::from_str::<Seconds>(bad).is_err(), "{bad}");
        }
    }
}

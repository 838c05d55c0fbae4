//! The frame rate as it is set: `auto`, a number, a decimal that broadcasters use, or a fraction.

use millstream_media::grid::FrameRate;
use serde::{Deserialize, Serialize};

/// The frame rate of the renditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameRateSetting {
    /// As the contribution's.
    #[default]
    Auto,
    /// This one.
    Fixed(FrameRate),
}

impl FrameRateSetting {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "auto" {
            return Some(FrameRateSetting::Auto);
        }
        let rate = match (text, text.split_once('/')) {
            ("23.976" | "23.98", _) => FrameRate::new(24_000, 1001),
            ("29.97", _) => FrameRate::new(30_000, 1001),
            ("59.94", _) => FrameRate::new(60_000, 1001),
            (_, Some((num, den))) => FrameRate::new(num.trim().parse().ok()?, den.trim().parse().ok()?),
            (_, None) => FrameRate::new(text.parse().ok()?, 1),
        };
        rate.map(FrameRateSetting::Fixed)
    }
}

impl std::fmt::Display for FrameRateSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameRateSetting::Auto => f.write_str("auto"),
            FrameRateSetting::Fixed(rate) if rate.den() == 1 => write!(f, "{}", rate.num()),
            FrameRateSetting::Fixed(rate) => write!(f, "{}/{}", rate.num(), rate.den()),
        }
    }
}

impl Serialize for FrameRateSetting {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FrameRateSetting {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Whole(u32),
            Decimal(f64),
            Text(String),
        }
        let expected = "a frame rate is \"auto\", a whole number from 1 to 240, or a fraction such as \"30000/1001\"";
        let written = Written::deserialize(d).map_err(|_| serde::de::Error::custom(expected))?;
        let text = match written {
            Written::Whole(n) => n.to_string(),
            Written::Decimal(f) => f.to_string(),
            Written::Text(text) => text,
        };
        FrameRateSetting::parse(&text).ok_or_else(|| serde::de::Error::custom(expected))
    }
}

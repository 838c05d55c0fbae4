//! A time on the command line: RFC 3339, or so long before now.

use std::str::FromStr;
use std::time::Duration;

use millstream_media::time::UtcTime;

/// A time that may hang on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This instant.
    At(UtcTime),
    /// So long before now.
    Ago(Duration),
}

impl Moment {
    /// The instant it is at `now`.
    pub fn at(self, now: UtcTime) -> UtcTime {
        match self {
            Moment::At(time) => time,
            Moment::Ago(ago) => now - ago,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mend = || format!("{text:?} is no time; write 2026-11-22T20:15:00Z, -90s, -5m, -2h, -1d or now");
        if text == "now" {
            return Ok(Moment::Ago(Duration::ZERO));
        }
        let Some(ago) = text.strip_prefix('-') else {
            return UtcTime::from_iso8601(text).map(Moment::At).ok_or_else(mend);
        };
        let unit = ago.chars().last().ok_or_else(mend)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(mend()),
        };
        let number = ago.strip_suffix(unit).unwrap_or_default();
        // To the millisecond; a century is far enough.
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let plain = |t: &str| !t.is_empty() && t.len() <= 10 && t.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) {
            return Err(mend());
        }
        let millis = |t: &str| t.parse::<u64>().ok();
        let thousandths = format!("{fraction:0<3}").get(..3).and_then(millis).ok_or_else(mend)?;
        let total = millis(whole).and_then(|w| w.checked_mul(1000)?.checked_add(thousandths)?.checked_mul(seconds));
        total.filter(|t| *t <= 100 * 366 * 86_400_000).map(|t| Moment::Ago(Duration::from_millis(t))).ok_or_else(mend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_times_ago() {
        let now = UtcTime::from_millis(1_795_386_300_000);
        for (text, millis) in [
            ("now", 0),
            ("-0s", 0),
            ("-90s", 90_000),
            ("-1.5s", 1500),
            ("-5m", 300_000),
            ("-2h", 7_200_000),
            ("-1d", 86_400_000),
            ("2026-11-22T22:24:30Z", 30_000),
            ("2026-11-22T23:24:30.5+01:00", 29_500),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(now.since(moment.at(now)), Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn anything_else_names_the_mend() {
        for text in ["", "-", "-s", "90s", "-90", "-1w", "-x s", "yesterday", "22:15", "-9999999999d", "-1..5s", "-ä"]
        {
            assert!(text.parse::<Moment>().unwrap_err().contains("-90s"), "{text}");
        }
    }
}

//! Time: UTC instants, monotonic instants and tick scales are three types that never mix by accident.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// An instant of UTC: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// It is used for the wall clock and for media time alike; which of the two is said by the name of
/// the variable or field (`now`, `arrived` against `pts`, `until`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcTime(pub i64);

impl UtcTime {
    /// The Unix epoch.
    pub const EPOCH: UtcTime = UtcTime(0);

    /// From whole milliseconds since the epoch.
    pub const fn from_millis(ms: i64) -> Self {
        UtcTime(ms * 1_000_000)
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// From ticks of `scale` since the epoch, rounded to the nearest nanosecond.
    pub fn from_ticks(ticks: u64, scale: Timescale) -> Self {
        let s = i128::from(scale.get());
        UtcTime(((i128::from(ticks) * i128::from(NANOS_PER_SECOND) + s / 2) / s) as i64)
    }

    /// In ticks of `scale` since the epoch, rounded to the nearest tick; instants before the epoch give 0.
    pub fn to_ticks(self, scale: Timescale) -> u64 {
        let n = i128::from(self.0.max(0)) * i128::from(scale.get());
        ((n + i128::from(NANOS_PER_SECOND / 2)) / i128::from(NANOS_PER_SECOND)) as u64
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: UtcTime) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Signed nanoseconds from `earlier` to `self`.
    pub const fn nanos_since(self, earlier: UtcTime) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant that RFC 3339 text names, such as `2026-11-22T22:25:00.5Z` or `2026-11-22T23:25:00+01:00`; digits
    /// after the ninth of a second are cut. ISO 8601's offset without a colon is taken, too. `None` for any other text.
    pub fn from_iso8601(text: &str) -> Option<Self> {
        let (date, rest) = text.split_once(['T', 't'])?;
        let mut ymd = date.split('-');
        let (year, month, day) = (digits(ymd.next()?, 4)?, digits(ymd.next()?, 2)?, digits(ymd.next()?, 2)?);
        let days = days_from_civil(year, month, day);
        if ymd.next().is_some() || !(1..=12).contains(&month) || civil_from_days(days) != (year, month, day) {
            return None;
        }
        let (time, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
        let (whole, fraction) = time.split_once('.').map_or((time, None), |(whole, fraction)| (whole, Some(fraction)));
        let mut hms = whole.split(':');
        let (hour, minute, second) = (digits(hms.next()?, 2)?, digits(hms.next()?, 2)?, digits(hms.next()?, 2)?);
        let nanos = fraction.map_or(Some(0), nanos_of_fraction)?;
        if hms.next().is_some() || hour > 24 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = days * 86_400 + hour * 3600 + (minute - offset_minutes(zone)?) * 60 + second;
        seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos).map(UtcTime)
    }

    /// ISO 8601 with milliseconds and `Z`, rounded to the nearest millisecond, as `EXT-X-PROGRAM-DATE-TIME` wants it
    /// (RFC 8216bis 4.4.4.6).
    pub fn to_iso8601(self) -> String {
        let ms = (self.0 + 500_000).div_euclid(1_000_000);
        let (days, ms_of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
        let (y, m, d) = civil_from_days(days);
        let (h, rest) = (ms_of_day / 3_600_000, ms_of_day % 3_600_000);
        format!("{y:04}-{m:02}-{d:02}T{h:02}:{:02}:{:02}.{:03}Z", rest / 60_000, rest % 60_000 / 1000, rest % 1000)
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_iso8601())
    }
}

impl Add<Duration> for UtcTime {
    type Output = UtcTime;
    fn add(self, d: Duration) -> UtcTime {
        UtcTime(self.0.saturating_add(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for UtcTime {
    type Output = UtcTime;
    fn sub(self, d: Duration) -> UtcTime {
        UtcTime(self.0.saturating_sub(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// Year, month and day of a day number counted from the epoch, in the proleptic Gregorian calendar.
/// (The well-known era method: eras of 400 years that begin on 1 March.)
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day number of a date, counted from the epoch: the reverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Exactly `count` decimal digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    let plain = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// The digits after a second's point, in nanoseconds.
fn nanos_of_fraction(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<9}").get(..9)?.parse().ok()
}

/// `Z`, `+hh:mm` or `+hhmm`.
fn offset_minutes(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let plain: String = zone.get(1..)?.chars().filter(|c| *c != ':').collect();
    Some(sign * (digits(plain.get(..2)?, 2)? * 60 + digits(plain.get(2..)?, 2)?))
}

/// An instant of a clock that never steps: the time since an arbitrary start (of the process, of a test).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoTime(pub Duration);

impl MonoTime {
    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: MonoTime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for MonoTime {
    type Output = MonoTime;
    fn add(self, d: Duration) -> MonoTime {
        MonoTime(self.0.saturating_add(d))
    }
}

/// What code that needs the time is given. Shells implement it on the system's clocks, tests on a number.
pub trait Clock: Send + Sync {
    /// The wall clock; it may step.
    fn utc(&self) -> UtcTime;
    /// The monotonic clock.
    fn mono(&self) -> MonoTime;
}

/// Ticks per second, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// 90 kHz, the scale of MPEG systems; we use it for passthrough video.
    pub const MPEG: Timescale = Timescale::literal(90_000);
    /// 48 kHz, the scale of all encoded audio.
    pub const AUDIO_48K: Timescale = Timescale::literal(48_000);

    /// A scale of `per_second` ticks; `None` for zero.
    pub const fn new(per_second: u32) -> Option<Self> {
        match NonZeroU32::new(per_second) {
            Some(n) => Some(Timescale(n)),
            None => None,
        }
    }

    const fn literal(per_second: u32) -> Self {
        match NonZeroU32::new(per_second) {
            Some(n) => Timescale(n),
            None => panic!("a timescale is never zero"),
        }
    }

    /// Ticks per second.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The length of `ticks` in seconds, for display only.
    pub fn seconds(self, ticks: u64) -> f64 {
        ticks as f64 / f64::from(self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso8601_of_known_instants() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_721_482_857_600, "2024-07-20T13:40:57.600Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        ] {
            assert_eq!(UtcTime::from_millis(ms).to_iso8601(), text);
        }
    }

    #[test]
    fn instants_of_text() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-07-20T13:40:57.600Z", Some(1_721_482_857_600_000_000)),
            ("2024-07-20t13:40:57.6z", Some(1_721_482_857_600_000_000)),
            ("2024-07-20T15:40:57.6+02:00", Some(1_721_482_857_600_000_000)),
            ("2024-07-20T08:10:57.6-0530", Some(1_721_482_857_600_000_000)),
            ("2024-02-29T00:00:00.1234567899Z", Some(1_709_164_800_123_456_789)),
            ("2023-02-29T00:00:00Z", None),
            ("2024-07-20T13:40:57.600", None),
            ("2024-07-20T13:40Z", None),
            ("2024-07-20T13:40:57.Z", None),
            ("2024-07-20T13:40:57+2:00", None),
            ("2024-7-20T13:40:57Z", None),
            ("9999-12-31T00:00:00Z", None),
            ("now", None),
            ("T", None),
        ] {
            assert_eq!(UtcTime::from_iso8601(text).map(|t| t.0), nanos, "{text}");
        }
        for ms in [0, 951_782_400_000, 1_795_386_300_123, 4_102_444_799_999] {
            assert_eq!(UtcTime::from_iso8601(&UtcTime::from_millis(ms).to_iso8601()), Some(UtcTime::from_millis(ms)));
        }
    }

    #[test]
    fn ticks_round_trip_at_epoch_scale() {
        let scale = Timescale::new(30_000).unwrap();
        let ticks = 1_795_365_013_u64 * 30_000 + 1001;
        assert_eq!(UtcTime::from_ticks(ticks, scale).to_ticks(scale), ticks);
    }
}

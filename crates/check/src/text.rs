//! The small text forms that playlists and MPDs share: instants, durations, decimals, URL references.

use millstream_media::time::{NANOS_PER_SECOND, UtcTime};

/// ISO 8601 `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm|±hhmm)`; `None` if it is not of that form.
pub fn parse_iso8601(text: &str) -> Option<UtcTime> {
    UtcTime::from_iso8601(text)
}

/// Whether an ISO 8601 instant gives (at least) milliseconds.
pub fn has_milliseconds(text: &str) -> bool {
    text.split_once('.').is_some_and(|(_, f)| f.bytes().take_while(u8::is_ascii_digit).count() >= 3)
}

/// A non-negative decimal such as `2.002`, in nanoseconds; digits after the ninth are cut.
pub fn parse_decimal_nanos(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.is_empty() || fraction.is_empty() || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    whole.parse::<i64>().ok()?.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos_of_fraction(fraction)?)
}

/// An `xs:duration` without years and months, in nanoseconds (`PT2.002S`, `P1DT2H`). Years and months give
/// `Err(true)` (STANDARDS 2.14), anything else that is no duration `Err(false)`.
pub fn parse_xs_duration(text: &str) -> Result<i64, bool> {
    let rest = text.strip_prefix('P').ok_or(false)?;
    let (date, time) = rest.split_once('T').unwrap_or((rest, ""));
    if date.contains('Y') || date.contains('M') {
        return Err(true);
    }
    let mut total = 0_i64;
    for (part, units) in [(date, &[('D', 86_400)][..]), (time, &[('H', 3600), ('M', 60), ('S', 1)][..])] {
        let mut left = part;
        while !left.is_empty() {
            let end = left.find(|c: char| c.is_ascii_alphabetic()).ok_or(false)?;
            let unit = left[end..].chars().next().ok_or(false)?;
            let seconds = units.iter().find(|(u, _)| *u == unit).ok_or(false)?.1;
            let nanos = parse_decimal_nanos(&left[..end]).ok_or(false)?;
            total = nanos.checked_mul(seconds).and_then(|n| total.checked_add(n)).ok_or(false)?;
            left = &left[end + 1..];
        }
    }
    Ok(total)
}

/// Seconds for a message.
pub fn seconds(nanos: i64) -> String {
    format!("{:.3} s", nanos as f64 / NANOS_PER_SECOND as f64)
}

/// Resolves a reference against the URL it stands in (RFC 3986 section 5, without fragments).
pub fn resolve(base: &str, reference: &str) -> String {
    let is_absolute = reference.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    if is_absolute {
        return reference.to_owned();
    }
    let base = base.split('#').next().unwrap_or(base);
    let (scheme, after) = base.split_once("://").unwrap_or(("", base));
    let (authority, path_query) = match after.find('/') {
        Some(at) => after.split_at(at),
        None => (after, "/"),
    };
    let path = path_query.split('?').next().unwrap_or("/");
    if let Some(rest) = reference.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    if reference.is_empty() {
        return format!("{scheme}://{authority}{path_query}");
    }
    if reference.starts_with('?') {
        return format!("{scheme}://{authority}{path}{reference}");
    }
    let (ref_path, query) = reference.find('?').map_or((reference, ""), |at| reference.split_at(at));
    let joined = if ref_path.starts_with('/') {
        ref_path.to_owned()
    } else {
        let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
        format!("{folder}{ref_path}")
    };
    let mut out: Vec<&str> = Vec::new();
    for part in joined.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(out.pop()),
            p => out.push(p),
        }
    }
    if joined.ends_with("/..") || joined.ends_with("/.") {
        out.push("");
    }
    format!("{scheme}://{authority}/{}{query}", out.join("/"))
}

fn nanos_of_fraction(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nine: String = text.chars().chain("000000000".chars()).take(9).collect();
    nine.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-07-20T13:40:57.600Z", Some(1_721_482_857_600_000_000)),
            ("2024-07-20T15:40:57.6+02:00", Some(1_721_482_857_600_000_000)),
            ("2024-07-20T13:40:57.600", None),
            ("2024-7-20T13:40:57Z", None),
            ("now", None),
        ] {
            assert_eq!(parse_iso8601(text).map(|t| t.0), nanos, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("PT2.002S", Ok(2_002_000_000)),
            ("PT1H0M1S", Ok(3_601_000_000_000)),
            ("P1D", Ok(86_400_000_000_000)),
            ("P1M", Err(true)),
            ("P0Y0M0DT4S", Err(true)),
            ("4", Err(false)),
        ] {
            assert_eq!(parse_xs_duration(text), expected, "{text}");
        }
        assert_eq!(parse_decimal_nanos("2.0021"), Some(2_002_100_000));
        assert_eq!(parse_decimal_nanos("-1"), None);
    }

    #[test]
    fn references() {
        let base = "http://h:1/live/demo/720p/index.m3u8?x=1";
        for (reference, url) in [
            ("7.m4s", "http://h:1/live/demo/720p/7.m4s"),
            ("init.mp4?v=ab", "http://h:1/live/demo/720p/init.mp4?v=ab"),
            ("../audio/index.m3u8", "http://h:1/live/demo/audio/index.m3u8"),
            ("/a", "http://h:1/a"),
            ("//o/a", "http://o/a"),
            ("https://o/a", "https://o/a"),
            ("?q=2", "http://h:1/live/demo/720p/index.m3u8?q=2"),
        ] {
            assert_eq!(resolve(base, reference), url);
        }
    }
}

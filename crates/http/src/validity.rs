//! From when until when a certificate is valid (RFC 5280 4.1.2.5): all that is read of one here; TLS is rustls's.

use millstream_media::time::UtcTime;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Years that nanoseconds since 1970 reach; what ends later never ends for us.
const LAST_YEAR: u32 = 2261;

/// The beginning and the end, both of them valid still; `None` if this is no certificate.
pub fn of(certificate: &[u8]) -> Option<(UtcTime, UtcTime)> {
    let (tag, outer, _) = element(certificate)?;
    let (inner_tag, mut rest, _) = element(outer)?;
    if (tag, inner_tag) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    // Serial number, algorithm and issuer come before it.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, validity, _) = element(rest)? else { return None };
    let (tag, from, after) = element(validity)?;
    let (until_tag, until, _) = element(after)?;
    Some((time(tag, from)?, time(until_tag, until)?))
}

/// Tag, content, and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

/// `YYMMDDHHMMSSZ` with years from 1950 on, or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<UtcTime> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let full = match (tag, text.len()) {
        (UTC_TIME, 13) if text.as_bytes().first()? >= &b'5' => format!("19{text}"),
        (UTC_TIME, 13) => format!("20{text}"),
        (GENERALIZED_TIME, 15) => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize| full.get(from..from + 2);
    let (year, month, day) = (full.get(..4)?, part(4)?, part(6)?);
    if year.parse::<u32>().ok()? > LAST_YEAR {
        return Some(UtcTime(i64::MAX));
    }
    UtcTime::from_iso8601(&format!("{year}-{month}-{day}T{}:{}:{}Z", part(8)?, part(10)?, part(12)?))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made(from: i32, until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 2), date_time_ymd(until, 12, 31));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time() {
        for (from, until) in [(1999, 2026), (2020, 2049), (2050, 2261)] {
            let (begin, end) = of(&made(from, until)).unwrap();
            assert_eq!(begin.to_iso8601(), format!("{from}-01-02T00:00:00.000Z"));
            assert_eq!(end.to_iso8601(), format!("{until}-12-31T00:00:00.000Z"));
        }
    }

    #[test]
    fn an_end_that_our_time_does_not_reach() {
        assert_eq!(of(&made(2020, 4096)).unwrap().1, UtcTime(i64::MAX));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let whole = made(2020, 2030);
        for length in 0..whole.len() {
            assert_eq!(of(&whole[..length]), None, "{length}");
        }
        // Any byte changed: whatever comes of it, nothing panics.
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 0xff;
            let _ = of(&other);
        }
    }
}

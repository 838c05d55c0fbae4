//! How long an answer may be kept, and how old it is: RFC 9111 sections 4.2 and 5.2. Pure.

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderMap};

use crate::clock::Moment;

/// Errors of a server are kept at most so long.
const SERVER_ERROR_LIFE: Duration = Duration::from_secs(1);
/// No object is kept longer, whatever its server says.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);

/// When an answer was new, and how long it is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When its age was zero.
    pub born: Moment,
    /// How long it may be used from then on; zero for what is not kept.
    pub life: Duration,
}

impl Freshness {
    /// Of an answer whose head came at `came` on a request sent at `sent`.
    ///
    /// `held` says that the server held the request before it made the answer: then the wait is not part of the
    /// answer's age, which RFC 9111 4.2.3 would count as if the answer had been made when the request was sent.
    pub fn of(
        status: StatusCode,
        headers: &HeaderMap,
        sent: Moment,
        came: Moment,
        held: bool,
        negative: Duration,
    ) -> Self {
        let age = number(headers, header::AGE).unwrap_or(Duration::ZERO);
        let delay = if held { Duration::ZERO } else { came.since(sent) };
        let said = life(headers);
        let life = if status.is_server_error() {
            said.min(SERVER_ERROR_LIFE)
        } else if status.is_success() {
            said
        } else {
            said.min(negative)
        };
        Freshness { born: came.minus(age.saturating_add(delay)), life }
    }

    /// Whether it may still be used.
    pub fn is_fresh_at(&self, now: Moment) -> bool {
        now.since(self.born) < self.life
    }

    /// For the `Age` header: whole seconds.
    pub fn age_at(&self, now: Moment) -> u64 {
        now.since(self.born).as_secs()
    }
}

/// What `Cache-Control` allows a shared cache; zero without it, since nothing here may be guessed.
fn life(headers: &HeaderMap) -> Duration {
    let (mut max_age, mut shared) = (None, None);
    for value in headers.get_all(header::CACHE_CONTROL) {
        let Ok(text) = value.to_str() else { return Duration::ZERO };
        for word in text.split(',').map(str::trim) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            if ["no-store", "no-cache", "private"].iter().any(|no| name.eq_ignore_ascii_case(no)) {
                return Duration::ZERO;
            }
            // Of two values the shorter one, as RFC 9111 4.2.1 recommends.
            let slot = if name.eq_ignore_ascii_case("s-maxage") {
                &mut shared
            } else if name.eq_ignore_ascii_case("max-age") {
                &mut max_age
            } else {
                continue;
            };
            let seconds = seconds(value.trim_matches('"')).unwrap_or(Duration::ZERO);
            *slot = Some(slot.map_or(seconds, |other: Duration| other.min(seconds)));
        }
    }
    shared.or(max_age).unwrap_or(Duration::ZERO).min(LONGEST)
}

fn number(headers: &HeaderMap, name: header::HeaderName) -> Option<Duration> {
    seconds(headers.get(name)?.to_str().ok()?.trim())
}

fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // RFC 9111 1.2.2: what is too large counts as very long.
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX)).min(u64::from(u32::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(cache: &str, age: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_str(cache).unwrap());
        if let Some(age) = age {
            headers.insert(header::AGE, HeaderValue::from_str(age).unwrap());
        }
        headers
    }

    #[test]
    fn lives_as_cache_control_has_them() {
        for (text, want) in [
            ("public, max-age=1209600, immutable", 1_209_600),
            ("max-age=4", 4),
            ("max-age=4, s-maxage=2", 2),
            ("s-maxage=9, max-age=4", 9),
            ("MAX-AGE=\"3\"", 3),
            ("max-age=4, max-age=2", 2),
            ("max-age=4, no-store", 0),
            ("private, max-age=4", 0),
            ("no-cache", 0),
            ("max-age=-1", 0),
            ("max-age=x", 0),
            ("", 0),
            ("max-age=99999999999999999999", 400 * 24 * 3600),
        ] {
            assert_eq!(life(&headers(text, None)), Duration::from_secs(want), "{text}");
        }
        assert_eq!(life(&HeaderMap::new()), Duration::ZERO);
    }

    /// RFC 9111 4.2.3: the age upstream, the delay, and the time it lay here.
    #[test]
    fn ages_add_up() {
        let negative = Duration::from_secs(10);
        let h = headers("max-age=6", Some("2"));
        let f = Freshness::of(StatusCode::OK, &h, Moment(1000), Moment(1500), false, negative);
        assert_eq!(f.born, Moment(-1000));
        assert_eq!((f.age_at(Moment(1500)), f.age_at(Moment(1999)), f.age_at(Moment(2000))), (2, 2, 3));
        assert!(f.is_fresh_at(Moment(4999)) && !f.is_fresh_at(Moment(5000)));
    }

    /// A blocking reload that was held for 4 s is new when it comes.
    #[test]
    fn a_held_answer_is_not_older_for_the_wait() {
        let h = headers("max-age=3", None);
        let of = |held| Freshness::of(StatusCode::OK, &h, Moment(0), Moment(4000), held, Duration::ZERO);
        assert!(of(true).is_fresh_at(Moment(4000)) && !of(false).is_fresh_at(Moment(4000)));
    }

    #[test]
    fn errors_are_kept_shortly() {
        let h = headers("max-age=600", None);
        for (status, want) in [(200, 600), (404, 10), (410, 10), (500, 1), (503, 1)] {
            let status = StatusCode::from_u16(status).unwrap();
            let f = Freshness::of(status, &h, Moment(0), Moment(0), false, Duration::from_secs(10));
            assert_eq!(f.life, Duration::from_secs(want), "{status}");
        }
    }
}

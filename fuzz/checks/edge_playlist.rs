//! Playlists that an edge reads on their way, to know when the next part is due: no list makes it panic, promise what lies
//! before the list itself, or give an old position the answer of another playlist.
//!
//! The input: a line with the key of a request, then a playlist.

use std::time::Duration;

use super::cadence::{Cadence, Wanted};
use super::clock::Moment;

/// Bytes held for each byte of input.
#[allow(dead_code, reason = "the ordinary tests have no counter in this crate")]
pub const PER_BYTE: usize = 64;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (key, list) = data.split_at(at);
    let key = String::from_utf8_lossy(key);
    let mut room = String::new();
    let Some(wanted) = Wanted::of(&key, &mut room) else { return };
    let cadence = Cadence::default();
    for now in [Moment(1000), Moment(500), Moment(90_000), Moment(i64::MAX)] {
        cadence.learn(wanted.playlist, list, now);
        let Some(due) = cadence.due(&wanted) else { return };
        assert!(due.at >= Moment(1000), "what is not listed is not due before the list");
        assert!((Duration::from_millis(10)..=Duration::from_secs(60)).contains(&due.part));
    }
    if let Some(whole) = cadence.long_listed(&key) {
        assert_eq!(whole.split('?').next(), Some(wanted.playlist), "{key}");
    }
}

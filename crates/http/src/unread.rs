//! Which media answers of a connection were not taken yet, and since when.
//!
//! An HTTP/2 client can keep its window shut and still answer pings, so that the connection looks alive while each of
//! its streams holds a segment. What an answer holds is therefore counted until the last of its bytes is let go.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use millstream_media::time::MonoTime;

/// The answers of one connection.
#[derive(Debug, Default)]
pub struct Unread {
    open: Mutex<VecDeque<(MonoTime, Weak<()>)>>,
}

impl Unread {
    /// Notes an answer; it counts until its token and all bytes bound to it are dropped. As many are kept as HTTP lets a
    /// connection have open.
    pub fn begin(&self, now: MonoTime) -> Token {
        let token = Token(Arc::new(()));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, token)| token.strong_count() > 0);
        open.push_back((now, Arc::downgrade(&token.0)));
        token
    }

    /// Whether an answer was not taken within `limit`.
    pub fn is_overdue_at(&self, now: MonoTime, limit: Duration) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().any(|(since, token)| token.strong_count() > 0 && now.since(*since) >= limit)
    }
}

/// An answer that is being sent.
#[derive(Clone, Debug)]
pub struct Token(Arc<()>);

impl Token {
    /// The same bytes; while they are held, the answer counts.
    pub fn bind(&self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Bound { bytes, _token: self.clone() })
    }
}

struct Bound {
    bytes: Bytes,
    _token: Token,
}

impl AsRef<[u8]> for Bound {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_until_its_last_bytes_are_let_go() {
        let at = |s| MonoTime(Duration::from_secs(s));
        let limit = Duration::from_secs(60);
        let unread = Unread::default();
        let token = unread.begin(at(0));
        let mut held = token.bind(Bytes::from_static(b"segment"));
        drop(token);
        assert_eq!(held.split_to(3), "seg");
        assert!(!unread.is_overdue_at(at(59), limit));
        assert!(unread.is_overdue_at(at(60), limit));
        // A later one does not hide it, and one that was taken no longer counts.
        let later = unread.begin(at(61));
        assert!(unread.is_overdue_at(at(62), limit));
        drop(held);
        assert!(!unread.is_overdue_at(at(120), limit));
        assert!(unread.is_overdue_at(at(121), limit));
        drop(later);
        assert!(!unread.is_overdue_at(at(500), limit));
    }
}

//! The CMAF headers that a channel's encoder sent, over the ends of sessions and of the server: an encoder that goes on sends
//! media alone.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use millstream_control::channel::ChannelName;
use millstream_control::documents::{CmafHeaders, Documents};
use millstream_media::track::RenditionName;
use millstream_package::contributed::MAX_TRACKS;

/// Bytes of a header that is remembered; they have a kilobyte or two.
const MAX_BYTES: usize = 16 << 10;
/// Time that the store may take.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// What a channel remembers of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownHeaders(BTreeMap<RenditionName, Bytes>);

impl KnownHeaders {
    /// Those that were written. What cannot be read is said and left out: the encoder is asked for it.
    pub async fn load(documents: &Documents, name: &ChannelName) -> Self {
        let read = tokio::time::timeout(STORE_PATIENCE, documents.load_headers(name)).await;
        let found = match read {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(channel = %name, %error, "CMAF headers cannot be read; the encoder has to send them again");
                return KnownHeaders::default();
            }
            Err(_) => {
                tracing::warn!(channel = %name, "the store is slow; the encoder has to send its CMAF headers again");
                return KnownHeaders::default();
            }
        };
        let mut headers = KnownHeaders::default();
        for (track, text) in found.0 {
            let header = STANDARD.decode(text).ok().map(Bytes::from);
            if let (Some(track), Some(header)) = (RenditionName::new(&track), header) {
                headers.note(&track, &header);
            }
        }
        headers
    }

    /// Writes them.
    pub async fn save(&self, documents: &Documents, name: &ChannelName) {
        let headers = self.0.iter().map(|(track, header)| (track.to_string(), STANDARD.encode(header)));
        let document = CmafHeaders(headers.collect());
        match tokio::time::timeout(STORE_PATIENCE, documents.save_headers(name, &document)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(channel = %name, %error, "CMAF headers cannot be written"),
            Err(_) => tracing::warn!(channel = %name, "the store is slow; CMAF headers were not written"),
        }
    }

    /// A track has this header; there is no room for more than a channel's tracks. Whether that is news.
    pub fn note(&mut self, track: &RenditionName, header: &Bytes) -> bool {
        if header.len() > MAX_BYTES {
            // The one before it would be wrong.
            return self.0.remove(track).is_some();
        }
        if self.0.get(track) == Some(header) || (self.is_full() && !self.0.contains_key(track)) {
            return false;
        }
        self.0.insert(track.clone(), header.clone());
        true
    }

    /// Whether others have to be forgotten first.
    pub fn is_full(&self) -> bool {
        self.0.len() >= MAX_TRACKS
    }

    /// Forgets tracks. Whether there were any.
    pub fn keep(&mut self, is_used: impl Fn(&RenditionName) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|track, _| is_used(track));
        self.0.len() != before
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&RenditionName, &Bytes)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_bounded_and_the_newest_holds() {
        let track = |n: usize| RenditionName::new(&format!("t{n}")).unwrap();
        let mut headers = KnownHeaders::default();
        assert!(headers.note(&track(0), &Bytes::from_static(b"one")));
        assert!(!headers.note(&track(0), &Bytes::from_static(b"one")), "no news");
        assert!(headers.note(&track(0), &Bytes::from_static(b"two")));
        let large = Bytes::from(vec![0; MAX_BYTES + 1]);
        assert!(!headers.note(&track(1), &large), "too large");
        assert!(headers.note(&track(0), &large) && headers.iter().next().is_none(), "and the one before it is wrong");
        for n in 0..2 * MAX_TRACKS {
            headers.note(&track(n), &Bytes::from_static(b"two"));
        }
        assert!(headers.is_full() && headers.iter().count() == MAX_TRACKS);
        assert!(headers.keep(|of| *of == track(0)));
        assert!(!headers.keep(|_| true));
        assert_eq!(headers.iter().next(), Some((&track(0), &Bytes::from_static(b"two"))));
    }
}

//! Where encryption sits: periods and chunks on their way from the packager to what keeps them, and when keys change.
//!
//! Keys change with a new period, which has init segments of its own under the new key: every player knows new init
//! segments, few know sample groups. The number of a segment alone says its crypto period, so that two origins change at
//! the same segment.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use millstream_media::protection::{Scheme, Signalling};
use millstream_media::segment::Chunk;
use millstream_media::track::{RenditionName, Track};

use super::keys::{ContentKey, KeyPair};
use super::{Encryptor, Error};

/// Periods whose keys are kept for renditions that are behind.
const MAX_PERIODS: usize = 4;

/// What is said of a key: its signalling, and `pssh` boxes for init segments.
pub type Announce = Box<dyn Fn(Scheme, &ContentKey) -> (Signalling, Vec<Bytes>) + Send>;

/// A period, encrypted.
#[derive(Clone, Debug, PartialEq)]
pub struct Protected {
    /// Number of its first segment.
    pub first_segment: u64,
    /// Its tracks with their init segments.
    pub tracks: Vec<(Track, Bytes)>,
    /// What manifests say of them.
    pub signalling: BTreeMap<RenditionName, Signalling>,
}

struct Period {
    first_segment: u64,
    crypto_period: u64,
    tracks: Vec<Track>,
    encryptors: BTreeMap<RenditionName, Encryptor>,
}

/// The stage of one channel. It lets no clear media through: what it cannot encrypt is an error.
pub struct Stage {
    scheme: Scheme,
    pairs: Vec<KeyPair>,
    /// Segments of a crypto period; none if keys do not change.
    rotation: Option<u64>,
    announce: Announce,
    periods: VecDeque<Period>,
}

impl Stage {
    /// A stage that takes `pairs` in turn, each for `rotation` segments; there must be one at least.
    pub fn new(scheme: Scheme, pairs: Vec<KeyPair>, rotation: Option<u64>, announce: Announce) -> Self {
        Stage { scheme, pairs, rotation: rotation.filter(|n| *n > 0), announce, periods: VecDeque::new() }
    }

    /// A period begins.
    ///
    /// # Errors
    /// [`Error`] if a track cannot be encrypted; nothing of the period may be published then.
    pub fn begin(&mut self, first_segment: u64, tracks: Vec<Track>) -> Result<Protected, Error> {
        let crypto_period = self.crypto_period(first_segment);
        let pair = self.pair(crypto_period).ok_or(Error::NoKey)?;
        let mut protected = Protected { first_segment, tracks: Vec::new(), signalling: BTreeMap::new() };
        let mut encryptors = BTreeMap::new();
        for track in &tracks {
            let key = pair.of(track.is_video());
            let (signalling, pssh) = (self.announce)(self.scheme, key);
            let encryptor = Encryptor::new(track, self.scheme, key, pssh)?;
            protected.tracks.push((track.clone(), encryptor.init_segment()));
            protected.signalling.insert(track.name.clone(), signalling);
            encryptors.insert(track.name.clone(), encryptor);
        }
        // One that begins at or after it is replaced by it.
        self.periods.retain(|period| period.first_segment < first_segment);
        if self.periods.len() >= MAX_PERIODS {
            self.periods.pop_front();
        }
        self.periods.push_back(Period { first_segment, crypto_period, tracks, encryptors });
        Ok(protected)
    }

    /// The period that must begin before this chunk is encrypted, because its segment is of another crypto period.
    ///
    /// # Errors
    /// As [`Stage::begin`].
    pub fn rotate(&mut self, chunk: &Chunk) -> Result<Option<Protected>, Error> {
        let wanted = self.crypto_period(chunk.segment);
        let Some(newest) = self.periods.back() else { return Ok(None) };
        if chunk.segment <= newest.first_segment || wanted <= newest.crypto_period {
            return Ok(None);
        }
        let first = self.rotation.map_or(chunk.segment, |length| wanted.saturating_mul(length));
        let tracks = newest.tracks.clone();
        self.begin(first.max(newest.first_segment + 1), tracks).map(Some)
    }

    /// Encrypts a chunk with the keys of its segment.
    ///
    /// # Errors
    /// [`Error`]; the chunk must not be published then.
    pub fn chunk(&self, rendition: &RenditionName, chunk: &Chunk) -> Result<Chunk, Error> {
        let period = self.periods.iter().rev().find(|period| period.first_segment <= chunk.segment);
        let encryptor = period.and_then(|period| period.encryptors.get(rendition)).ok_or(Error::NoKey)?;
        encryptor.chunk(chunk)
    }

    fn crypto_period(&self, segment: u64) -> u64 {
        self.rotation.map_or(0, |length| segment / length)
    }

    fn pair(&self, crypto_period: u64) -> Option<&KeyPair> {
        let count = u64::try_from(self.pairs.len()).ok().filter(|n| *n > 0)?;
        self.pairs.get(usize::try_from(crypto_period % count).ok()?)
    }
}

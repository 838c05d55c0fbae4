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

/// Where keys come from.
pub trait KeySource: Send {
    /// The keys of a crypto period. `None` if they are not there yet; asking for them says that they are needed.
    fn pair(&self, crypto_period: u64) -> Option<KeyPair>;

    /// What is said of a key that was given.
    fn announce(&self, key: &ContentKey) -> (Signalling, Vec<Bytes>);
}

/// Keys that are taken in turn.
struct Listed {
    scheme: Scheme,
    pairs: Vec<KeyPair>,
    announce: Announce,
}

impl KeySource for Listed {
    fn pair(&self, crypto_period: u64) -> Option<KeyPair> {
        let count = u64::try_from(self.pairs.len()).ok().filter(|n| *n > 0)?;
        self.pairs.get(usize::try_from(crypto_period % count).ok()?).cloned()
    }

    fn announce(&self, key: &ContentKey) -> (Signalling, Vec<Bytes>) {
        (self.announce)(self.scheme, key)
    }
}

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
///
/// Where the next keys are not there in time, the last ones stay in use, and change with the first segment that begins
/// after the next ones have come.
pub struct Stage {
    scheme: Scheme,
    source: Box<dyn KeySource>,
    /// Segments of a crypto period; none if keys do not change.
    rotation: Option<u64>,
    periods: VecDeque<Period>,
    /// A period that could not begin because there was no key at all.
    waiting: Option<(u64, Vec<Track>)>,
    /// The newest segment of which a chunk has come.
    newest: Option<u64>,
}

impl Stage {
    /// A stage that takes `pairs` in turn, each for `rotation` segments; there must be one at least.
    pub fn new(scheme: Scheme, pairs: Vec<KeyPair>, rotation: Option<u64>, announce: Announce) -> Self {
        Stage::from_source(scheme, Box::new(Listed { scheme, pairs, announce }), rotation)
    }

    /// A stage whose keys come from `source`, a pair for each `rotation` segments.
    pub fn from_source(scheme: Scheme, source: Box<dyn KeySource>, rotation: Option<u64>) -> Self {
        let rotation = rotation.filter(|n| *n > 0);
        Stage { scheme, source, rotation, periods: VecDeque::new(), waiting: None, newest: None }
    }

    /// A period begins.
    ///
    /// # Errors
    /// [`Error`] if a track cannot be encrypted; nothing of the period may be published then. After [`Error::NoKey`] it
    /// begins with [`Stage::rotate`] once there is a key.
    pub fn begin(&mut self, first_segment: u64, tracks: Vec<Track>) -> Result<Protected, Error> {
        self.newest = first_segment.checked_sub(1);
        let wanted = self.crypto_period(first_segment);
        let last = self.periods.back().map(|period| period.crypto_period);
        let keys = |period| Some((period, self.source.pair(period)?));
        let Some((crypto_period, pair)) = keys(wanted).or_else(|| keys(last?)) else {
            self.waiting = Some((first_segment, tracks));
            return Err(Error::NoKey);
        };
        self.waiting = None;
        let mut protected = Protected { first_segment, tracks: Vec::new(), signalling: BTreeMap::new() };
        let mut encryptors = BTreeMap::new();
        for track in &tracks {
            let key = pair.of(track.is_video());
            let (signalling, pssh) = self.source.announce(key);
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

    /// The period that must begin before this chunk is encrypted, because its segment or the next one is of another crypto
    /// period: with the last segment under a key, so that low-latency lists can say the next one before they hint at a
    /// part under it.
    ///
    /// # Errors
    /// As [`Stage::begin`].
    pub fn rotate(&mut self, chunk: &Chunk) -> Result<Option<Protected>, Error> {
        let before = self.newest;
        self.newest = before.max(Some(chunk.segment));
        // A segment has one key: what is late begins with one of which nothing has come.
        let unbegun = |first: u64| before.filter(|n| *n >= first).map_or(first, |n| n.saturating_add(1));
        if let Some((first, tracks)) = &self.waiting {
            let (first, tracks) = (unbegun(*first), tracks.clone());
            let can = self.source.pair(self.crypto_period(first)).is_some();
            return if can && chunk.segment >= first { self.begin(first, tracks).map(Some) } else { Ok(None) };
        }
        let next = chunk.segment.saturating_add(1);
        let Some(newest) = self.periods.back() else { return Ok(None) };
        let is_due =
            |segment: u64| segment > newest.first_segment && self.crypto_period(segment) > newest.crypto_period;
        let Some(of) = [chunk.segment, next].into_iter().find(|segment| is_due(*segment)) else { return Ok(None) };
        let wanted = self.crypto_period(of);
        let first = self.rotation.map_or(of, |length| wanted.saturating_mul(length));
        let first = unbegun(first.max(newest.first_segment + 1));
        if self.source.pair(wanted).is_none() || next < first {
            return Ok(None);
        }
        let tracks = newest.tracks.clone();
        let begun = self.begin(first, tracks).map(Some);
        self.newest = self.newest.max(Some(chunk.segment));
        begun
    }

    /// Encrypts a chunk with the keys of its segment.
    ///
    /// # Errors
    /// [`Error`]; the chunk must not be published then.
    pub fn chunk(&mut self, rendition: &RenditionName, chunk: &Chunk) -> Result<Chunk, Error> {
        let period = self.periods.iter_mut().rev().find(|period| period.first_segment <= chunk.segment);
        let encryptor = period.and_then(|period| period.encryptors.get_mut(rendition)).ok_or(Error::NoKey)?;
        encryptor.chunk(chunk)
    }

    fn crypto_period(&self, segment: u64) -> u64 {
        self.rotation.map_or(0, |length| segment / length)
    }
}

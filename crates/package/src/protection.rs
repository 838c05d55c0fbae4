//! Content protection: clear chunks in, chunks under Common Encryption out (ISO/IEC 23001-7; STANDARDS 1.51, 3.17).
//!
//! The stage stands between the making of chunks and whatever keeps them, so that nothing behind it ever sees clear
//! media: the window, the recording, an edge. What comes out is a function of the key and of what goes in, no counter
//! and no chance in it: two origins with the same key and the same chunks hold the same bytes.
//!
//! - [`Encryptor`]: one track under one key; [`Stage`]: the tracks of a channel, and when keys change.
//! - [`keys`]: keys, which are never written out; [`cpix`]: the document by which a key server gives them; [`sealed`]: those
//!   that it encrypts for us.
//! - [`systems`]: what manifests say of ClearKey.

mod cipher;
pub mod cpix;
pub mod keys;
pub mod sealed;
mod stage;
mod subsamples;
pub mod systems;

use bytes::{Bytes, BytesMut};
use millstream_media::cmaf::{self, ChunkHead, EncryptedSample, WriteError, read};
use millstream_media::protection::{Scheme, TrackEncryption};
use millstream_media::segment::Chunk;
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::{Track, TrackMedia};
use millstream_media::unit::Sample;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

pub use stage::{Announce, KeySource, Protected, Stage};

use cipher::Cipher;
use keys::ContentKey;
use subsamples::Layout;

/// Of coded pictures one block in ten is encrypted (STANDARDS 3.17).
const VIDEO_PATTERN: (u8, u8) = (1, 9);

/// Why something is not encrypted; it must not be published then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The track's codec, or a slice of it, cannot be encrypted here.
    #[error("the pictures cannot be encrypted")]
    Codec(#[from] millstream_media::codec::Error),
    /// It is no chunk of ours.
    #[error("a chunk cannot be read")]
    Read(#[from] read::Error),
    /// A picture has more slices than a chunk can describe, or the chunk cannot be written.
    #[error("an encrypted chunk cannot be written")]
    Write(#[from] WriteError),
    /// There is not exactly one chunk.
    #[error("there is not exactly one chunk")]
    NotOne,
    /// There is no key for it.
    #[error("there is no key")]
    NoKey,
}

/// Encrypts one track with one key.
pub struct Encryptor {
    scheme: Scheme,
    cipher: Cipher,
    iv: [u8; 16],
    /// For video: where its coded pictures lie.
    layout: Option<Layout>,
    scale: Timescale,
    /// Of the clear track, as the reader of chunks wants it.
    clear: read::Init,
    init: Bytes,
    /// Tells renditions under one key apart.
    seed: u64,
}

impl Encryptor {
    /// For a track; `pssh` are whole boxes for its init segment.
    ///
    /// # Errors
    /// [`Error::Codec`] if its codec is none that can be encrypted here.
    pub fn new(track: &Track, scheme: Scheme, key: &ContentKey, pssh: Vec<Bytes>) -> Result<Self, Error> {
        let layout = match &track.media {
            TrackMedia::Video { config, .. } => Some(Layout::of(config)?),
            TrackMedia::Audio { .. } => None,
        };
        let iv = key.iv();
        let is_cbcs = scheme == Scheme::Cbcs;
        let encryption = TrackEncryption {
            scheme,
            key_id: key.id(),
            constant_iv: is_cbcs.then_some(iv),
            pattern: if is_cbcs && layout.is_some() { VIDEO_PATTERN } else { (0, 0) },
            pssh,
        };
        Ok(Encryptor {
            scheme,
            cipher: Cipher::new(key),
            iv,
            layout,
            scale: track.timescale,
            clear: read::init(&cmaf::init_segment(track))?,
            init: cmaf::protected_init_segment(track, &encryption),
            seed: xxh3_64(track.name.as_str().as_bytes()),
        })
    }

    /// The init segment.
    pub fn init_segment(&self) -> Bytes {
        self.init.clone()
    }

    /// Encrypts the track's next chunk; its first must begin with a key frame.
    ///
    /// # Errors
    /// [`Error`]; the chunk must then not be published.
    pub fn chunk(&mut self, chunk: &Chunk) -> Result<Chunk, Error> {
        let mut chunks = read::chunks(&chunk.bytes, &self.clear);
        let read = chunks.next().ok_or(Error::NotOne)??;
        if chunks.next().is_some() {
            return Err(Error::NotOne);
        }
        let mut samples = read.media_samples(&chunk.bytes)?;
        let mut encryption = Vec::with_capacity(samples.len());
        for sample in &mut samples {
            encryption.push(self.sample(sample)?);
        }
        let first = samples.first().ok_or(WriteError::Empty)?;
        let presented = first.dts.saturating_add_signed(first.composition_offset.into());
        let opens_at = read.styp.is_some().then(|| UtcTime::from_ticks(presented, self.scale));
        let head = ChunkHead { segment: chunk.segment, part: chunk.part, opens_at };
        Ok(cmaf::protected_chunk(head, &samples, &encryption)?)
    }

    fn sample(&mut self, sample: &mut Sample) -> Result<EncryptedSample, Error> {
        let subsamples = match &mut self.layout {
            Some(layout) => layout.subsamples(&sample.data, self.scheme)?,
            None => Vec::new(),
        };
        let mut data = BytesMut::from(&sample.data[..]);
        let iv = match self.scheme {
            Scheme::Cbcs => {
                let skip = if self.layout.is_some() { VIDEO_PATTERN.1 } else { 0 };
                for range in subsamples::ranges(data.len(), &subsamples) {
                    if let Some(bytes) = data.get_mut(range) {
                        self.cipher.cbc_pattern(&self.iv, skip.into(), bytes);
                    }
                }
                None
            }
            Scheme::Cenc => {
                let iv = self.sample_iv(sample);
                let mut counter = 0;
                for range in subsamples::ranges(data.len(), &subsamples) {
                    if let Some(bytes) = data.get_mut(range) {
                        counter = self.cipher.ctr(&iv, counter, bytes);
                    }
                }
                Some(iv)
            }
        };
        sample.data = data.freeze();
        Ok(EncryptedSample { iv, subsamples })
    }

    /// A sample's IV in counter mode, where two samples must never share one under a key: by the sample's bytes, its
    /// time and its rendition, so that another encoding of the same moment has another. It passes the cipher, so that
    /// it tells nothing of the bytes.
    fn sample_iv(&self, sample: &Sample) -> [u8; 8] {
        let seed = self.seed ^ sample.dts;
        let sealed = self.cipher.block(xxh3_128_with_seed(&sample.data, seed).to_be_bytes());
        let [a, b, c, d, e, f, g, h, ..] = sealed;
        [a, b, c, d, e, f, g, h]
    }
}

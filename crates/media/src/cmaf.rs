//! CMAF (ISO/IEC 23000-19): writing init segments and chunks, and reading them back.
//!
//! The bytes written are a pure function of the track's configuration and of media time, so that two origins
//! that package the same samples hold the same bytes.
//!
//! - [`init_segment`]: `ftyp` + `moov`.
//! - [`chunk`]: `moof` + `mdat`, the first of a segment preceded by `styp` and `prft`.
//! - [`read`]: a bounded reader for tests, checks and CMAF ingest.
//! - [`dump`]: a box tree as indented text.

mod boxes;
mod chunk;
pub mod dump;
mod init;
pub mod read;
mod sample_entry;

pub use chunk::{
    ChunkHead, EncryptedSample, MAX_CHUNK_BYTES, MAX_PARTS_PER_SEGMENT, WriteError, chunk, protected_chunk,
    sequence_number,
};
pub use init::{init_segment, protected_init_segment};

/// A box type or brand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourCc(pub [u8; 4]);

impl std::fmt::Display for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for b in self.0 {
            write!(f, "{}", b.escape_ascii())?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// The one track of a CMAF track file.
pub const TRACK_ID: u32 = 1;

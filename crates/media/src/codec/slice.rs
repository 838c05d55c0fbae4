//! Where a slice's data begins: encryption leaves NAL unit and slice headers clear (ISO/IEC 23001-7 9.5.2.5).

use super::avc_slice::AvcParameters;
use super::{Error, VideoConfig};

/// Bytes of a slice NAL unit that are read to find its header's end before all of it is; headers are far shorter.
pub(super) const HEADER_PROBE: usize = 512;

/// What must be known of a track to read its slice headers.
#[derive(Clone, Debug)]
pub struct SliceHeaders(AvcParameters);

impl SliceHeaders {
    /// Reads the track's parameter sets.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for codecs and tools whose slice headers are not read here.
    pub fn of(config: &VideoConfig) -> Result<Self, Error> {
        match config {
            VideoConfig::Avc(config) => Ok(SliceHeaders(AvcParameters::of(config)?)),
            VideoConfig::Hevc(_) => Err(Error::Unsupported { what: "encryption of codec", value: 265 }),
            VideoConfig::Av1(_) => Err(Error::Unsupported { what: "encryption of codec", value: 1 }),
        }
    }

    /// Bytes of a NAL unit, without its length field, that are no slice data: for a slice its headers up to the first
    /// whole byte of slice data; the whole length for other units.
    ///
    /// # Errors
    /// [`Error`] for a slice whose header cannot be read.
    pub fn clear_bytes(&self, nal: &[u8]) -> Result<usize, Error> {
        self.0.clear_bytes(nal)
    }
}

/// Bytes of an escaped payload that hold its first `bits` bits of content.
pub(super) fn escaped_len(payload: &[u8], bits: usize) -> usize {
    let wanted = bits.div_ceil(8);
    let (mut zeros, mut seen) = (0, 0);
    for (i, &b) in payload.iter().enumerate() {
        if seen == wanted {
            return i;
        }
        if zeros >= 2 && b == 3 {
            zeros = 0;
            continue;
        }
        zeros = if b == 0 { zeros + 1 } else { 0 };
        seen += 1;
    }
    payload.len()
}

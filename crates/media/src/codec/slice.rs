//! Where a slice's data begins: encryption leaves NAL unit and slice headers clear (ISO/IEC 23001-7 9.5.2.5).

use super::avc_slice::AvcParameters;
use super::hevc_slice::HevcParameters;
use super::{Error, VideoConfig};

/// Bytes of a slice NAL unit that are read to find its header's end before all of it is; headers are far shorter.
pub(super) const HEADER_PROBE: usize = 512;

/// What must be known of a track to read its slice headers.
#[derive(Clone, Debug)]
pub struct SliceHeaders(Parameters);

#[derive(Clone, Debug)]
enum Parameters {
    Avc(AvcParameters),
    Hevc(HevcParameters),
}

impl SliceHeaders {
    /// Reads the track's parameter sets.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for tools whose slice headers are not read here; AV1 has [`super::Av1Tiles`].
    pub fn of(config: &VideoConfig) -> Result<Self, Error> {
        match config {
            VideoConfig::Avc(config) => Ok(SliceHeaders(Parameters::Avc(AvcParameters::of(config)?))),
            VideoConfig::Hevc(config) => Ok(SliceHeaders(Parameters::Hevc(HevcParameters::of(config)?))),
            VideoConfig::Av1(_) => Err(Error::Missing { what: "slice in AV1" }),
        }
    }

    /// Bytes of a NAL unit, without its length field, that are no slice data: for a slice its headers up to the first
    /// whole byte of slice data; the whole length for other units.
    ///
    /// # Errors
    /// [`Error`] for a slice whose header cannot be read.
    pub fn clear_bytes(&self, nal: &[u8]) -> Result<usize, Error> {
        match &self.0 {
            Parameters::Avc(parameters) => parameters.clear_bytes(nal),
            Parameters::Hevc(parameters) => parameters.clear_bytes(nal),
        }
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

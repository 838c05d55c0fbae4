//! The FFmpeg libraries: small owners of what they allocate, safe to use from the rest of the worker.
//!
//! The bindings are used directly (not through a general wrapper crate), because the wrappers map every colour space,
//! pixel format and the like onto enums and panic on a value they do not know, and such values come from outside.
//! Only calls that FFmpeg 5.1 and all later versions have are used.

mod codec;
mod deinterlace;
mod demux;
mod frame;
mod resample;
mod scale;

use std::ffi::CStr;

pub use codec::{AudioEncoderSetup, Coded, Decoder, Encoder, MediaCodec, VideoEncoderSetup, has_encoder};
pub use deinterlace::Deinterlacer;
pub use demux::{Demuxer, Kind, Packet, Stream, codec_of};
pub use frame::{Frame, Picture};
pub use resample::Resampler;
pub use scale::{Rect, Scaler};

use ffmpeg_sys as ff;

/// A call into the libraries that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What was tried.
    pub doing: &'static str,
    /// The libraries' error number (negative).
    pub code: i32,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = [0_u8; 128];
        // SAFETY: the buffer is writable for the length given, and stays terminated.
        unsafe { ff::av_strerror(self.code, text.as_mut_ptr().cast(), text.len() - 1) };
        let text = CStr::from_bytes_until_nul(&text).map(CStr::to_string_lossy).unwrap_or_default();
        write!(f, "{}: {text}", self.doing)
    }
}

impl std::error::Error for Error {}

/// Turns a library's return value into a result.
fn check(code: i32, doing: &'static str) -> Result<i32, Error> {
    if code < 0 { Err(Error { doing, code }) } else { Ok(code) }
}

/// The error for an allocation that failed.
fn no_memory(doing: &'static str) -> Error {
    Error { doing, code: ff::AVERROR(libc::ENOMEM) }
}

/// Silences the libraries' own log: what they say about a hostile bitstream is without bound.
pub fn quiet() {
    // SAFETY: sets an integer.
    unsafe { ff::av_log_set_level(ff::AV_LOG_FATAL) };
}

/// Version and licence of libavcodec, for the log.
pub fn version() -> String {
    // SAFETY: both calls have no preconditions; the licence is a static string.
    let (v, licence) = unsafe { (ff::avcodec_version(), CStr::from_ptr(ff::avcodec_license())) };
    format!("libavcodec {}.{}.{}, {}", v >> 16, (v >> 8) & 0xff, v & 0xff, licence.to_string_lossy())
}

//! Frames: reference-counted pictures and blocks of samples.

use std::ptr::{self, NonNull};

use ffmpeg_sys as ff;

use super::{Error, check, no_memory};

/// A frame: a picture or a block of audio samples. Its buffers are reference counted.
pub struct Frame(NonNull<ff::AVFrame>);

// SAFETY: a frame has one owner; its buffers are reference counted atomically by libavutil.
unsafe impl Send for Frame {}

/// What is known about a picture besides its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pixel format, libavutil's number.
    pub format: i32,
    /// Shape of a pixel, width over height; (1, 1) where it is not known.
    pub pixel_aspect: (u32, u32),
    /// Samples use the full range 0 to 255.
    pub full_range: bool,
    /// Matrix coefficients (ISO/IEC 23091-2); 2 where they are not known.
    pub matrix: i32,
    /// Two fields.
    pub interlaced: bool,
}

impl Frame {
    /// An empty frame, to be filled by a decoder.
    pub fn empty() -> Result<Frame, Error> {
        // SAFETY: no preconditions.
        NonNull::new(unsafe { ff::av_frame_alloc() }).map(Frame).ok_or_else(|| no_memory("allocating a frame"))
    }

    /// A picture of `width` × `height` in planar 4:2:0, its pixels not yet set.
    pub fn yuv420(width: u32, height: u32) -> Result<Frame, Error> {
        let mut frame = Frame::empty()?;
        // SAFETY: a fresh frame; libavutil checks the size.
        unsafe {
            let f = frame.0.as_mut();
            f.format = ff::AVPixelFormat::YUV420P.0;
            f.width = i32::try_from(width).unwrap_or(-1);
            f.height = i32::try_from(height).unwrap_or(-1);
            f.color_range = ff::AVColorRange::MPEG;
            f.colorspace = ff::AVColorSpace::BT709;
            f.color_primaries = ff::AVColorPrimaries::BT709;
            f.color_trc = ff::AVColorTransferCharacteristic::BT709;
            f.sample_aspect_ratio = ff::AVRational { num: 1, den: 1 };
            check(ff::av_frame_get_buffer(f, 0), "allocating a picture")?;
        }
        Ok(frame)
    }

    /// The same in the colours of JPEG (BT.601, full range), to be coded with this quantiser's scale.
    pub fn jpeg(width: u32, height: u32, quality: i32) -> Result<Frame, Error> {
        let mut frame = Frame::yuv420(width, height)?;
        // SAFETY: a frame made just now.
        unsafe {
            let f = frame.0.as_mut();
            f.quality = quality * ff::FF_QP2LAMBDA;
            f.color_range = ff::AVColorRange::JPEG;
            f.colorspace = ff::AVColorSpace::BT470BG;
        }
        Ok(frame)
    }

    /// A block of `samples` planar float samples per channel at 48 kHz.
    pub fn audio(channels: usize, samples: &[Vec<f32>], from: usize, count: usize) -> Result<Frame, Error> {
        let mut frame = Frame::empty()?;
        // SAFETY: a fresh frame; the planes written have `count` floats each, as allocated.
        unsafe {
            let f = frame.0.as_mut();
            f.format = ff::AVSampleFormat::FLTP.0;
            f.sample_rate = 48_000;
            f.nb_samples = i32::try_from(count).unwrap_or(-1);
            ff::av_channel_layout_default(&mut f.ch_layout, i32::try_from(channels).unwrap_or(2));
            check(ff::av_frame_get_buffer(f, 0), "allocating samples")?;
            for (plane, source) in samples.iter().enumerate().take(channels.min(8)) {
                let Some(block) = source.get(from..from + count) else { continue };
                ptr::copy_nonoverlapping(block.as_ptr(), f.data[plane].cast::<f32>(), count);
            }
        }
        Ok(frame)
    }

    /// Another owner of the same buffers.
    pub fn share(&self) -> Result<Frame, Error> {
        // SAFETY: the source is a valid frame.
        NonNull::new(unsafe { ff::av_frame_clone(self.0.as_ptr()) })
            .map(Frame)
            .ok_or_else(|| no_memory("sharing a frame"))
    }

    /// Whether nobody else holds the pixels.
    pub fn is_unshared(&mut self) -> bool {
        // SAFETY: a valid frame.
        unsafe { ff::av_frame_is_writable(self.0.as_ptr()) > 0 }
    }

    /// What is known about the picture.
    pub fn picture(&self) -> Picture {
        // SAFETY: a valid frame.
        let f = unsafe { self.0.as_ref() };
        let aspect = f.sample_aspect_ratio;
        let pixel_aspect = match (u32::try_from(aspect.num), u32::try_from(aspect.den)) {
            (Ok(num), Ok(den)) if num > 0 && den > 0 => (num, den),
            _ => (1, 1),
        };
        #[cfg(ffmpeg_6_1)]
        let interlaced = f.flags & (ff::AV_FRAME_FLAG_INTERLACED as i32) != 0;
        #[cfg(not(ffmpeg_6_1))]
        let interlaced = f.interlaced_frame != 0;
        Picture {
            width: u32::try_from(f.width).unwrap_or(0),
            height: u32::try_from(f.height).unwrap_or(0),
            format: f.format,
            pixel_aspect,
            full_range: f.color_range == ff::AVColorRange::JPEG || is_j_format(f.format),
            matrix: f.colorspace.0 as i32,
            interlaced,
        }
    }

    /// Presentation time as the decoder understood it.
    pub fn pts(&self) -> Option<i64> {
        // SAFETY: a valid frame.
        let f = unsafe { self.0.as_ref() };
        [f.pts, f.best_effort_timestamp].into_iter().find(|t| *t != ff::AV_NOPTS_VALUE)
    }

    /// Sets the presentation time.
    pub fn set_pts(&mut self, pts: i64) {
        // SAFETY: a valid frame.
        unsafe { self.0.as_mut().pts = pts };
    }

    /// Asks the encoder for a key frame, or leaves the kind to it.
    pub fn force_key(&mut self, key: bool) {
        // SAFETY: a valid frame.
        unsafe { self.0.as_mut().pict_type = if key { ff::AVPictureType::I } else { ff::AVPictureType::NONE } };
    }

    /// Samples per channel, samples per second, sample format and channels of a block of samples.
    pub fn audio_shape(&self) -> (usize, i32, i32, i32) {
        // SAFETY: a valid frame.
        let f = unsafe { self.0.as_ref() };
        (usize::try_from(f.nb_samples).unwrap_or(0), f.sample_rate, f.format, f.ch_layout.nb_channels)
    }

    /// The plane `index` of a 4:2:0 picture made here as rows: (bytes, stride in bytes, rows).
    pub fn plane_mut(&mut self, index: usize) -> Option<(&mut [u8], usize)> {
        // SAFETY: a valid frame.
        let f = unsafe { self.0.as_mut() };
        if f.format != ff::AVPixelFormat::YUV420P.0 || index > 2 || f.data[index].is_null() {
            return None;
        }
        let stride = usize::try_from(f.linesize[index]).ok()?;
        let height = usize::try_from(f.height).ok()?;
        let rows = if index == 0 { height } else { height.div_ceil(2) };
        // SAFETY: av_frame_get_buffer allocated `stride * rows` bytes for this plane, and `&mut self` is the only owner
        // of this frame; callers write only to pictures not yet shared.
        Some((unsafe { std::slice::from_raw_parts_mut(f.data[index], stride * rows) }, stride))
    }

    pub(super) fn as_ptr(&self) -> *const ff::AVFrame {
        self.0.as_ptr()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut ff::AVFrame {
        self.0.as_ptr()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let mut frame = self.0.as_ptr();
        // SAFETY: the frame is owned and not used again.
        unsafe { ff::av_frame_free(&mut frame) };
    }
}

/// The old pixel formats whose name says full range.
fn is_j_format(format: i32) -> bool {
    // SAFETY: returns null for a number it does not know.
    let name = unsafe { ff::av_get_pix_fmt_name(ff::AVPixelFormat(format)) };
    if name.is_null() {
        return false;
    }
    // SAFETY: a static string.
    unsafe { std::ffi::CStr::from_ptr(name) }.to_bytes().starts_with(b"yuvj")
}

//! Scaling and colour conversion of pictures into planar 4:2:0, BT.709, limited range.

use std::ptr::{self, NonNull};

use ffmpeg_sys as ff;

use super::frame::{Frame, Picture};
use super::{Error, check};

/// BT.709 matrix coefficients (ISO/IEC 23091-2).
const BT709: i32 = 1;
/// BT.601 matrix coefficients.
const BT601: i32 = 5;
/// "Not known".
const UNSPECIFIED: i32 = 2;
/// Bilinear: for scaling down libswscale widens the filter to the ratio, so no detail aliases.
const FLAGS: i32 = 2;

/// A rectangle of a picture in pixels; all numbers even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// Scales pictures of one shape into one rectangle.
pub struct Scaler {
    context: NonNull<ff::SwsContext>,
    from: Picture,
    to: (u32, u32),
}

// SAFETY: a context has one owner and is used from one thread at a time.
unsafe impl Send for Scaler {}

impl Scaler {
    /// A scaler from pictures like `from` to `width` × `height`.
    pub fn new(from: Picture, width: u32, height: u32) -> Result<Scaler, Error> {
        Self::into_colours(from, width, height, BT709, false)
    }

    /// The same, into the colours of JPEG (JFIF): BT.601, full range.
    pub fn for_jpeg(from: Picture, width: u32, height: u32) -> Result<Scaler, Error> {
        Self::into_colours(from, width, height, BT601, true)
    }

    fn into_colours(from: Picture, width: u32, height: u32, matrix: i32, full_range: bool) -> Result<Scaler, Error> {
        let doing = "setting up the scaler";
        let side = |v: u32| i32::try_from(v).unwrap_or(0);
        // SAFETY: libswscale checks sizes and formats and returns null if it cannot.
        let context = unsafe {
            ff::sws_getContext(
                side(from.width),
                side(from.height),
                ff::AVPixelFormat(from.format),
                side(width),
                side(height),
                ff::AVPixelFormat::YUV420P,
                FLAGS as _,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            )
        };
        let context = NonNull::new(context).ok_or(Error { doing, code: ff::AVERROR(libc::EINVAL) })?;
        let scaler = Scaler { context, from, to: (width, height) };
        // SAFETY: the context is valid, the tables are static. A refusal (formats without a matrix) leaves the default
        // conversion, which is right for those.
        unsafe {
            ff::sws_setColorspaceDetails(
                scaler.context.as_ptr(),
                ff::sws_getCoefficients(matrix_of(&from)),
                i32::from(from.full_range),
                ff::sws_getCoefficients(matrix),
                i32::from(full_range),
                0,
                1 << 16,
                1 << 16,
            );
        }
        Ok(scaler)
    }

    /// Whether it fits this job.
    pub fn fits(&self, from: &Picture, width: u32, height: u32) -> bool {
        shape(&self.from) == shape(from) && self.to == (width, height)
    }

    /// Scales `source` into `rect` of `target`, which is a 4:2:0 picture made here and large enough.
    pub fn scale(&mut self, source: &Frame, target: &mut Frame, rect: Rect) -> Result<(), Error> {
        let (size, inside) = (target.picture(), source.picture());
        let fits = rect.x + rect.width <= size.width && rect.y + rect.height <= size.height;
        if !fits || (rect.width, rect.height) != self.to || shape(&inside) != shape(&self.from) {
            return Err(Error { doing: "scaling into a picture of another size", code: ff::AVERROR(libc::EINVAL) });
        }
        // SAFETY: the source has the shape the context was made for; the rectangle lies inside the target.
        unsafe {
            let from = &*source.as_ptr();
            let to = &*target.as_mut_ptr();
            let mut planes = [ptr::null_mut::<u8>(); 4];
            for (index, plane) in planes.iter_mut().enumerate().take(3) {
                let shift = u32::from(index > 0);
                let stride = to.linesize[index] as isize;
                let offset = (rect.y >> shift) as isize * stride + (rect.x >> shift) as isize;
                *plane = to.data[index].offset(offset);
            }
            check(
                ff::sws_scale(
                    self.context.as_ptr(),
                    from.data.as_ptr().cast(),
                    from.linesize.as_ptr(),
                    0,
                    from.height,
                    planes.as_ptr(),
                    to.linesize.as_ptr(),
                ),
                "scaling",
            )?;
        }
        Ok(())
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: owned, not used again.
        unsafe { ff::sws_freeContext(self.context.as_ptr()) };
    }
}

/// Whether a picture can go to the encoder as it is.
pub(super) fn is_output_shape(p: &Picture) -> bool {
    p.format == ff::AVPixelFormat::YUV420P.0 && !p.full_range && matrix_of(p) == BT709
}

/// The matrix of a picture; where it does not say, BT.709 from 720 lines (or a width of 1280) on, else BT.601.
fn matrix_of(p: &Picture) -> i32 {
    match p.matrix {
        UNSPECIFIED | 0 | 3 if p.height >= 720 || p.width >= 1280 => BT709,
        UNSPECIFIED | 0 | 3 => BT601,
        other => other,
    }
}

fn shape(p: &Picture) -> (u32, u32, i32, bool, i32) {
    (p.width, p.height, p.format, p.full_range, matrix_of(p))
}

impl Picture {
    /// Whether the picture is planar 4:2:0, BT.709, limited range already.
    pub fn is_output_shape(&self) -> bool {
        is_output_shape(self)
    }
}

//! Resampling of decoded audio to planar float at 48 kHz, mono or stereo, with soft drift compensation.

use std::ptr::{self, NonNull};

use ffmpeg_sys as ff;

use super::frame::Frame;
use super::{Error, check};

/// The output's samples per second.
const OUT_RATE: i32 = 48_000;

/// A resampler from one shape of input.
pub struct Resampler {
    context: NonNull<ff::SwrContext>,
    shape: (i32, i32, i32),
    channels: usize,
}

// SAFETY: a context has one owner and is used from one thread at a time.
unsafe impl Send for Resampler {}

impl Resampler {
    /// A resampler for blocks like `frame`, to `channels` (1 or 2) channels.
    pub fn new(frame: &Frame, channels: usize) -> Result<Resampler, Error> {
        let doing = "setting up the resampler";
        let (_, rate, format, inputs) = frame.audio_shape();
        let mut context = ptr::null_mut();
        // SAFETY: layouts are initialised before use and need no release (native order); libswresample checks the rest.
        unsafe {
            let mut out: ff::AVChannelLayout = std::mem::zeroed();
            ff::av_channel_layout_default(&mut out, i32::try_from(channels).unwrap_or(2));
            // A source that does not say where its channels sit is taken to have the usual places.
            let mut usual: ff::AVChannelLayout = std::mem::zeroed();
            ff::av_channel_layout_default(&mut usual, inputs);
            // Not written to; FFmpeg before 6 only forgot to say so.
            let given = (&raw const (*frame.as_ptr()).ch_layout).cast_mut();
            let source = if (*given).order == ff::AVChannelOrder::UNSPEC { &raw mut usual } else { given };
            let code = ff::swr_alloc_set_opts2(
                &mut context,
                &raw mut out,
                ff::AVSampleFormat::FLTP,
                OUT_RATE,
                source,
                ff::AVSampleFormat(format),
                rate,
                0,
                ptr::null_mut(),
            );
            check(code, doing)?;
        }
        let context = NonNull::new(context).ok_or(Error { doing, code: ff::AVERROR(libc::EINVAL) })?;
        let made = Resampler { context, shape: (rate, format, inputs), channels };
        // SAFETY: a valid context. The resampler always runs, so that compensation can begin without a new start.
        unsafe {
            ff::av_opt_set_int(context.as_ptr().cast(), c"flags".as_ptr(), ff::SWR_FLAG_RESAMPLE.into(), 0);
            check(ff::swr_init(context.as_ptr()), doing)?;
        }
        Ok(made)
    }

    /// Whether blocks like this one can go in.
    pub fn fits(&self, frame: &Frame, channels: usize) -> bool {
        let (_, rate, format, inputs) = frame.audio_shape();
        self.shape == (rate, format, inputs) && self.channels == channels
    }

    /// Samples at 48 kHz that went in and have not come out.
    pub fn delay(&self) -> i64 {
        // SAFETY: a valid context.
        unsafe { ff::swr_get_delay(self.context.as_ptr(), OUT_RATE.into()) }
    }

    /// Stretches (positive) or shrinks the next 48,000 samples by `samples`.
    pub fn compensate(&mut self, samples: i32) {
        // SAFETY: a valid context. A refusal leaves the rate as it was; the hard bound then corrects.
        unsafe { ff::swr_set_compensation(self.context.as_ptr(), samples, if samples == 0 { 0 } else { OUT_RATE }) };
    }

    /// Converts a block; appends what comes out to `out`, one vector for each channel.
    pub fn convert(&mut self, frame: &Frame, out: &mut [Vec<f32>]) -> Result<(), Error> {
        let (samples, ..) = frame.audio_shape();
        let input = i32::try_from(samples).unwrap_or(0);
        // SAFETY: a valid context.
        let room = unsafe { ff::swr_get_out_samples(self.context.as_ptr(), input) };
        let room = check(room, "resampling")?;
        let room_len = usize::try_from(room).unwrap_or(0) + 64;
        let starts: Vec<usize> = out.iter().map(Vec::len).collect();
        let mut planes = [ptr::null_mut::<u8>(); 8];
        for (plane, channel) in planes.iter_mut().zip(out.iter_mut()) {
            channel.resize(channel.len() + room_len, 0.0);
            let start = channel.len() - room_len;
            *plane = channel.get_mut(start..).map_or(ptr::null_mut(), |s| s.as_mut_ptr().cast());
        }
        // SAFETY: each output plane has `room_len` floats; the input planes are the frame's own. `extended_data` holds
        // as many planes as the frame has channels.
        let made = unsafe {
            let source = (*frame.as_ptr()).extended_data as *mut *const u8;
            ff::swr_convert(
                self.context.as_ptr(),
                planes.as_mut_ptr() as *mut _,
                i32::try_from(room_len).unwrap_or(room),
                source as *mut _,
                input,
            )
        };
        let kept = usize::try_from(made.max(0)).unwrap_or(0);
        for (channel, start) in out.iter_mut().zip(starts) {
            channel.truncate(start + kept);
        }
        check(made, "resampling").map(drop)
    }
}

impl Drop for Resampler {
    fn drop(&mut self) {
        let mut context = self.context.as_ptr();
        // SAFETY: owned, not used again.
        unsafe { ff::swr_free(&mut context) };
    }
}

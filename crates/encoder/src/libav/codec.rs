//! Decoders and encoders.

use std::ffi::CString;
use std::ptr::{self, NonNull};

use ffmpeg_sys as ff;

use super::demux::{Demuxer, Packet};
use super::frame::Frame;
use super::{Error, check, no_memory};

/// What a decoder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaCodec {
    /// H.264.
    H264,
    /// H.265.
    Hevc,
    /// AV1.
    Av1,
    /// AAC.
    Aac,
    /// Opus.
    Opus,
}

impl MediaCodec {
    fn id(self) -> ff::AVCodecID {
        match self {
            MediaCodec::H264 => ff::AVCodecID::H264,
            MediaCodec::Hevc => ff::AVCodecID::HEVC,
            MediaCodec::Av1 => ff::AVCodecID::AV1,
            MediaCodec::Aac => ff::AVCodecID::AAC,
            MediaCodec::Opus => ff::AVCodecID::OPUS,
        }
    }
}

/// An open codec and the packet it is fed with or read into.
struct Codec {
    context: NonNull<ff::AVCodecContext>,
    packet: NonNull<ff::AVPacket>,
}

// SAFETY: a codec has one owner and is used from one thread at a time; its own threads are its own matter.
unsafe impl Send for Codec {}

impl Codec {
    fn new(codec: *const ff::AVCodec, doing: &'static str) -> Result<Codec, Error> {
        // SAFETY: no preconditions on either call.
        let (context, packet) = unsafe { (ff::avcodec_alloc_context3(codec), ff::av_packet_alloc()) };
        match (NonNull::new(context), NonNull::new(packet)) {
            (Some(context), Some(packet)) => Ok(Codec { context, packet }),
            _ => Err(no_memory(doing)),
        }
    }

    /// Copies `extradata` into the context, padded as the libraries want it.
    fn set_extradata(&mut self, extradata: &[u8], doing: &'static str) -> Result<(), Error> {
        let size = i32::try_from(extradata.len()).map_err(|_| no_memory(doing))?;
        // SAFETY: the buffer is zeroed and larger than what is copied; the context frees it.
        unsafe {
            let padding = ff::AV_INPUT_BUFFER_PADDING_SIZE as usize;
            let buffer = ff::av_mallocz((extradata.len() + padding) as _).cast::<u8>();
            if buffer.is_null() {
                return Err(no_memory(doing));
            }
            ptr::copy_nonoverlapping(extradata.as_ptr(), buffer, extradata.len());
            let context = self.context.as_mut();
            context.extradata = buffer;
            context.extradata_size = size;
        }
        Ok(())
    }
}

impl Drop for Codec {
    fn drop(&mut self) {
        let (mut context, mut packet) = (self.context.as_ptr(), self.packet.as_ptr());
        // SAFETY: both are owned and not used again.
        unsafe {
            ff::av_packet_free(&mut packet);
            ff::avcodec_free_context(&mut context);
        }
    }
}

/// A decoder of one elementary stream.
pub struct Decoder(Codec);

impl Decoder {
    /// Opens a decoder; `extradata` is the codec's configuration record in the form libavcodec wants. `threads` of
    /// more than 1 hold back as many pictures less one.
    pub fn open(codec: MediaCodec, extradata: &[u8], threads: i32) -> Result<Decoder, Error> {
        let doing = "opening the decoder";
        // SAFETY: returns null if there is none.
        let found = unsafe { ff::avcodec_find_decoder(codec.id()) };
        if found.is_null() {
            return Err(Error { doing, code: ff::AVERROR_DECODER_NOT_FOUND });
        }
        let mut made = Codec::new(found, doing)?;
        made.set_extradata(extradata, doing)?;
        // SAFETY: a fresh context.
        unsafe {
            let context = made.context.as_mut();
            context.thread_count = threads;
            context.pkt_timebase = ff::AVRational { num: 1, den: 1_000_000_000 };
            check(ff::avcodec_open2(context, found, ptr::null_mut()), doing)?;
        }
        Ok(Decoder(made))
    }

    /// Opens a decoder of a file's stream.
    pub fn open_stream(file: &Demuxer, index: i32, threads: i32) -> Result<Decoder, Error> {
        let doing = "opening the decoder";
        let none = Error { doing, code: ff::AVERROR_DECODER_NOT_FOUND };
        let parameters = file.parameters(index).ok_or_else(|| none.clone())?;
        // SAFETY: the parameters belong to the open file; a decoder that is not there is null.
        let found = unsafe { ff::avcodec_find_decoder((*parameters).codec_id) };
        if found.is_null() {
            return Err(none);
        }
        let mut made = Codec::new(found, doing)?;
        // SAFETY: a fresh context, into which the parameters are copied.
        unsafe {
            let context = made.context.as_mut();
            check(ff::avcodec_parameters_to_context(context, parameters), doing)?;
            context.thread_count = threads;
            context.pkt_timebase = ff::AVRational { num: 1, den: 1_000_000_000 };
            check(ff::avcodec_open2(context, found, ptr::null_mut()), doing)?;
        }
        Ok(Decoder(made))
    }

    /// Feeds a packet of a file. The caller takes out what is ready before each call.
    pub fn send_packet(&mut self, packet: &Packet) -> Result<(), Error> {
        // SAFETY: a valid context; the packet is only read.
        check(unsafe { ff::avcodec_send_packet(self.0.context.as_ptr(), packet.as_ptr()) }, "decoding").map(drop)
    }

    /// Feeds one access unit with its times in nanoseconds. The caller takes out what is ready before each call.
    pub fn send(&mut self, data: &[u8], pts: i64, dts: i64, key: bool) -> Result<(), Error> {
        let doing = "decoding";
        let size = i32::try_from(data.len()).map_err(|_| no_memory(doing))?;
        // SAFETY: av_new_packet allocates `size` bytes and the padding after them.
        unsafe {
            let packet = self.0.packet.as_mut();
            ff::av_packet_unref(packet);
            check(ff::av_new_packet(packet, size), doing)?;
            ptr::copy_nonoverlapping(data.as_ptr(), packet.data, data.len());
            packet.pts = pts;
            packet.dts = dts;
            packet.flags = if key { ff::AV_PKT_FLAG_KEY } else { 0 };
            let sent = ff::avcodec_send_packet(self.0.context.as_ptr(), packet);
            ff::av_packet_unref(packet);
            check(sent, doing).map(drop)
        }
    }

    /// Says that no more will come, so that [`Decoder::receive`] gives what was held back.
    pub fn finish(&mut self) {
        // SAFETY: a valid context; a null packet means the end.
        unsafe { ff::avcodec_send_packet(self.0.context.as_ptr(), ptr::null()) };
    }

    /// Takes a decoded frame out, if one is ready.
    pub fn receive(&mut self) -> Result<Option<Frame>, Error> {
        let mut frame = Frame::empty()?;
        // SAFETY: a valid context, an empty frame.
        let code = unsafe { ff::avcodec_receive_frame(self.0.context.as_ptr(), frame.as_mut_ptr()) };
        if code == ff::AVERROR(libc::EAGAIN) || code == ff::AVERROR_EOF {
            return Ok(None);
        }
        check(code, "decoding")?;
        Ok(Some(frame))
    }
}

/// What a video encoder is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoEncoderSetup {
    /// Library name, such as `libx264`.
    pub encoder: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second as a fraction.
    pub rate: (u32, u32),
    /// Target bit rate in bit/s.
    pub bit_rate: u32,
    /// VBV maximum in bit/s.
    pub max_rate: u32,
    /// VBV buffer in bits.
    pub buffer: u32,
    /// Longest distance between key frames in frames.
    pub gop: u32,
    /// Threads, a fixed number, so that the output does not depend on the machine.
    pub threads: u32,
    /// The library's own options.
    pub options: Vec<(&'static str, String)>,
}

/// What an audio encoder is opened with (AAC-LC at 48 kHz).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioEncoderSetup {
    /// Target bit rate in bit/s.
    pub bit_rate: u32,
    /// Channels, 1 or 2.
    pub channels: usize,
}

/// An encoded unit.
pub struct Coded {
    /// The bytes as the library made them.
    pub data: Vec<u8>,
    /// Presentation time in the encoder's time base.
    pub pts: i64,
    /// A key frame.
    pub key: bool,
}

/// An open encoder.
pub struct Encoder(Codec);

/// Whether the library has this encoder.
pub fn has_encoder(name: &str) -> bool {
    find_encoder(name).is_some()
}

fn find_encoder(name: &str) -> Option<*const ff::AVCodec> {
    let name = CString::new(name).ok()?;
    // SAFETY: a terminated string; returns null if there is none.
    let found = unsafe { ff::avcodec_find_encoder_by_name(name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

impl Encoder {
    /// Opens a video encoder; pictures are planar 4:2:0, BT.709, square pixels; times are frame numbers.
    pub fn open_video(setup: &VideoEncoderSetup) -> Result<Encoder, Error> {
        let doing = "opening the video encoder";
        let found = find_encoder(&setup.encoder).ok_or(Error { doing, code: ff::AVERROR_ENCODER_NOT_FOUND })?;
        let mut made = Codec::new(found, doing)?;
        let side = |v: u32| i32::try_from(v).unwrap_or(0);
        // SAFETY: a fresh context.
        unsafe {
            let context = made.context.as_mut();
            context.width = side(setup.width);
            context.height = side(setup.height);
            context.pix_fmt = ff::AVPixelFormat::YUV420P;
            context.time_base = ff::AVRational { num: side(setup.rate.1), den: side(setup.rate.0) };
            context.framerate = ff::AVRational { num: side(setup.rate.0), den: side(setup.rate.1) };
            context.sample_aspect_ratio = ff::AVRational { num: 1, den: 1 };
            context.bit_rate = i64::from(setup.bit_rate) as _;
            context.rc_max_rate = i64::from(setup.max_rate) as _;
            context.rc_buffer_size = side(setup.buffer);
            context.gop_size = side(setup.gop);
            context.max_b_frames = 0;
            context.thread_count = side(setup.threads);
            context.color_range = ff::AVColorRange::MPEG;
            context.colorspace = ff::AVColorSpace::BT709;
            context.color_primaries = ff::AVColorPrimaries::BT709;
            context.color_trc = ff::AVColorTransferCharacteristic::BT709;
            context.flags |= (ff::AV_CODEC_FLAG_GLOBAL_HEADER | ff::AV_CODEC_FLAG_CLOSED_GOP) as i32;
        }
        made.open(found, &setup.options, doing)
    }

    /// Opens an encoder of single JPEGs: planar 4:2:0, BT.601, full range. `quality` is the quantiser's scale, 2 to 31, the
    /// lower the better. All pictures have the same tables.
    pub fn open_jpeg(width: u32, height: u32, quality: i32) -> Result<Encoder, Error> {
        let doing = "opening the JPEG encoder";
        let found = find_encoder("mjpeg").ok_or(Error { doing, code: ff::AVERROR_ENCODER_NOT_FOUND })?;
        let mut made = Codec::new(found, doing)?;
        let side = |v: u32| i32::try_from(v).unwrap_or(0);
        // SAFETY: a fresh context.
        unsafe {
            let context = made.context.as_mut();
            context.width = side(width);
            context.height = side(height);
            context.pix_fmt = ff::AVPixelFormat::YUV420P;
            context.color_range = ff::AVColorRange::JPEG;
            context.time_base = ff::AVRational { num: 1, den: 25 };
            context.global_quality = quality * ff::FF_QP2LAMBDA;
            context.thread_count = 1;
            context.flags |= (ff::AV_CODEC_FLAG_QSCALE | ff::AV_CODEC_FLAG_BITEXACT) as i32;
        }
        made.open(found, &[("huffman", "default".to_owned())], doing)
    }

    /// Opens the AAC-LC encoder; times are samples.
    pub fn open_audio(setup: AudioEncoderSetup) -> Result<Encoder, Error> {
        let doing = "opening the audio encoder";
        let found = find_encoder("aac").ok_or(Error { doing, code: ff::AVERROR_ENCODER_NOT_FOUND })?;
        let mut made = Codec::new(found, doing)?;
        // SAFETY: a fresh context.
        unsafe {
            let context = made.context.as_mut();
            context.sample_fmt = ff::AVSampleFormat::FLTP;
            context.sample_rate = 48_000;
            context.bit_rate = i64::from(setup.bit_rate) as _;
            context.time_base = ff::AVRational { num: 1, den: 48_000 };
            ff::av_channel_layout_default(&mut context.ch_layout, i32::try_from(setup.channels).unwrap_or(2));
            context.flags |= ff::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
        }
        made.open(found, &[], doing)
    }

    /// The configuration the encoder wrote when it was opened, in the library's own form; may be empty.
    pub fn extradata(&self) -> Vec<u8> {
        // SAFETY: an open context; the buffer holds `extradata_size` bytes.
        unsafe {
            let context = self.0.context.as_ref();
            match usize::try_from(context.extradata_size) {
                Ok(size) if size > 0 && !context.extradata.is_null() => {
                    std::slice::from_raw_parts(context.extradata, size).to_vec()
                }
                _ => Vec::new(),
            }
        }
    }

    /// Feeds a frame; `None` says that no more will come. The caller takes out what is ready after each call.
    pub fn send(&mut self, frame: Option<&Frame>) -> Result<(), Error> {
        // SAFETY: an open context; the frame is only read.
        let code = unsafe {
            ff::avcodec_send_frame(self.0.context.as_ptr(), frame.map_or(ptr::null(), super::frame::Frame::as_ptr))
        };
        check(code, "encoding").map(drop)
    }

    /// Takes an encoded unit out, if one is ready.
    pub fn receive(&mut self) -> Result<Option<Coded>, Error> {
        // SAFETY: an open context and our own packet, whose data are valid until it is unreferenced.
        unsafe {
            let packet = self.0.packet.as_mut();
            let code = ff::avcodec_receive_packet(self.0.context.as_ptr(), packet);
            if code == ff::AVERROR(libc::EAGAIN) || code == ff::AVERROR_EOF {
                return Ok(None);
            }
            check(code, "encoding")?;
            let size = usize::try_from(packet.size).unwrap_or(0);
            let data =
                if packet.data.is_null() { Vec::new() } else { std::slice::from_raw_parts(packet.data, size).to_vec() };
            let coded = Coded { data, pts: packet.pts, key: packet.flags & ff::AV_PKT_FLAG_KEY != 0 };
            ff::av_packet_unref(packet);
            Ok(Some(coded))
        }
    }
}

impl Codec {
    /// Opens an encoder with the library's own options; an option it does not know is an error.
    fn open(
        mut self,
        codec: *const ff::AVCodec,
        options: &[(&str, String)],
        doing: &'static str,
    ) -> Result<Encoder, Error> {
        let mut dictionary = ptr::null_mut();
        // SAFETY: terminated strings, copied by the dictionary, which is freed here.
        unsafe {
            for (key, value) in options {
                if let (Ok(key), Ok(value)) = (CString::new(*key), CString::new(value.as_str())) {
                    ff::av_dict_set(&mut dictionary, key.as_ptr(), value.as_ptr(), 0);
                }
            }
            let opened = ff::avcodec_open2(self.context.as_mut(), codec, &mut dictionary);
            let left = ff::av_dict_count(dictionary);
            ff::av_dict_free(&mut dictionary);
            check(opened, doing)?;
            if left > 0 {
                return Err(Error { doing, code: ff::AVERROR_OPTION_NOT_FOUND });
            }
        }
        Ok(Encoder(self))
    }
}

//! Demuxers: streams and packets of a file that is one descriptor, opened before the process was confined.
//!
//! The libraries reach nothing but that descriptor: a container that names other files is refused their contents.

use std::ffi::{CStr, CString, c_int, c_void};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};

use ffmpeg_sys as ff;

use super::{Error, check, no_memory};

/// Bytes read at a time.
const READ_BYTES: usize = 128 * 1024;
const NANOS: ff::AVRational = ff::AVRational { num: 1, den: 1_000_000_000 };

/// The descriptor and where the libraries read in it.
struct Source {
    file: File,
    position: u64,
    size: u64,
}

/// An open file.
pub struct Demuxer {
    context: *mut ff::AVFormatContext,
    io: *mut ff::AVIOContext,
    /// The callbacks of `io` point to it.
    source: *mut Source,
}

/// What kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// A stream of a file.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its number.
    pub index: i32,
    /// The codec's name.
    pub codec: String,
    /// There is a decoder for it.
    pub is_decodable: bool,
    /// The file says that its samples are encrypted.
    pub is_encrypted: bool,
    /// One picture that stands for the sound, such as a cover.
    pub is_still: bool,
    /// Start in nanoseconds, if it is known.
    pub start: Option<i64>,
    /// Width in pixels, before any rotation.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Shape of a pixel; (1, 1) where it is not known.
    pub pixel_aspect: (u32, u32),
    /// Quarter turns clockwise with which it is to be shown, 0 to 3.
    pub quarter_turns: u8,
    /// Mean pictures per second.
    pub mean_rate: Option<(u32, u32)>,
    /// The lowest rate on whose grid the pictures lie.
    pub grid_rate: Option<(u32, u32)>,
    /// High dynamic range, by its transfer characteristics.
    pub is_hdr: bool,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
}

/// A packet; its times are nanoseconds.
pub struct Packet(NonNull<ff::AVPacket>);

// SAFETY: a packet has one owner; its buffers are reference counted atomically.
unsafe impl Send for Packet {}

impl Demuxer {
    /// Opens a file and looks at its beginning.
    pub fn open(file: File) -> Result<Demuxer, Error> {
        let doing = "reading the file";
        let size = file.metadata().map(|m| m.len()).unwrap_or(0);
        let source = Box::into_raw(Box::new(Source { file, position: 0, size }));
        let mut made = Demuxer { context: ptr::null_mut(), io: ptr::null_mut(), source };
        // SAFETY: the buffer and the source belong to the I/O context until `drop`; a failed open frees the format
        // context itself and leaves null.
        unsafe {
            let buffer = ff::av_malloc(READ_BYTES as _).cast::<u8>();
            if buffer.is_null() {
                return Err(no_memory(doing));
            }
            let opaque = source.cast::<c_void>();
            made.io = ff::avio_alloc_context(buffer, READ_BYTES as _, 0, opaque, Some(read), None, Some(seek));
            made.context = ff::avformat_alloc_context();
            if made.io.is_null() || made.context.is_null() {
                return Err(no_memory(doing));
            }
            (*made.context).pb = made.io;
            (*made.context).io_open = Some(refuse);
            check(ff::avformat_open_input(&mut made.context, ptr::null(), ptr::null(), ptr::null_mut()), doing)?;
            check(ff::avformat_find_stream_info(made.context, ptr::null_mut()), doing)?;
        }
        Ok(made)
    }

    /// FFmpeg's name of the container.
    pub fn container(&self) -> String {
        // SAFETY: an open context has a format, whose name is a static string.
        unsafe { text((*(*self.context).iformat).name) }
    }

    /// Length in nanoseconds, unless it is only guessed from the bit rate.
    pub fn duration(&self) -> Option<i64> {
        // SAFETY: an open context.
        let c = unsafe { &*self.context };
        let guessed = c.duration_estimation_method == ff::AVDurationEstimationMethod::BITRATE;
        (!guessed && c.duration > 0 && c.duration != ff::AV_NOPTS_VALUE).then(|| c.duration.saturating_mul(1000))
    }

    /// Time stamps may jump in it, as where broadcasts were put together.
    pub fn may_jump(&self) -> bool {
        self.has_flag(ff::AVFMT_TS_DISCONT)
    }

    /// A seek leads where it should: time stamps are the container's own and do not jump.
    pub fn can_seek(&self) -> bool {
        !self.may_jump() && !self.has_flag(ff::AVFMT_NOTIMESTAMPS)
    }

    fn has_flag(&self, flag: i32) -> bool {
        // SAFETY: an open context has a format.
        unsafe { (*(*self.context).iformat).flags & flag != 0 }
    }

    /// Streams of any kind.
    pub fn streams(&self) -> usize {
        // SAFETY: an open context.
        unsafe { (*self.context).nb_streams as usize }
    }

    /// Streams of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        (0..self.streams()).filter(|i| self.stream_at(*i).is_some_and(|s| is_of(s, kind))).count()
    }

    /// The stream of a kind that a player would take.
    pub fn best(&self, kind: Kind) -> Option<Stream> {
        let media = media_type(kind);
        // SAFETY: an open context; no decoder is asked for.
        let index = unsafe { ff::av_find_best_stream(self.context, media, -1, -1, ptr::null_mut(), 0) };
        let stream = self.stream_at(usize::try_from(index).ok()?)?;
        Some(describe(index, stream))
    }

    fn stream_at(&self, index: usize) -> Option<&ff::AVStream> {
        if index >= self.streams() {
            return None;
        }
        // SAFETY: the context has that many streams, all valid as long as it is.
        unsafe { (*(*self.context).streams.add(index)).as_ref() }
    }

    /// The stream's codec parameters, for a decoder.
    pub(super) fn parameters(&self, index: i32) -> Option<*const ff::AVCodecParameters> {
        let stream = self.stream_at(usize::try_from(index).ok()?)?;
        Some(stream.codecpar)
    }

    /// The demuxer need not read what is not taken.
    pub fn take_only(&mut self, wanted: &[i32]) {
        for index in 0..self.streams() {
            let keep = wanted.iter().any(|w| usize::try_from(*w) == Ok(index));
            // SAFETY: the context has that many streams; only the discard level is written.
            unsafe {
                let stream = *(*self.context).streams.add(index);
                (*stream).discard = if keep { ff::AVDiscard::DEFAULT } else { ff::AVDiscard::ALL };
            }
        }
    }

    /// Goes to the last random access point of a stream at or before a time in nanoseconds.
    pub fn seek(&mut self, index: i32, nanos: i64) -> Result<(), Error> {
        let doing = "seeking in the file";
        let stream = usize::try_from(index).ok().and_then(|i| self.stream_at(i));
        let base = stream.map_or(NANOS, |s| s.time_base);
        // SAFETY: a plain computation; an open context.
        let code = unsafe {
            let at = ff::av_rescale_q(nanos, NANOS, base);
            ff::avformat_seek_file(self.context, index, i64::MIN, at, at, 0)
        };
        check(code, doing).map(drop)
    }

    /// The next packet of any stream; `None` at the end.
    pub fn read(&mut self) -> Result<Option<Packet>, Error> {
        let doing = "reading the file";
        // SAFETY: no preconditions.
        let packet = unsafe { ff::av_packet_alloc() };
        let Some(mut packet) = NonNull::new(packet).map(Packet) else { return Err(no_memory(doing)) };
        // SAFETY: an open context, an empty packet.
        let code = unsafe { ff::av_read_frame(self.context, packet.0.as_mut()) };
        if code == ff::AVERROR_EOF {
            return Ok(None);
        }
        check(code, doing)?;
        let index = usize::try_from(packet.stream()).unwrap_or(usize::MAX);
        if let Some(stream) = self.stream_at(index) {
            // SAFETY: a valid packet.
            unsafe { ff::av_packet_rescale_ts(packet.0.as_mut(), stream.time_base, NANOS) };
        }
        Ok(Some(packet))
    }
}

impl Drop for Demuxer {
    fn drop(&mut self) {
        // SAFETY: all three are owned and not used again. The buffer may have been replaced by the libraries.
        unsafe {
            ff::avformat_close_input(&mut self.context);
            if !self.io.is_null() {
                ff::av_freep((&raw mut (*self.io).buffer).cast());
                ff::avio_context_free(&mut self.io);
            }
            drop(Box::from_raw(self.source));
        }
    }
}

impl Packet {
    /// Its stream's number.
    pub fn stream(&self) -> i32 {
        // SAFETY: a valid packet.
        unsafe { self.0.as_ref() }.stream_index
    }

    /// Decode time, or presentation time where there is none, in nanoseconds.
    pub fn time(&self) -> Option<i64> {
        // SAFETY: a valid packet.
        let p = unsafe { self.0.as_ref() };
        [p.dts, p.pts].into_iter().find(|t| *t != ff::AV_NOPTS_VALUE)
    }

    /// End of presentation in nanoseconds, as far as it is known.
    pub fn end(&self) -> Option<i64> {
        // SAFETY: a valid packet.
        let p = unsafe { self.0.as_ref() };
        let start = [p.pts, p.dts].into_iter().find(|t| *t != ff::AV_NOPTS_VALUE)?;
        Some(start.saturating_add(p.duration.max(0)))
    }

    /// The file says that it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        // SAFETY: a valid packet.
        unsafe {
            let kind = ff::AVPacketSideDataType::ENCRYPTION_INFO;
            !ff::av_packet_get_side_data(self.0.as_ptr(), kind, ptr::null_mut()).is_null()
        }
    }

    /// Moves its times.
    pub fn shift(&mut self, nanos: i64) {
        // SAFETY: a valid packet.
        let p = unsafe { self.0.as_mut() };
        for time in [&mut p.pts, &mut p.dts] {
            if *time != ff::AV_NOPTS_VALUE {
                *time = time.saturating_add(nanos);
            }
        }
    }

    pub(super) fn as_ptr(&self) -> *const ff::AVPacket {
        self.0.as_ptr()
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        let mut packet = self.0.as_ptr();
        // SAFETY: owned, not used again.
        unsafe { ff::av_packet_free(&mut packet) };
    }
}

fn media_type(kind: Kind) -> ff::AVMediaType {
    match kind {
        Kind::Video => ff::AVMediaType::VIDEO,
        Kind::Audio => ff::AVMediaType::AUDIO,
    }
}

fn is_of(stream: &ff::AVStream, kind: Kind) -> bool {
    // SAFETY: a stream has parameters.
    let parameters = unsafe { &*stream.codecpar };
    parameters.codec_type == media_type(kind)
}

/// The sample entries of protected tracks (ISO/IEC 14496-12 8.12), and those of a shop's own protection.
const PROTECTED: [&[u8; 4]; 6] = [b"encv", b"enca", b"drmi", b"drms", b"p608", b"encs"];

fn describe(index: i32, stream: &ff::AVStream) -> Stream {
    // SAFETY: a stream has parameters; finding a decoder has no preconditions; names are static strings.
    unsafe {
        let p = &*stream.codecpar;
        let rate = |r: ff::AVRational| match (u32::try_from(r.num), u32::try_from(r.den)) {
            (Ok(num), Ok(den)) if num > 0 && den > 0 => Some((num, den)),
            _ => None,
        };
        let aspect = rate(stream.sample_aspect_ratio).or_else(|| rate(p.sample_aspect_ratio)).unwrap_or((1, 1));
        let start = (stream.start_time != ff::AV_NOPTS_VALUE)
            .then(|| ff::av_rescale_q(stream.start_time, stream.time_base, NANOS));
        let number = |n: i32| u32::try_from(n).unwrap_or(0);
        let hdr = [ff::AVColorTransferCharacteristic::SMPTE2084, ff::AVColorTransferCharacteristic::ARIB_STD_B67];
        Stream {
            index,
            codec: text(ff::avcodec_get_name(p.codec_id)),
            is_decodable: !ff::avcodec_find_decoder(p.codec_id).is_null(),
            is_encrypted: PROTECTED.iter().any(|tag| p.codec_tag == u32::from_le_bytes(**tag)),
            is_still: stream.disposition & ff::AV_DISPOSITION_ATTACHED_PIC != 0,
            start,
            width: number(p.width),
            height: number(p.height),
            pixel_aspect: aspect,
            quarter_turns: quarter_turns(stream),
            mean_rate: rate(stream.avg_frame_rate),
            grid_rate: rate(stream.r_frame_rate),
            is_hdr: hdr.contains(&p.color_trc),
            sample_rate: number(p.sample_rate),
            channels: number(p.ch_layout.nb_channels),
        }
    }
}

/// By the display matrix of the stream.
fn quarter_turns(stream: &ff::AVStream) -> u8 {
    let kind = ff::AVPacketSideDataType::DISPLAYMATRIX;
    // SAFETY: the data are those of a valid stream; a matrix has nine 32-bit numbers, which is checked.
    let degrees = unsafe {
        #[cfg(ffmpeg_6_1)]
        let (data, size) = {
            let p = &*stream.codecpar;
            let found = ff::av_packet_side_data_get(p.coded_side_data, p.nb_coded_side_data, kind);
            if found.is_null() { (ptr::null_mut(), 0) } else { ((*found).data, (*found).size as usize) }
        };
        #[cfg(not(ffmpeg_6_1))]
        let (data, size) = {
            let mut size = 0;
            let data = ff::av_stream_get_side_data(stream, kind, &mut size);
            #[allow(clippy::unnecessary_cast, reason = "an int before FFmpeg 5")]
            let size = size as usize;
            (data, size)
        };
        if data.is_null() || size < 36 {
            return 0;
        }
        ff::av_display_rotation_get(data.cast::<i32>())
    };
    // Counterclockwise, by the libraries.
    if degrees.is_finite() { (-degrees / 90.0).round().rem_euclid(4.0) as u8 % 4 } else { 0 }
}

/// A string of the libraries.
///
/// # Safety
/// Null, or a terminated string.
unsafe fn text(pointer: *const std::ffi::c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as the caller vouches.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

unsafe extern "C" fn read(opaque: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    // SAFETY: the context was made with a `Source`, and the libraries call from the thread that uses the demuxer; the
    // buffer has `size` bytes.
    let (source, buffer) = unsafe {
        let size = usize::try_from(size).unwrap_or(0);
        (&mut *opaque.cast::<Source>(), std::slice::from_raw_parts_mut(buffer, size))
    };
    match source.file.read_at(buffer, source.position) {
        Ok(0) => ff::AVERROR_EOF,
        Ok(n) => {
            source.position += n as u64;
            c_int::try_from(n).unwrap_or(c_int::MAX)
        }
        Err(error) => ff::AVERROR(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

unsafe extern "C" fn seek(opaque: *mut c_void, offset: i64, whence: c_int) -> i64 {
    // SAFETY: as in `read`.
    let source = unsafe { &mut *opaque.cast::<Source>() };
    let whence = whence & !(ff::AVSEEK_FORCE as c_int);
    if whence == ff::AVSEEK_SIZE as c_int {
        return i64::try_from(source.size).unwrap_or(-1);
    }
    let from = match whence {
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => source.position,
        libc::SEEK_END => source.size,
        _ => return i64::from(ff::AVERROR(libc::EINVAL)),
    };
    match from.checked_add_signed(offset) {
        Some(position) => {
            source.position = position;
            i64::try_from(position).unwrap_or(-1)
        }
        None => i64::from(ff::AVERROR(libc::EINVAL)),
    }
}

/// The file names another file.
unsafe extern "C" fn refuse(
    _: *mut ff::AVFormatContext,
    _: *mut *mut ff::AVIOContext,
    _: *const std::ffi::c_char,
    _: c_int,
    _: *mut *mut ff::AVDictionary,
) -> c_int {
    ff::AVERROR(libc::EPERM)
}

/// Codecs' names for messages.
pub fn codec_of(name: &str) -> Option<String> {
    let name = CString::new(name).ok()?;
    // SAFETY: a terminated string; null if there is none.
    let found = unsafe { ff::avcodec_descriptor_get_by_name(name.as_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: a static descriptor.
    let long = unsafe { text((*found).long_name) };
    (!long.is_empty()).then_some(long)
}

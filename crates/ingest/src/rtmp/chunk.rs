//! The chunk stream: interleaved chunks to whole messages, and messages to chunks (RTMP 5.3, STANDARDS 6.2 to 6.4).
//!
//! Memory is bounded by [`Limits`], work by the number of bytes: each payload byte is copied once into its
//! message's buffer, however small the chunks are.

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;

/// Chunk size before a Set Chunk Size message (RTMP 5.4.1).
pub const DEFAULT_CHUNK_SIZE: usize = 128;

/// A message's length is a 24-bit number, so a larger chunk size means the same as this one.
const MAX_CHUNK_SIZE: usize = 0xff_ffff;

/// In a 24-bit timestamp field: the timestamp follows in 32 bits.
const EXTENDED: u32 = 0xff_ffff;

/// Longest chunk header: basic header 3, message header 11, extended timestamp 4.
const MAX_HEADER: usize = 18;

/// A message's buffer grows with what has arrived, not with what its header declares; this much at first.
const FIRST_RESERVE: usize = 64 * 1024;

/// Message type ids (RTMP 5.4, 7.1; STANDARDS 6.5).
pub mod kind {
    /// Set Chunk Size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort Message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control Message.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data in AMF3.
    pub const DATA_AMF3: u8 = 15;
    /// Command in AMF3.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0.
    pub const DATA_AMF0: u8 = 18;
    /// Command in AMF0.
    pub const COMMAND_AMF0: u8 = 20;
    /// Aggregate: a run of FLV tags.
    pub const AGGREGATE: u8 = 22;
}

/// Bounds on what a peer can make us hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest video or aggregate message in bytes. Default 16,777,215, the longest there can be.
    pub max_video_bytes: usize,
    /// Longest audio message in bytes. Default 1 MiB.
    pub max_audio_bytes: usize,
    /// Longest message of any other type in bytes: commands, data, control. Default 64 KiB.
    pub max_other_bytes: usize,
    /// Chunk streams that have been used on one connection. Default 64; encoders use three to six.
    pub max_chunk_streams: usize,
    /// Bytes of unfinished messages over all chunk streams. Default 24 MiB.
    pub max_partial_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_video_bytes: 0xff_ffff,
            max_audio_bytes: 1024 * 1024,
            max_other_bytes: 64 * 1024,
            max_chunk_streams: 64,
            max_partial_bytes: 24 * 1024 * 1024,
        }
    }
}

impl Limits {
    fn of_kind(&self, message_kind: u8) -> usize {
        match message_kind {
            kind::VIDEO | kind::AGGREGATE => self.max_video_bytes,
            kind::AUDIO => self.max_audio_bytes,
            _ => self.max_other_bytes,
        }
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Message type id, see [`kind`].
    pub kind: u8,
    /// Message stream id.
    pub stream_id: u32,
    /// Timestamp in milliseconds, modulo 2^32.
    pub timestamp: u32,
    /// The payload.
    pub payload: Bytes,
}

/// Chunks in, messages out. It obeys Set Chunk Size and Abort by itself; those two are not handed on.
///
/// Where the specification leaves room:
/// - A type 3 chunk that begins a message repeats the last timestamp delta, and after a type 0 chunk that chunk's
///   timestamp counts as the delta (RTMP 5.3.1.2.4). FFmpeg's and librtmp's senders rely on it.
/// - A type 3 chunk has the extended timestamp if the last chunk of another type on its chunk stream had one.
/// - A chunk stream may begin with type 1, its delta counting from 0: librtmp answers pings that way.
#[derive(Debug)]
pub struct ChunkReader {
    limits: Limits,
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// The chunk whose payload is being read: index into `streams` and bytes still to come.
    body: Option<(usize, usize)>,
    partial: usize,
    /// Bytes consumed so far, and the offset at which the current chunk began.
    offset: u64,
    chunk_offset: u64,
}

#[derive(Debug, Default)]
struct ChunkStream {
    csid: u32,
    timestamp: u32,
    delta: u32,
    length: usize,
    kind: u8,
    stream_id: u32,
    extended: bool,
    in_message: bool,
    buffer: Vec<u8>,
}

impl ChunkReader {
    /// A reader that counts its offsets from `offset`.
    pub fn new(limits: Limits, offset: u64) -> Self {
        ChunkReader {
            limits,
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
            header: [0; MAX_HEADER],
            header_len: 0,
            body: None,
            partial: 0,
            offset,
            chunk_offset: offset,
        }
    }

    /// Bytes consumed since the connection began.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Consumes from the front of `input` until a message is whole or the input is used up.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        loop {
            let (index, left) = match self.body {
                Some(body) => body,
                None => {
                    if !self.fill_header(input) {
                        return Ok(None);
                    }
                    let index = self.begin_chunk()?;
                    self.header_len = 0;
                    let Some(stream) = self.streams.get(index) else { return Ok(None) };
                    (index, self.chunk_size.min(stream.length - stream.buffer.len()))
                }
            };
            let (taken, rest) = input.split_at(input.len().min(left));
            let Some(stream) = self.streams.get_mut(index) else { return Ok(None) };
            if self.partial + taken.len() > self.limits.max_partial_bytes {
                let limit = self.limits.max_partial_bytes;
                return Err(Error::TooManyPartialBytes { offset: self.chunk_offset, limit });
            }
            stream.append(taken);
            self.partial += taken.len();
            self.offset += taken.len() as u64;
            *input = rest;
            if taken.len() < left {
                self.body = Some((index, left - taken.len()));
                return Ok(None);
            }
            self.body = None;
            if stream.buffer.len() == stream.length {
                let message = stream.finish();
                self.partial -= message.payload.len();
                match message.kind {
                    kind::SET_CHUNK_SIZE => self.set_chunk_size(&message.payload)?,
                    kind::ABORT => self.abort(&message.payload)?,
                    _ => return Ok(Some(message)),
                }
            }
        }
    }

    /// Collects the bytes of a chunk header; false if the input ends before it is whole.
    fn fill_header(&mut self, input: &mut &[u8]) -> bool {
        loop {
            let needed = self.header_needed();
            if self.header_len == needed {
                return true;
            }
            let (taken, rest) = input.split_at(input.len().min(needed - self.header_len));
            if taken.is_empty() {
                return false;
            }
            if self.header_len == 0 {
                self.chunk_offset = self.offset;
            }
            if let Some(place) = self.header.get_mut(self.header_len..self.header_len + taken.len()) {
                place.copy_from_slice(taken);
            }
            self.header_len += taken.len();
            self.offset += taken.len() as u64;
            *input = rest;
        }
    }

    /// Length of the header as far as the bytes that are there tell.
    fn header_needed(&self) -> usize {
        if self.header_len == 0 {
            return 1;
        }
        let first = self.header[0];
        let basic = basic_header_len(first);
        let whole = basic + [11, 7, 3, 0][usize::from(first >> 6)];
        if self.header_len < whole {
            return if self.header_len < basic { basic } else { whole };
        }
        let extended = match first >> 6 {
            3 => self.find(self.csid()).and_then(|i| self.streams.get(i)).is_some_and(|s| s.extended),
            _ => self.u24_at(basic) == EXTENDED,
        };
        whole + if extended { 4 } else { 0 }
    }

    fn csid(&self) -> u32 {
        let [first, second, third, ..] = self.header;
        match first & 0x3f {
            0 => u32::from(second) + 64,
            1 => u32::from(third) * 256 + u32::from(second) + 64,
            id => u32::from(id),
        }
    }

    fn find(&self, csid: u32) -> Option<usize> {
        self.streams.iter().position(|s| s.csid == csid)
    }

    fn byte_at(&self, at: usize) -> u8 {
        self.header.get(at).copied().unwrap_or(0)
    }

    fn u24_at(&self, at: usize) -> u32 {
        u32::from_be_bytes([0, self.byte_at(at), self.byte_at(at + 1), self.byte_at(at + 2)])
    }

    /// Applies the header that has been collected and answers the index of its chunk stream.
    fn begin_chunk(&mut self) -> Result<usize, Error> {
        let format = self.header[0] >> 6;
        let csid = self.csid();
        let at = basic_header_len(self.header[0]);
        let offset = self.chunk_offset;
        let index = match self.find(csid) {
            Some(index) => index,
            None if format >= 2 => return Err(Error::NoHeader { offset, csid, format }),
            None if self.streams.len() >= self.limits.max_chunk_streams => {
                return Err(Error::TooManyChunkStreams { offset, limit: self.limits.max_chunk_streams });
            }
            None => {
                self.streams.push(ChunkStream { csid, ..ChunkStream::default() });
                self.streams.len() - 1
            }
        };
        let (field, length, message_kind) = (self.u24_at(at), self.u24_at(at + 3) as usize, self.byte_at(at + 6));
        let id = |i| self.byte_at(at + 7 + i);
        let stream_id = u32::from_le_bytes([id(0), id(1), id(2), id(3)]);
        let long_at = self.header_len.saturating_sub(4);
        let long = u32::from_be_bytes([
            self.byte_at(long_at),
            self.byte_at(long_at + 1),
            self.byte_at(long_at + 2),
            self.byte_at(long_at + 3),
        ]);
        let Some(stream) = self.streams.get_mut(index) else { return Ok(index) };
        if stream.in_message {
            return if format == 3 { Ok(index) } else { Err(Error::HeaderInsideMessage { offset, csid }) };
        }
        if format != 3 {
            stream.extended = field == EXTENDED;
            stream.delta = field;
        }
        if stream.extended {
            stream.delta = long;
        }
        stream.timestamp = if format == 0 { stream.delta } else { stream.timestamp.wrapping_add(stream.delta) };
        if format <= 1 {
            (stream.length, stream.kind) = (length, message_kind);
        }
        if format == 0 {
            stream.stream_id = stream_id;
        }
        let limit = self.limits.of_kind(stream.kind);
        if stream.length > limit {
            return Err(Error::MessageTooLong { offset, kind: stream.kind, length: stream.length, limit });
        }
        stream.in_message = true;
        Ok(index)
    }

    fn set_chunk_size(&mut self, payload: &Bytes) -> Result<(), Error> {
        let offset = self.offset;
        let size = read_u32(payload).ok_or(Error::Malformed { offset, what: "Set Chunk Size" })?;
        if size == 0 || size > 0x7fff_ffff {
            return Err(Error::ChunkSize { offset, size });
        }
        self.chunk_size = (size as usize).min(MAX_CHUNK_SIZE);
        Ok(())
    }

    fn abort(&mut self, payload: &Bytes) -> Result<(), Error> {
        let csid = read_u32(payload).ok_or(Error::Malformed { offset: self.offset, what: "Abort" })?;
        if let Some(stream) = self.find(csid).and_then(|i| self.streams.get_mut(i)) {
            self.partial -= stream.buffer.len();
            stream.buffer = Vec::new();
            stream.in_message = false;
        }
        Ok(())
    }
}

impl ChunkStream {
    fn append(&mut self, bytes: &[u8]) {
        let room = self.buffer.capacity() - self.buffer.len();
        if room < bytes.len() {
            // Doubling keeps the copies linear; never past the declared length, so that a finished message wastes
            // nothing.
            let grow = self.buffer.len().max(FIRST_RESERVE).max(bytes.len());
            self.buffer.reserve_exact(grow.min(self.length - self.buffer.len()));
        }
        self.buffer.extend_from_slice(bytes);
    }

    fn finish(&mut self) -> Message {
        self.in_message = false;
        Message {
            kind: self.kind,
            stream_id: self.stream_id,
            timestamp: self.timestamp,
            payload: Bytes::from(std::mem::take(&mut self.buffer)),
        }
    }
}

fn basic_header_len(first: u8) -> usize {
    match first & 0x3f {
        0 => 2,
        1 => 3,
        _ => 1,
    }
}

/// The first four bytes of a message as a number; longer messages are taken as they come.
pub(crate) fn read_u32(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().copied().map(u32::from_be_bytes)
}

/// Messages in, chunks out. It writes type 0 and type 3 chunks only, which is all a server of publishers needs.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: usize,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        ChunkWriter { chunk_size: DEFAULT_CHUNK_SIZE }
    }
}

impl ChunkWriter {
    /// Appends `message` to `out` on chunk stream `csid` (2 to 63). A Set Chunk Size message takes effect after itself.
    pub fn write(&mut self, csid: u8, message: &Message, out: &mut BytesMut) {
        let csid = csid & 0x3f;
        let extended = message.timestamp >= EXTENDED;
        out.put_u8(csid);
        out.put_uint(u64::from(message.timestamp.min(EXTENDED)), 3);
        out.put_uint(message.payload.len().min(MAX_CHUNK_SIZE) as u64, 3);
        out.put_u8(message.kind);
        out.put_u32_le(message.stream_id);
        if extended {
            out.put_u32(message.timestamp);
        }
        for (i, chunk) in message.payload.chunks(self.chunk_size).enumerate() {
            if i > 0 {
                out.put_u8(0xc0 | csid);
                if extended {
                    out.put_u32(message.timestamp);
                }
            }
            out.extend_from_slice(chunk);
        }
        if message.kind == kind::SET_CHUNK_SIZE
            && let Some(size) = read_u32(&message.payload)
        {
            self.chunk_size = (size as usize).clamp(1, MAX_CHUNK_SIZE);
        }
    }
}

//! A publishing client without IO, a chunk writer that can be as odd as a test wants, and media that parses.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::expect_used, reason = "test harness")]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use millstream_ingest::flv::{Tag, TagKind};
use millstream_ingest::rtmp::amf0::{self, Value};
use millstream_ingest::rtmp::chunk::{ChunkReader, Limits, Message, kind};
use millstream_ingest::rtmp::{CloseReason, Config, Event, Output, Refusal, Session};
use millstream_media::time::MonoTime;

pub const KEY: &str = "a-very-secret-key";

/// avcC of 640x360 H.264 High, as FFmpeg 5.1 wrote it.
pub const AVCC: &[u8] = b"\x01\x64\0\x1e\xff\xe1\0\x1a\x67\x64\0\x1e\xac\xd9@\xa0/\xf9p\x11\0\0\x03\0\x01\0\0\x03\0<\x0f\x16-\x96\x01\0\x04h\xef\x8f\xcb\xfd\xf8\xf8\0";

/// AudioSpecificConfig of AAC-LC, 48 kHz, mono.
pub const ASC: &[u8] = b"\x11\x88\x56\xe5\0";

pub fn at(ms: u64) -> MonoTime {
    MonoTime(Duration::from_millis(ms))
}

/// A chunk header of each format.
#[derive(Clone, Copy)]
pub enum Header {
    Full {
        timestamp: u32,
        length: usize,
        kind: u8,
        stream_id: u32,
    },
    SameStream {
        delta: u32,
        length: usize,
        kind: u8,
    },
    SameLength {
        delta: u32,
    },
    Same,
    /// Type 3 with an extended timestamp.
    SameExtended(u32),
}

/// Appends one chunk. Timestamps of 0xffffff and more are extended.
pub fn chunk(out: &mut BytesMut, csid: u32, header: Header, payload: &[u8]) {
    let format: u8 = match header {
        Header::Full { .. } => 0,
        Header::SameStream { .. } => 1,
        Header::SameLength { .. } => 2,
        Header::Same | Header::SameExtended(_) => 3,
    };
    match csid {
        0..=63 => out.put_u8(format << 6 | csid as u8),
        64..=319 => out.put_slice(&[format << 6, (csid - 64) as u8]),
        _ => {
            out.put_u8(format << 6 | 1);
            out.put_u16_le((csid - 64) as u16);
        }
    }
    let mut extended = None;
    let mut time = |out: &mut BytesMut, t: u32| {
        out.put_uint(u64::from(t.min(0xff_ffff)), 3);
        extended = (t >= 0xff_ffff).then_some(t);
    };
    match header {
        Header::Full { timestamp, length, kind, stream_id } => {
            time(out, timestamp);
            out.put_uint(length as u64, 3);
            out.put_u8(kind);
            out.put_u32_le(stream_id);
        }
        Header::SameStream { delta, length, kind } => {
            time(out, delta);
            out.put_uint(length as u64, 3);
            out.put_u8(kind);
        }
        Header::SameLength { delta } => time(out, delta),
        Header::Same => {}
        Header::SameExtended(t) => extended = Some(t),
    }
    if let Some(t) = extended {
        out.put_u32(t);
    }
    out.put_slice(payload);
}

/// Appends a whole message: a full header, then type 3 chunks of `size`.
pub fn message(out: &mut BytesMut, csid: u32, message_kind: u8, timestamp: u32, payload: &[u8], size: usize) {
    let header = Header::Full { timestamp, length: payload.len(), kind: message_kind, stream_id: 1 };
    let (first, rest) = payload.split_at(payload.len().min(size));
    chunk(out, csid, header, first);
    for part in rest.chunks(size) {
        let header = if timestamp >= 0xff_ffff { Header::SameExtended(timestamp) } else { Header::Same };
        chunk(out, csid, header, part);
    }
}

/// The body of a command or data message.
pub fn body(values: &[Value]) -> Bytes {
    amf0::encode(values)
}

/// A video tag's body: legacy AVC.
pub fn avc(key: bool, packet_type: u8, offset_ms: i32, data: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(if key { 0x17 } else { 0x27 });
    out.put_u8(packet_type);
    out.put_slice(&offset_ms.to_be_bytes()[1..]);
    out.put_slice(data);
    out.freeze()
}

/// An audio tag's body: legacy AAC.
pub fn aac(packet_type: u8, data: &[u8]) -> Bytes {
    [&[0xaf, packet_type], data].concat().into()
}

/// NAL units behind 4-byte lengths.
pub fn nals(units: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::new();
    for unit in units {
        out.put_u32(unit.len() as u32);
        out.put_slice(unit);
    }
    out.freeze()
}

/// A client that publishes in OBS's order. Sans-IO.
pub struct Client {
    key: String,
    app: String,
    reader: Option<ChunkReader>,
    received: BytesMut,
    out: BytesMut,
    chunk_size: usize,
    /// Codes of everything the server has said about connection and stream, in order.
    pub codes: Vec<String>,
    /// Messages from the server that are no commands: type and payload.
    pub control: Vec<(u8, Bytes)>,
    pub publishing: bool,
}

impl Client {
    pub fn new(app: &str, key: &str) -> Self {
        let mut out = BytesMut::new();
        out.put_u8(3);
        out.put_bytes(7, 1536);
        Client {
            key: key.to_owned(),
            app: app.to_owned(),
            reader: None,
            received: BytesMut::new(),
            out,
            chunk_size: 128,
            codes: Vec::new(),
            control: Vec::new(),
            publishing: false,
        }
    }

    pub fn take_output(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    pub fn handle_input(&mut self, input: &[u8]) {
        self.received.extend_from_slice(input);
        if self.reader.is_none() {
            if self.received.len() < 1 + 2 * 1536 {
                return;
            }
            drop(self.received.split_to(1 + 2 * 1536));
            self.reader = Some(ChunkReader::new(Limits::default(), 0));
            self.out.put_bytes(9, 1536);
            self.set_chunk_size(4096);
            let object = Value::object([
                ("app", self.app.as_str().into()),
                ("type", "nonprivate".into()),
                ("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)".into()),
                ("tcUrl", "rtmp://127.0.0.1/live".into()),
            ]);
            self.invoke(&["connect".into(), Value::from(1.0), object]);
        }
        let received = self.received.split();
        let mut input = &received[..];
        let mut messages = Vec::new();
        if let Some(reader) = &mut self.reader {
            while let Some(message) = reader.read(&mut input).expect("the server speaks RTMP") {
                messages.push(message);
            }
        }
        for message in messages {
            self.message(message);
        }
    }

    fn message(&mut self, message: Message) {
        if message.kind != kind::COMMAND_AMF0 {
            self.control.push((message.kind, message.payload));
            return;
        }
        let values = amf0::decode(message.payload, &amf0::Limits::default()).expect("the server writes AMF0");
        let name = values[0].as_str().expect("a name");
        let transaction = values[1].as_number().expect("a transaction id");
        let code = values.last().and_then(|v| v.get("code")).and_then(Value::as_str).map(str::to_owned);
        self.codes.extend(code.clone());
        let key = Value::from(self.key.as_str());
        match (name, transaction as u32) {
            ("_result", 1) => {
                self.invoke(&["releaseStream".into(), Value::from(2.0), Value::Null, key.clone()]);
                self.invoke(&["FCPublish".into(), Value::from(3.0), Value::Null, key]);
                self.invoke(&["createStream".into(), Value::from(4.0), Value::Null]);
            }
            ("_result", 4) => {
                assert_eq!(values[3], Value::from(1.0), "the stream's id");
                self.invoke(&["publish".into(), Value::from(5.0), Value::Null, key, "live".into()]);
            }
            ("onStatus", _) => self.publishing |= code.as_deref() == Some("NetStream.Publish.Start"),
            _ => {}
        }
    }

    pub fn set_chunk_size(&mut self, size: usize) {
        message(&mut self.out, 2, kind::SET_CHUNK_SIZE, 0, &(size as u32).to_be_bytes(), self.chunk_size);
        self.chunk_size = size;
    }

    pub fn invoke(&mut self, values: &[Value]) {
        message(&mut self.out, 3, kind::COMMAND_AMF0, 0, &body(values), self.chunk_size);
    }

    pub fn data(&mut self, values: &[Value]) {
        message(&mut self.out, 4, kind::DATA_AMF0, 0, &body(values), self.chunk_size);
    }

    pub fn raw_data(&mut self, payload: &[u8]) {
        message(&mut self.out, 4, kind::DATA_AMF0, 0, payload, self.chunk_size);
    }

    pub fn video(&mut self, timestamp: u32, body: &[u8]) {
        message(&mut self.out, 6, kind::VIDEO, timestamp, body, self.chunk_size);
    }

    pub fn audio(&mut self, timestamp: u32, body: &[u8]) {
        message(&mut self.out, 4, kind::AUDIO, timestamp, body, self.chunk_size);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    pub fn unpublish(&mut self) {
        self.invoke(&["FCUnpublish".into(), Value::from(6.0), Value::Null, self.key.as_str().into()]);
        self.invoke(&["deleteStream".into(), Value::from(7.0), Value::Null, Value::from(1.0)]);
    }
}

/// A client and a session with a link between them that cuts the bytes into pieces.
pub struct Pair {
    pub client: Client,
    pub session: Session,
    pub events: Vec<Event>,
    pub closed: Option<CloseReason>,
    pub now: MonoTime,
    /// Sizes of the pieces from the client, used in turn.
    pub pieces: Vec<usize>,
    piece: usize,
    /// What the server answers to a publish request.
    pub decision: Result<(), Refusal>,
}

impl Pair {
    pub fn new(client: Client) -> Self {
        Pair::with_config(client, Config::default())
    }

    pub fn with_config(client: Client, config: Config) -> Self {
        let now = at(0);
        Pair {
            client,
            session: Session::new(config, 42, now),
            events: Vec::new(),
            closed: None,
            now,
            pieces: vec![1460],
            piece: 0,
            decision: Ok(()),
        }
    }

    /// A pair that is publishing already.
    pub fn publishing() -> Self {
        let mut pair = Pair::new(Client::new("live", KEY));
        pair.run();
        assert!(pair.client.publishing, "{:?} {:?}", pair.client.codes, pair.closed);
        pair.events.clear();
        pair
    }

    /// Moves bytes both ways until nobody has any left.
    pub fn run(&mut self) {
        loop {
            let bytes = self.client.take_output();
            if bytes.is_empty() {
                return;
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let size = self.pieces[self.piece % self.pieces.len()].clamp(1, rest.len());
                self.piece += 1;
                let (piece, after) = rest.split_at(size);
                rest = after;
                self.session.handle_input(piece, self.now);
                self.drain();
            }
        }
    }

    /// Feeds raw bytes to the session.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.client.raw(bytes);
        self.run();
    }

    pub fn drain(&mut self) {
        let mut outputs: VecDeque<Output> = std::iter::from_fn(|| self.session.poll_output()).collect();
        while let Some(output) = outputs.pop_front() {
            assert!(self.closed.is_none(), "nothing comes after Close: {output:?}");
            match output {
                Output::Send(bytes) => self.client.handle_input(&bytes),
                Output::Close(reason) => self.closed = Some(reason),
                Output::Event(event) => {
                    if let Event::PublishRequest(_) = &event {
                        match self.decision {
                            Ok(()) => self.session.accept(self.now),
                            Err(refusal) => self.session.reject(refusal),
                        }
                        outputs.extend(std::iter::from_fn(|| self.session.poll_output()));
                    }
                    self.events.push(event);
                }
            }
        }
    }

    /// Kind, time and body length of the tags so far.
    pub fn tags(&self) -> Vec<(TagKind, i64, usize)> {
        self.events
            .iter()
            .filter_map(|e| match e {
                Event::Tag(Tag { kind, time_ms, body }) => Some((*kind, *time_ms, body.len())),
                _ => None,
            })
            .collect()
    }

    pub fn times(&self) -> Vec<i64> {
        self.tags().iter().map(|t| t.1).collect()
    }
}

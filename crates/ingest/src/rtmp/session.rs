//! One contributor's conversation, from the first byte to the end of its stream. Sans-IO.
//!
//! **Contract**: call [`Session::handle_input`] with every byte that arrives, [`Session::handle_timeout`] when the
//! instant of [`Session::poll_timeout`] has come, and after each call (also after [`Session::accept`] and
//! [`Session::reject`]) take everything out of [`Session::poll_output`]. What one call puts out is bounded by the bytes
//! it was given. After [`Output::Close`] nothing more comes out and input is ignored.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use millstream_media::time::MonoTime;

use super::chunk::{ChunkReader, ChunkWriter, Message, kind, read_u32};
use super::clock::UnrolledClock;
use super::command::{self, Command};
use super::handshake::Handshake;
use super::{CloseReason, Config, Error, Refusal, amf0};
use crate::cursor::Cursor;
use crate::flv::{Metadata, Tag, TagKind};
use crate::key::StreamKey;

/// Our chunk size towards the client; our longest message fits.
const OUR_CHUNK_SIZE: u32 = 4096;

/// User control event types (RTMP 7.1.7).
const STREAM_BEGIN: u16 = 0;
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// Chunk streams we write on: protocol control, and commands.
const CONTROL_CSID: u8 = 2;
const COMMAND_CSID: u8 = 3;

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send these bytes.
    Send(Bytes),
    /// Something happened.
    Event(Event),
    /// Send what came before, then close the connection. The last output.
    Close(CloseReason),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The client wants to publish. Answer with [`Session::accept`] or [`Session::reject`]; until then the session
    /// holds back what follows.
    PublishRequest(PublishRequest),
    /// Audio or video of the stream.
    Tag(Tag),
    /// `onMetaData`.
    Metadata(Metadata),
    /// A data message that cannot be read; it was left out.
    BadMetadata(amf0::Error),
    /// The client ended its stream; the connection may stay for another `publish`.
    Unpublished,
}

/// A client's wish to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRequest {
    /// The secret it came with.
    pub key: StreamKey,
    /// What the encoder calls itself; printable, at most 64 characters.
    pub encoder: Option<String>,
    /// It speaks Enhanced RTMP.
    pub enhanced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// Connected or about to be; no stream is being published.
    Idle {
        since: MonoTime,
    },
    Deciding {
        stream_id: u32,
    },
    Publishing,
    Closed,
}

/// A server's session with one contributor.
#[derive(Debug)]
pub struct Session {
    config: Config,
    phase: Phase,
    handshake: Handshake,
    reader: ChunkReader,
    writer: ChunkWriter,
    clock: UnrolledClock,
    outputs: VecDeque<Output>,
    /// Input that came while a publish request was being decided.
    held: Vec<u8>,
    started: MonoTime,
    last_input: MonoTime,
    connected: bool,
    encoder: Option<String>,
    enhanced: bool,
    streams: u32,
    ever_published: bool,
    /// Acknowledgement: the client's window, bytes received, and received at the last one sent.
    window: u64,
    received: u64,
    acknowledged: u64,
}

impl Session {
    /// A session on a connection that began at `now`. `seed` makes the handshake's filler.
    pub fn new(config: Config, seed: u64, now: MonoTime) -> Self {
        Session {
            phase: Phase::Handshake,
            handshake: Handshake::new(seed),
            reader: ChunkReader::new(config.chunk.clone(), 0),
            writer: ChunkWriter::default(),
            clock: UnrolledClock::default(),
            outputs: VecDeque::new(),
            held: Vec::new(),
            started: now,
            last_input: now,
            connected: false,
            encoder: None,
            enhanced: false,
            streams: 0,
            ever_published: false,
            window: u64::from(config.window),
            received: 0,
            acknowledged: 0,
            config,
        }
    }

    /// Bytes have arrived.
    pub fn handle_input(&mut self, input: &[u8], now: MonoTime) {
        if self.phase == Phase::Closed {
            return;
        }
        self.last_input = now;
        self.received += input.len() as u64;
        let result = self.process(input, now);
        self.finish(result);
        self.acknowledge();
    }

    /// The instant of [`Session::poll_timeout`] may have come.
    pub fn handle_timeout(&mut self, now: MonoTime) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        let reason = match self.phase {
            Phase::Handshake => CloseReason::HandshakeTimeout(self.config.handshake_timeout),
            Phase::Idle { .. } => CloseReason::PublishTimeout(self.config.publish_timeout),
            _ => CloseReason::Idle(self.config.idle_timeout),
        };
        self.close(reason);
    }

    /// When [`Session::handle_timeout`] wants to be called, if nothing arrives before. While a publish request is
    /// being decided there is no limit; the one who decides has to set it.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        match self.phase {
            Phase::Handshake => Some(self.started + self.config.handshake_timeout),
            Phase::Idle { since } => Some(since + self.config.publish_timeout),
            Phase::Publishing => Some(self.last_input + self.config.idle_timeout),
            Phase::Deciding { .. } | Phase::Closed => None,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether a publish request waits for [`Session::accept`] or [`Session::reject`].
    pub fn is_deciding(&self) -> bool {
        matches!(self.phase, Phase::Deciding { .. })
    }

    /// Lets the publish request through; what the client sent meanwhile is taken up.
    pub fn accept(&mut self, now: MonoTime) {
        let Phase::Deciding { stream_id } = self.phase else { return };
        self.phase = Phase::Publishing;
        self.ever_published = true;
        self.last_input = now;
        self.clock = UnrolledClock::default();
        self.send_user_control(STREAM_BEGIN, stream_id);
        self.send(command::on_status(stream_id, "status", "NetStream.Publish.Start", "Publishing."));
        let held = std::mem::take(&mut self.held);
        let result = self.process(&held, now);
        self.finish(result);
    }

    /// Turns the publish request down and closes. `Publish.Start` has not been sent (STANDARDS 6.9).
    pub fn reject(&mut self, refusal: Refusal) {
        let Phase::Deciding { stream_id } = self.phase else { return };
        self.send(command::on_status(stream_id, "error", refusal.code(), &refusal.to_string()));
        self.close(CloseReason::Refused(refusal));
    }

    fn process(&mut self, mut input: &[u8], now: MonoTime) -> Result<(), CloseReason> {
        if self.phase == Phase::Handshake {
            let answer = self.handshake.read(&mut input)?;
            if !answer.is_empty() {
                self.outputs.push_back(Output::Send(answer));
            }
            if !self.handshake.is_done() {
                return Ok(());
            }
            let handshake_bytes = 1 + 2 * super::handshake::BLOCK as u64;
            self.reader = ChunkReader::new(self.config.chunk.clone(), handshake_bytes);
            self.phase = Phase::Idle { since: self.started };
        }
        loop {
            if let Phase::Deciding { .. } = self.phase {
                let limit = self.config.max_held_bytes;
                if self.held.len() + input.len() > limit {
                    return Err(Error::Impatient { limit }.into());
                }
                self.held.extend_from_slice(input);
                return Ok(());
            }
            let Some(message) = self.reader.read(&mut input)? else { break };
            self.message(message, now)?;
        }
        let limit = self.config.max_bytes_before_publish;
        if !self.ever_published && self.reader.offset() > limit {
            return Err(Error::NoPublish { limit }.into());
        }
        Ok(())
    }

    fn finish(&mut self, result: Result<(), CloseReason>) {
        if let Err(reason) = result {
            self.close(reason);
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.held = Vec::new();
            self.outputs.push_back(Output::Close(reason));
        }
    }

    fn message(&mut self, message: Message, now: MonoTime) -> Result<(), CloseReason> {
        match message.kind {
            kind::AUDIO => self.tag(TagKind::Audio, message),
            kind::VIDEO => self.tag(TagKind::Video, message),
            kind::AGGREGATE => self.aggregate(message)?,
            kind::COMMAND_AMF0 => self.command(message.stream_id, message.payload, now)?,
            kind::COMMAND_AMF3 => self.command(message.stream_id, without_format_byte(message.payload), now)?,
            kind::DATA_AMF0 => self.data(message.payload),
            kind::DATA_AMF3 => self.data(without_format_byte(message.payload)),
            kind::USER_CONTROL => self.user_control(&message.payload)?,
            kind::WINDOW_ACK_SIZE => {
                let window = read_u32(&message.payload).ok_or(self.malformed("Window Acknowledgement Size"))?;
                if window > 0 {
                    self.window = u64::from(window);
                }
            }
            // Acknowledgement and Set Peer Bandwidth concern what we send, which is next to nothing. Unknown types
            // are ignored (RTMP 5.4 names no error for them).
            _ => {}
        }
        Ok(())
    }

    fn malformed(&self, what: &'static str) -> Error {
        Error::Malformed { offset: self.reader.offset(), what }
    }

    fn tag(&mut self, kind: TagKind, message: Message) {
        if self.phase == Phase::Publishing {
            let time_ms = self.clock.unroll(message.timestamp);
            self.outputs.push_back(Output::Event(Event::Tag(Tag { kind, time_ms, body: message.payload })));
        }
    }

    /// A run of FLV tags whose timestamps count from the first one's; the message's timestamp is the first one's
    /// place on the stream's clock (RTMP 7.1.6).
    fn aggregate(&mut self, message: Message) -> Result<(), Error> {
        let offset = self.reader.offset();
        let bad = || Error::Malformed { offset, what: "an aggregate message" };
        let mut cursor = Cursor::new(message.payload);
        let mut base = None;
        let mut tags = 0;
        while !cursor.is_empty() {
            tags += 1;
            if tags > self.config.max_aggregate_tags {
                return Err(bad());
            }
            let tag_kind = cursor.u8().ok_or_else(bad)?;
            let length = cursor.u24().ok_or_else(bad)?;
            let low = cursor.u24().ok_or_else(bad)?;
            let high = cursor.u8().ok_or_else(bad)?;
            cursor.u24().ok_or_else(bad)?;
            let payload = cursor.take(length as usize).ok_or_else(bad)?;
            // The back pointer; some senders leave the last one out.
            if cursor.u32().is_none() && !cursor.is_empty() {
                return Err(bad());
            }
            let tag_time = u32::from(high) << 24 | low;
            let base = *base.get_or_insert(tag_time);
            let timestamp = message.timestamp.wrapping_add(tag_time.wrapping_sub(base));
            let inner = Message { kind: tag_kind, stream_id: message.stream_id, timestamp, payload };
            match tag_kind {
                kind::AUDIO => self.tag(TagKind::Audio, inner),
                kind::VIDEO => self.tag(TagKind::Video, inner),
                kind::DATA_AMF0 => self.data(inner.payload),
                _ => {}
            }
        }
        Ok(())
    }

    fn data(&mut self, payload: Bytes) {
        if self.phase != Phase::Publishing {
            return;
        }
        match amf0::decode(payload, &self.config.amf) {
            Ok(values) => {
                if let Some(metadata) = Metadata::from_data_message(&values) {
                    self.outputs.push_back(Output::Event(Event::Metadata(metadata)));
                }
            }
            Err(error) => self.outputs.push_back(Output::Event(Event::BadMetadata(error))),
        }
    }

    fn user_control(&mut self, payload: &Bytes) -> Result<(), Error> {
        let mut cursor = Cursor::new(payload.clone());
        let event = cursor.u16().ok_or(self.malformed("a user control message"))?;
        if event == PING_REQUEST {
            let time = cursor.u32().ok_or(self.malformed("a ping request"))?;
            self.send_user_control(PING_RESPONSE, time);
        }
        Ok(())
    }

    fn command(&mut self, stream_id: u32, payload: Bytes, now: MonoTime) -> Result<(), CloseReason> {
        let offset = self.reader.offset();
        let command = Command::parse(payload, &self.config.amf).map_err(|reason| Error::Command { offset, reason })?;
        let out_of_order = |command| Error::OutOfOrder { offset, command };
        match command {
            Command::Connect { .. } if self.connected => return Err(out_of_order("connect").into()),
            Command::Connect { transaction, app, encoder, enhanced } => {
                return self.connect(transaction, &app, encoder, enhanced);
            }
            Command::Other => {}
            _ if !self.connected => return Err(out_of_order("a command before connect").into()),
            Command::Relic { transaction } => self.send(command::empty_result(transaction)),
            Command::CreateStream { transaction } => {
                if self.streams >= self.config.max_streams {
                    return Err(Error::TooManyStreams { offset, limit: self.config.max_streams }.into());
                }
                self.streams += 1;
                self.send(command::create_stream_result(transaction, self.streams));
            }
            Command::Publish { name, .. } => {
                if !matches!(self.phase, Phase::Idle { .. }) {
                    return Err(out_of_order("publish").into());
                }
                self.phase = Phase::Deciding { stream_id };
                let request = PublishRequest {
                    key: StreamKey::new(name),
                    encoder: self.encoder.clone(),
                    enhanced: self.enhanced,
                };
                self.outputs.push_back(Output::Event(Event::PublishRequest(request)));
            }
            Command::Unpublish => {
                if self.phase == Phase::Publishing {
                    self.phase = Phase::Idle { since: now };
                    self.outputs.push_back(Output::Event(Event::Unpublished));
                    let code = "NetStream.Unpublish.Success";
                    self.send(command::on_status(stream_id, "status", code, "The stream has ended."));
                }
            }
            Command::Play { .. } => {
                let description = "This server takes contributions; watch over HLS or DASH.";
                self.send(command::on_status(stream_id, "error", "NetStream.Play.Failed", description));
                return Err(CloseReason::Play);
            }
        }
        Ok(())
    }

    fn connect(
        &mut self,
        transaction: f64,
        app: &str,
        encoder: Option<String>,
        enhanced: bool,
    ) -> Result<(), CloseReason> {
        if app != self.config.app {
            let description = format!("Publish to rtmp://HOST/{} with the stream key as the name.", self.config.app);
            self.send(command::connect_error(transaction, &description));
            return Err(CloseReason::BadApp);
        }
        self.connected = true;
        (self.encoder, self.enhanced) = (encoder, enhanced);
        let window = self.config.window;
        self.send_control(kind::WINDOW_ACK_SIZE, &window.to_be_bytes());
        // Limit type 2, dynamic.
        let [a, b, c, d] = window.to_be_bytes();
        self.send_control(kind::SET_PEER_BANDWIDTH, &[a, b, c, d, 2]);
        self.send_user_control(STREAM_BEGIN, 0);
        self.send_control(kind::SET_CHUNK_SIZE, &OUR_CHUNK_SIZE.to_be_bytes());
        self.send(command::connect_result(transaction, enhanced));
        Ok(())
    }

    /// Tells the client what has arrived, once for each of its windows.
    fn acknowledge(&mut self) {
        if self.connected && self.phase != Phase::Closed && self.received - self.acknowledged >= self.window {
            self.acknowledged = self.received;
            // The sequence number wraps with its 32 bits.
            let sequence = self.received as u32;
            self.send_control(kind::ACKNOWLEDGEMENT, &sequence.to_be_bytes());
        }
    }

    fn send_user_control(&mut self, event: u16, value: u32) {
        let [a, b] = event.to_be_bytes();
        let [c, d, e, f] = value.to_be_bytes();
        self.send_control(kind::USER_CONTROL, &[a, b, c, d, e, f]);
    }

    fn send_control(&mut self, message_kind: u8, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        self.write(CONTROL_CSID, &Message { kind: message_kind, stream_id: 0, timestamp: 0, payload });
    }

    fn send(&mut self, message: Message) {
        self.write(COMMAND_CSID, &message);
    }

    fn write(&mut self, csid: u8, message: &Message) {
        let mut out = BytesMut::new();
        self.writer.write(csid, message, &mut out);
        self.outputs.push_back(Output::Send(out.freeze()));
    }
}

impl From<Error> for CloseReason {
    fn from(error: Error) -> Self {
        CloseReason::Protocol(error)
    }
}

/// AMF3 messages begin with a format byte; encoders that use the type send 0, AMF0, behind it.
fn without_format_byte(mut payload: Bytes) -> Bytes {
    if payload.first() == Some(&0) {
        drop(payload.split_to(1));
    }
    payload
}

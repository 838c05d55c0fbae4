//! The other side of a session: a client that publishes (RTMP 7.2.1, 7.2.2). The demo feeds its own server through it, so
//! that its stream key is in no process list.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::amf0::{self, Value};
use super::chunk::{ChunkReader, ChunkWriter, Limits, Message, kind};
use super::handshake::{BLOCK, VERSION};
use crate::flv::file::FileTag;
use crate::key::StreamKey;

/// Chunk size of what is sent: a message is mostly one chunk.
const CHUNK_SIZE: u32 = 64 * 1024;
/// Transactions of what has to be answered.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 2.0;
const PUBLISH: f64 = 3.0;

/// Why a client cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server does not speak RTMP.
    #[error("the server does not speak RTMP")]
    Form(#[from] super::Error),
    /// A command of the server is not well-formed.
    #[error("the server sent a command that is not well-formed")]
    Command(#[from] amf0::Error),
    /// The server says no.
    #[error("the server refused: {0}")]
    Refused(String),
}

/// A client that publishes to one stream key. Fed bytes; it holds at most a handshake and one message.
#[derive(Debug)]
pub struct Client {
    app: String,
    key: StreamKey,
    /// What is still to come of S0, S1 and S2; S1 is what is kept of it.
    handshake: usize,
    s1: BytesMut,
    reader: ChunkReader,
    writer: ChunkWriter,
    out: BytesMut,
    stream_id: u32,
    is_publishing: bool,
}

impl Client {
    /// A client of an application, `live` mostly; C0 and C1 are to be sent.
    pub fn new(app: impl Into<String>, key: StreamKey) -> Self {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        out.put_bytes(0, BLOCK);
        Client {
            app: app.into(),
            key,
            handshake: 1 + 2 * BLOCK,
            s1: BytesMut::new(),
            reader: ChunkReader::new(Limits::default(), 0),
            writer: ChunkWriter::default(),
            out,
            stream_id: 0,
            is_publishing: false,
        }
    }

    /// What is to be sent now.
    pub fn take_output(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    /// Whether the server takes media.
    pub fn is_publishing(&self) -> bool {
        self.is_publishing
    }

    /// Takes what the server sent.
    ///
    /// # Errors
    /// [`ClientError`]; the connection is of no use then.
    pub fn handle_input(&mut self, mut input: &[u8]) -> Result<(), ClientError> {
        if self.handshake > 0 {
            let (taken, rest) = input.split_at(input.len().min(self.handshake));
            if self.handshake == 1 + 2 * BLOCK
                && let Some(&version) = taken.first()
                && version != VERSION
            {
                return Err(super::Error::Version { version }.into());
            }
            self.handshake -= taken.len();
            self.s1.extend_from_slice(taken);
            input = rest;
            if self.handshake > 0 {
                return Ok(());
            }
            // C2 repeats S1.
            let answer = std::mem::take(&mut self.s1);
            self.out.extend_from_slice(answer.get(1..=BLOCK).unwrap_or_default());
            self.control(kind::SET_CHUNK_SIZE, CHUNK_SIZE);
            let about = Value::object([
                ("app", self.app.as_str().into()),
                ("type", "nonprivate".into()),
                ("flashVer", concat!("millstream/", env!("CARGO_PKG_VERSION")).into()),
            ]);
            self.command(0, &["connect".into(), CONNECT.into(), about]);
        }
        while let Some(message) = self.reader.read(&mut input)? {
            if message.kind == kind::COMMAND_AMF0 {
                self.answer(message.payload)?;
            }
        }
        Ok(())
    }

    /// Sends a tag; nothing before [`Client::is_publishing`].
    pub fn send(&mut self, tag: &FileTag) {
        if !self.is_publishing {
            return;
        }
        let csid = match tag.kind {
            kind::VIDEO => 6,
            kind::AUDIO => 4,
            _ => 5,
        };
        let message =
            Message { kind: tag.kind, stream_id: self.stream_id, timestamp: tag.timestamp, payload: tag.body.clone() };
        self.writer.write(csid, &message, &mut self.out);
    }

    fn answer(&mut self, payload: Bytes) -> Result<(), ClientError> {
        let values = amf0::decode(payload, &amf0::Limits::default())?;
        let name = values.first().and_then(Value::as_str).unwrap_or_default();
        let transaction = values.get(1).and_then(Value::as_number).unwrap_or_default();
        let info = values.last();
        let said = |name| info.and_then(|info| info.get(name)).and_then(Value::as_str).unwrap_or_default();
        match name {
            "_result" if transaction == CONNECT => {
                self.command(0, &["createStream".into(), CREATE_STREAM.into(), Value::Null]);
            }
            "_result" if transaction == CREATE_STREAM => {
                self.stream_id = values.get(3).and_then(Value::as_number).unwrap_or(1.0) as u32;
                let key = Value::from(self.key.expose());
                self.command(self.stream_id, &["publish".into(), PUBLISH.into(), Value::Null, key, "live".into()]);
            }
            "onStatus" if said("code") == "NetStream.Publish.Start" => self.is_publishing = true,
            "onStatus" if said("level") != "error" => {}
            "_error" | "onStatus" => {
                return Err(ClientError::Refused(format!("{}: {}", said("code"), said("description"))));
            }
            _ => {}
        }
        Ok(())
    }

    fn control(&mut self, message_kind: u8, value: u32) {
        let payload = Bytes::copy_from_slice(&value.to_be_bytes());
        let message = Message { kind: message_kind, stream_id: 0, timestamp: 0, payload };
        self.writer.write(2, &message, &mut self.out);
    }

    fn command(&mut self, stream_id: u32, values: &[Value]) {
        let message = Message { kind: kind::COMMAND_AMF0, stream_id, timestamp: 0, payload: amf0::encode(values) };
        self.writer.write(3, &message, &mut self.out);
    }
}

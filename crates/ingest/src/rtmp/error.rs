//! Why a session ends: the peer's mistakes with their byte offsets, time-outs, and refusals.

use std::time::Duration;

use super::amf0;

/// What the peer did wrong. Offsets count the connection's bytes from its first one, the handshake included.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// C0 is not 3 (STANDARDS 6.1).
    #[error("not RTMP: the first byte is {version:#04x}, RTMP begins with 0x03")]
    Version {
        /// The first byte.
        version: u8,
    },
    /// A compressed header on a chunk stream that has had no full one.
    #[error("byte {offset}: chunk stream {csid} begins with a header of format {format}, which leaves out its length")]
    NoHeader {
        /// Where the chunk begins.
        offset: u64,
        /// Chunk stream id.
        csid: u32,
        /// Header format, 2 or 3.
        format: u8,
    },
    /// A message header where a message is unfinished.
    #[error("byte {offset}: chunk stream {csid} begins a message inside an unfinished one")]
    HeaderInsideMessage {
        /// Where the chunk begins.
        offset: u64,
        /// Chunk stream id.
        csid: u32,
    },
    /// A declared message length over the bound of its type.
    #[error("byte {offset}: a message of type {kind} with {length} bytes, at most {limit} are taken")]
    MessageTooLong {
        /// Where the chunk begins.
        offset: u64,
        /// Message type id.
        kind: u8,
        /// Declared length in bytes.
        length: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// More chunk streams than [`super::chunk::Limits::max_chunk_streams`].
    #[error("byte {offset}: more than {limit} chunk streams")]
    TooManyChunkStreams {
        /// Where the chunk begins.
        offset: u64,
        /// The bound.
        limit: usize,
    },
    /// More unfinished bytes than [`super::chunk::Limits::max_partial_bytes`].
    #[error("byte {offset}: more than {limit} bytes of unfinished messages")]
    TooManyPartialBytes {
        /// Where the chunk begins.
        offset: u64,
        /// The bound in bytes.
        limit: usize,
    },
    /// Set Chunk Size with 0 or with the top bit set (RTMP 5.4.1).
    #[error("byte {offset}: chunk size {size:#x} is impossible")]
    ChunkSize {
        /// Where the message ends.
        offset: u64,
        /// The size asked for.
        size: u32,
    },
    /// A message too short for its type, or otherwise not to be read.
    #[error("byte {offset}: {what} cannot be read")]
    Malformed {
        /// Where the message ends.
        offset: u64,
        /// What it was.
        what: &'static str,
    },
    /// A command that is not AMF0.
    #[error("byte {offset}: a command cannot be read: {reason}")]
    Command {
        /// Where the message ends.
        offset: u64,
        /// What is wrong with it.
        reason: amf0::Error,
    },
    /// A command that may not come now.
    #[error("byte {offset}: {command} is out of order")]
    OutOfOrder {
        /// Where the message ends.
        offset: u64,
        /// Name of the command.
        command: &'static str,
    },
    /// More bytes than [`super::Config::max_bytes_before_publish`] with no `publish` among them.
    #[error("{limit} bytes and still no publish")]
    NoPublish {
        /// The bound in bytes.
        limit: u64,
    },
    /// The peer went on sending while its key was being checked.
    #[error("more than {limit} bytes before the answer to publish")]
    Impatient {
        /// The bound in bytes.
        limit: usize,
    },
    /// More than [`super::Config::max_streams`] calls of `createStream`.
    #[error("byte {offset}: more than {limit} streams created")]
    TooManyStreams {
        /// Where the message ends.
        offset: u64,
        /// The bound.
        limit: u32,
    },
}

/// Why a publish request is turned down, in the words the encoder is told (STANDARDS 6.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No channel has this key.
    #[error("the stream key is not valid")]
    BadKey,
    /// Another encoder is publishing on the channel.
    #[error("another encoder is already publishing on this channel")]
    AlreadyPublishing,
    /// The channel takes no contribution (stopped, deleted).
    #[error("the channel is stopped; start it first")]
    ChannelStopped,
    /// The server takes no contribution now (shutting down, key store away).
    #[error("the server takes no contribution now; try again")]
    Unavailable,
}

impl Refusal {
    /// The `code` of the status that the encoder gets. OBS knows these three (STANDARDS 6.9).
    pub fn code(self) -> &'static str {
        match self {
            Refusal::BadKey => "NetStream.Publish.Denied",
            Refusal::AlreadyPublishing => "NetStream.Publish.BadName",
            Refusal::ChannelStopped | Refusal::Unavailable => "NetStream.Publish.Rejected",
        }
    }
}

/// Why the session asks its shell to close the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The peer broke the protocol or a bound.
    #[error("protocol error: {0}")]
    Protocol(Error),
    /// The handshake was not finished in time.
    #[error("no RTMP handshake within {0:?}")]
    HandshakeTimeout(Duration),
    /// No `publish` in time.
    #[error("nothing published within {0:?}")]
    PublishTimeout(Duration),
    /// No byte for [`super::Config::idle_timeout`].
    #[error("no bytes from the encoder for {0:?}")]
    Idle(Duration),
    /// The application in the URL is not served.
    #[error("the URL does not name the application \"live\"")]
    BadApp,
    /// The publish request was refused.
    #[error("publishing refused: {0}")]
    Refused(Refusal),
    /// The peer wanted to play.
    #[error("the client wanted to play; RTMP is for contribution only, viewers use HLS or DASH")]
    Play,
}

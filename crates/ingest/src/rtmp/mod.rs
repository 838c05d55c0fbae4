//! RTMP 1.0 and Enhanced RTMP, the publishing half: a pure session that is fed bytes and the time, and a client for it.
//!
//! - [`handshake`]: C0 C1 C2 against S0 S1 S2.
//! - [`chunk`]: chunks to messages and back.
//! - [`clock`]: 32-bit milliseconds to a clock that does not wrap.
//! - [`amf0`]: values of commands and metadata.
//! - [`command`]: what a client asks and how it is answered.
//! - [`session`]: the conversation.
//! - [`client`]: who publishes.

pub mod amf0;
pub mod chunk;
pub mod client;
pub mod clock;
pub mod command;
mod config;
mod error;
pub mod handshake;
pub mod session;

pub use config::Config;
pub use error::{CloseReason, Error, Refusal};
pub use session::{Event, Output, PublishRequest, Session};

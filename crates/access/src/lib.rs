//! Who may do what: stream keys, operators, signed URLs and cookies. Pure: time and storage are given by the caller.
//!
//! - [`stream_key`]: the secret that opens one channel to a publisher, and the hash of it that is kept.
//! - [`key_ring`]: which channel a presented key opens.
//! - [`network`]: networks as configuration names them.
//! - [`operator`]: roles, scopes, API tokens, passwords and console sessions.
//! - [`passphrase`]: the secret of an SRT contribution.
//! - [`publisher`]: the keys of a channel, who is slowed, and the outside service that is asked.
//! - [`secret`]: a text of the configuration that is never printed.
//! - [`signed`]: CloudFront's signed URLs and cookies.

pub mod key_ring;
pub mod network;
pub mod operator;
pub mod passphrase;
pub mod publisher;
pub mod secret;
pub mod signed;
pub mod stream_key;

pub use key_ring::{KeyRing, KeyTaken};
pub use stream_key::{StreamKey, StreamKeyError, StreamKeyHash};

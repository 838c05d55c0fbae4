//! Who may do what: stream keys. Pure: random bytes, time and storage are given by the caller.
//!
//! - [`stream_key`]: the secret that opens one channel to a publisher, and the hash of it that is kept.
//! - [`key_ring`]: which channel a presented key opens.

pub mod key_ring;
pub mod stream_key;

pub use key_ring::{KeyRing, KeyTaken};
pub use stream_key::{StreamKey, StreamKeyError, StreamKeyHash};

//! CloudFront's signed URLs and cookies: who may fetch what, from where and until when (STANDARDS section 7).
//!
//! Sans-IO: the request, the time and the keys are parameters, so origin, edge and command line share one reading.
//!
//! - [`credentials`]: what a viewer presents, in the URL or in cookies.
//! - [`encoding`]: the base64 of URLs and cookies.
//! - [`key`]: public keys, and the groups that are trusted.
//! - [`memory`]: policies that were verified already.
//! - [`policy`]: policies read and written.
//! - [`resource`]: which URLs a policy covers.
//! - `sha1`: signatures that the cryptographic library does not make by itself.
//! - [`sign`]: private keys, signed URLs and signed cookies.
//! - [`verify`]: the decision.

pub mod credentials;
pub mod encoding;
pub mod key;
pub mod memory;
pub mod policy;
pub mod resource;
mod sha1;
pub mod sign;
pub mod verify;

pub use credentials::{Place, Presented};
pub use key::{KeyError, KeySet, PublicKey};
pub use policy::{Grant, Policy};
pub use sign::{Hash, PrivateKey, Signed};
pub use verify::{Refusal, Verifier, Viewed};

//! Control: what channels there are, what each is doing, and the REST API over both.
//!
//! - [`channel`]: a channel's name and settings, checked.
//! - [`documents`]: settings and continuity as small JSON documents in an object store.
//! - [`operators`]: tokens and users, who is logged in, and who a request comes from.
//! - [`registry`]: the channels of this node in memory; every change is published to the runtime.
//! - [`signing`]: the private keys that viewers' URLs and cookies are signed with.
//! - [`status`]: what a channel is doing, written by the runtime, read by the API.
//! - [`api`]: the REST API under `/api/v1`.

pub mod api;
pub mod channel;
pub mod documents;
pub mod operators;
pub mod registry;
pub mod signing;
pub mod status;

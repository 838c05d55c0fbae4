//! Channels as documents in an object store: settings under `channels/NAME.json`, continuity under
//! `channels/NAME.state.json`, CMAF headers under `channels/NAME.headers.json`.
//!
//! Settings are written with conditional puts, so that two nodes never overwrite each other's change unseen.
//! Every write is whole or absent: the local store writes a new file, syncs it and renames it.

mod continuity;
mod headers;
mod store;

pub use continuity::{Continuity, FrameFamily, SegmentReservation};
pub use headers::CmafHeaders;
pub use store::{ChannelDocument, DocumentError, Documents, Version};

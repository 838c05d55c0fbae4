//! Contribution protocols to access units: pure sessions, and a thin listener around them.
//!
//! - [`cmaf`]: paths and bodies of CMAF ingest (pure).
//! - [`rtmp`]: the RTMP session, fed bytes and the time (pure).
//! - [`flv`]: its tags to configurations and access units (pure).
//! - [`source`]: what a protocol hands to the owner of a channel.
//! - [`timeline`]: the contribution's clock to UTC media time (pure).
//! - [`contribution`]: source events with their times mapped (pure).
//! - [`publishers`]: one publisher for each channel (pure).
//! - [`key`]: the stream key, which never prints.
//! - [`listener`]: the TCP listener and its connections (tokio).

pub mod cmaf;
mod connection;
pub mod contribution;
mod cursor;
pub mod flv;
pub mod key;
pub mod listener;
pub mod publishers;
pub mod rtmp;
pub mod source;
mod text;
pub mod timeline;

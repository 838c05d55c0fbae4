//! The live window of one channel: which segments are listed, which are still fetchable, and when that changes.
//!
//! Pure: no clock, no sockets, no tasks. Media comes in as [`millstream_media::segment::Chunk`]s whose bytes are
//! shared, never copied; manifests are functions of a [`Window`] (crate `millstream-package`). Time is a parameter, of
//! the clock that never steps, since it only says how long removed segments stay.
//!
//! - [`config`]: lengths, bounds, the formula of the bytes held, the timing of a session.
//! - [`window`]: the window and its sessions and periods.
//! - `feed`: chunks, ends of segments, gaps.
//! - `retention`: what leaves the list, and when its bytes go.
//! - [`period`]: sets of tracks, init segments, stand-ins for renditions that went away.
//! - [`listing`]: the view HLS is written from, and the look-up of segments and parts.
//! - [`presentation`]: the view DASH is written from.
//! - [`statistics`]: counters and measured bit rates.

pub mod config;
pub mod error;
mod feed;
pub mod listing;
pub mod period;
pub mod presentation;
mod retention;
mod segment;
mod session;
pub mod statistics;
pub mod window;

pub use config::{Config, SegmentLength, Timing};
pub use error::Error;
pub use listing::{Entry, Listing, NextPart, Progress, SegmentRef};
pub use period::{Period, PeriodTrack};
pub use presentation::{Presentation, PresentationPeriod};
pub use statistics::{Rates, Statistics};
pub use window::{Newest, Window};

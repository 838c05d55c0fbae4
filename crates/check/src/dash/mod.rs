//! The MPD: a small reader of our own, and the rules of DASH-IF's timing model and of ISO/IEC 23009-1 that we know.
//!
//! - [`tree`]: XML to a tree.
//! - [`mpd`]: the tree to an MPD, and rules of form.
//! - [`protection`]: rules of `ContentProtection`.
//! - [`single`]: rules of one version.
//! - [`change`]: rules between two versions.

pub mod change;
pub mod low_latency;
pub mod mpd;
pub mod protection;
pub mod single;
pub mod tree;

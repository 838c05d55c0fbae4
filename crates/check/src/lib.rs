//! Reads a presentation as a player does and lists what breaks the standards.
//!
//! It is our own judge, so it shares no parser and no writer with the rest of the house: a mistake in
//! `millstream-package` must not be made here a second time. Rules are pure functions of texts and bytes; one thin
//! shell fetches. A finding carries the number of its rule (1 is HLS, 2 DASH, 3 CMAF, 5 epoch locking; `CHECK-` marks
//! a check that takes several rules together) and says in words what was seen.
//!
//! - [`finding`]: what a rule says.
//! - [`hls`]: playlists: the line parser, rules of one version, of a change, of a set.
//! - [`dash`]: the MPD: parser, rules of one version, of a change.
//! - [`boxes`]: CMAF headers and segments: the box walker and its rules.
//! - [`epoch`]: numbers and starts as functions of UTC (when a presentation promises that).
//! - [`fetch`]: the trait that brings bytes and tells the time; [`http`] is its real implementation.
//! - [`rules`]: the rules by number.
//! - [`text`], [`url`]: the small forms that both kinds share.
//! - [`watch`]: follows a live presentation for a time and asks every rule.

pub mod boxes;
pub mod dash;
pub mod epoch;
pub mod fetch;
pub mod finding;
pub mod hls;
pub mod http;
pub mod rules;
pub mod text;
pub mod url;
pub mod watch;

pub use fetch::Fetch;
pub use finding::{Finding, Report, Severity};
pub use watch::{Options, live};

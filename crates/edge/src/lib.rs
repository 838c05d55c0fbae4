//! The edge role: a cache in front of origins, or of other edges. One request upstream for any number of viewers.
//!
//! What it knows, it can be told anew: no edge knows anything that another does not.
//!
//! - [`edge`]: answers requests: from the cache at once, otherwise from upstream.
//! - [`fetch`]: gets one object; [`race`]: from one origin or the next, whoever answers first; [`attempt`]: from one.
//! - [`cadence`]: when what an origin holds is due.
//! - [`pass`]: hands large files through.
//! - [`upstream`], [`origins`]: the client, and what is remembered of origins that fail.
//! - [`credentials`]: what origins are shown, so that they answer.
//! - [`key`]: what of a request changes its answer.
//! - [`freshness`]: how old an answer is, and how long it may be used.
//! - [`object`], [`cache`]: a kept answer, and where it is kept.
//! - [`flight`]: an object on its way, read while it grows.
//! - [`limits`], [`audience`]: what one client may take, and how many there are.

mod attempt;
mod audience;
mod cache;
mod cadence;
mod clock;
pub mod config;
pub mod credentials;
pub mod edge;
mod error;
mod fetch;
mod flight;
mod freshness;
#[cfg(test)]
mod fuzz_corpus;
mod key;
pub mod limits;
mod object;
mod origins;
mod pass;
mod race;
mod upstream;

pub use clock::Moment;
pub use config::Config;
pub use edge::Edge;
pub use error::Error;

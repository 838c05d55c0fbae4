//! CMAF headers and segments: a small box walker of our own, and the rules of ISO/IEC 23000-19 on what it finds.
//!
//! - [`walk`]: boxes and bounded reads.
//! - [`header`]: the init segment: facts and rules 3.1, 3.2, 3.3, 3.9, 1.19.
//! - [`encryption`]: rule 3.17 on both.
//! - [`segment`]: a media segment: facts and rules 3.2, 3.4, 3.5, 3.6 (inside), 3.7, 3.8, 3.12 to 3.15.

mod codecs;
pub mod encryption;
pub mod header;
pub mod segment;
mod subsamples;
pub mod walk;

//! The segmenter's promises: epoch-locked and passthrough.

mod epoch;
mod fixtures;
mod passthrough;

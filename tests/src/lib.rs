//! What the end-to-end tests stand on: the real binary, real ffmpeg as broadcaster and decoder, and waiting on
//! conditions.
//!
//! - [`server`]: starts `millstream serve` in a folder of its own, stops or kills it, starts it again.
//! - [`publisher`]: ffmpeg as a broadcaster.
//! - [`client`]: HTTP, playlists, the API.
//! - [`decode`]: what ffprobe and ffmpeg make of the segments; [`decrypt`] of encrypted ones.
//! - [`faults`]: a proxy that fails as it is told; [`s3`]: an S3 server; [`key_server`]: one that gives content keys.
//! - [`openid_provider`]: one that logs people in.
//! - [`mmdb`]: small databases of countries; [`node`]: a server or edge told by variables, asked by curl.
//! - [`process`]: signals, memory and children of a process.
//! - [`wait`]: the one place that sleeps.
//! - [`random`]: seeded numbers; a failure prints its seed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a harness fails its test by panicking")]

pub mod client;
pub mod decode;
pub mod decrypt;
pub mod faults;
pub mod key_server;
pub mod mmdb;
pub mod node;
pub mod openid_provider;
pub mod process;
pub mod publisher;
pub mod random;
pub mod s3;
pub mod server;
pub mod wait;

pub use client::Viewer;
pub use publisher::{Publisher, Source};
pub use server::{Channel, Server};
pub use wait::{Deadline, wait_for};

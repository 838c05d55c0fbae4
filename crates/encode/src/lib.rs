//! The server's side of encoding: which renditions, at which rate, and a worker that is kept alive.
//!
//! Pure (time is a parameter, nothing waits):
//! - [`ladder`]: presets, the user's settings, and what they become for a given input.
//! - [`rate`]: the output's frame rate from the input's.
//! - [`loss`]: when a contribution is late or lost, and what to show meanwhile.
//! - [`overload`]: when the machine cannot keep up, and what to shed.
//! - [`supervisor`]: everything the supervision of a worker decides; [`history`]: what it keeps for a new start.
//!
//! The shell:
//! - [`encoder`]: a task that owns the worker process and does what the supervisor says; [`process`]: starting it.
//! - [`file_encoder`]: a worker on a file, for imports.

pub mod encoder;
pub mod event;
pub mod file_encoder;
pub mod history;
pub mod ladder;
pub mod loss;
pub mod overload;
pub mod process;
pub mod rate;
pub mod supervisor;

pub use encoder::{Encoder, EncoderConfig, EncoderHandle};
pub use event::EncoderEvent;

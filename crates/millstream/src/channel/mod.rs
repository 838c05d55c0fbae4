//! A channel at work: its contribution in, its media into the window.
//!
//! - [`runtime`]: starts and stops a task for each enabled channel.
//! - [`admitted`]: who uploads, from one request to the next (pure).
//! - [`gate`]: lets publishers in.
//! - [`webhook`]: the operator's service that is asked before.
//! - [`task`]: the task: who publishes, which session runs, when it ends.
//! - [`intake`]: what must be known before a session can begin (pure).
//! - [`abr`]: a session that encodes.
//! - [`passthrough`]: a session that packages what comes; [`contributed`]: one that packages an encoder's CMAF, and
//!   [`headers`]: what it must know of the one before.
//! - [`protection`]: content keys, and the stage that encrypts.
//! - [`speke`]: the client of a key server; [`outbound`]: requests to services of the operator.
//! - [`archive`]: the store of recordings, and their tasks.
//! - [`record`]: what the window took, on its way into a recording.
//! - [`publish`]: into the window, and what must be remembered into the store.
//! - [`report`]: status, `status.json` and metrics, once a second.

mod abr;
mod admitted;
pub mod archive;
pub mod contributed;
pub mod gate;
mod headers;
mod intake;
pub mod outbound;
mod passthrough;
pub mod protection;
mod publish;
mod record;
mod report;
pub mod runtime;
mod speke;
mod task;
pub mod webhook;

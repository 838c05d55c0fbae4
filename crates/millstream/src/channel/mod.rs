//! A channel at work: its contribution in, its media into the window.
//!
//! - [`runtime`]: starts and stops a task for each enabled channel, and lets publishers in.
//! - [`task`]: the task: who publishes, which session runs, when it ends.
//! - [`intake`]: what must be known before a session can begin (pure).
//! - [`abr`]: a session that encodes.
//! - [`passthrough`]: a session that packages what comes.
//! - [`publish`]: into the window, and what must be remembered into the store.
//! - [`report`]: status, `status.json` and metrics, once a second.

mod abr;
mod intake;
mod passthrough;
mod publish;
mod report;
pub mod runtime;
mod task;

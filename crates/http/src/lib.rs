//! The HTTP front: it owns connections, and sends each request to what answers it.
//!
//! - [`head`] and [`reply`]: HTTP/1.1 heads, read and written. No sockets, no clock.
//! - [`connection`]: a connection whose requests are answered the short way: no buffer while it is idle, one receive
//!   and one vectored write a request.
//! - [`full`]: the full server, for everything else: other paths, bodies, HTTP/2.
//! - [`front`]: accepts connections, deals them out to the lanes, and stops in order.
//! - [`tls`]: certificates, and their change while the server runs.
//! - [`patience`], [`unread`]: what a client of the full server may hold, and for how long.

pub mod connection;
pub mod front;
pub mod full;
pub mod head;
mod patience;
pub mod reply;
pub mod tls;
mod unread;

//! The HTTP front: it owns connections, and sends each request to what answers it.
//!
//! - [`head`] and [`reply`]: HTTP/1.1 heads, read and written. No sockets, no clock.
//! - [`connection`]: a connection whose requests are answered the short way: no buffer while it is idle, one receive
//!   and one vectored write a request.
//! - [`sending`]: an answer on its way out. [`wakes`]: many connections woken at once.
//! - [`full`]: the full server, for everything else: other paths, bodies, HTTP/2.
//! - [`front`]: accepts connections, deals them out to the lanes, and stops in order.
//! - [`quic`]: the same site over HTTP/3.
//! - [`tls`]: certificates, and their change while the server runs.
//! - [`seats`]: how many connections may be open, in all and from one address.
//! - [`patience`], [`unread`], [`quiet`]: what a client of the full server may hold, and for how long.

pub mod connection;
pub mod front;
pub mod full;
pub mod head;
mod patience;
pub mod quic;
mod quiet;
pub mod reply;
mod seats;
mod sending;
pub mod tls;
mod unread;
mod validity;
mod wakes;

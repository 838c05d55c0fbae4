//! The messages between the server and the encode worker, and their framing on a byte stream.
//!
//! Pure: bytes in, messages out. The worker is a separate program (`millstream-encoder`), spoken to over a
//! socket pair. A frame is `u32` big-endian length of what follows, `u16` big-endian length of the header,
//! the header (postcard), and the media payload as it is.
//!
//! - [`message`]: what is said.
//! - [`frame`]: how it is framed, with bounds.

pub mod frame;
pub mod message;

/// Version of the conversation; worker and server must agree (they are installed together).
pub const VERSION: u16 = 4;

//! HLS playlists (RFC 8216bis), written from a window.
//!
//! All functions are pure: the same window gives the same bytes, on any origin. URIs are relative: the multivariant
//! playlist names `RENDITION/index.m3u8`, a media playlist names `N.m4s` and `init.mp4?v=HASH` beside it.

mod images;
mod media;
mod multivariant;

pub use images::{image_variant, images};
pub use media::{Form, iframes, media};
pub use multivariant::{is_offered, multivariant};

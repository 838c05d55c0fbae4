//! What a channel is: its name and its settings.
//!
//! One struct serves the TOML file, the API's bodies and the stored document, so that a setting is defined once.

mod error;
mod frame_rate;
mod name;
mod protection;
mod rewind;
mod seconds;
mod settings;

pub use error::{ConfigError, SettingError, nearest};
pub use frame_rate::FrameRateSetting;
pub use name::{ChannelName, NameError};
pub use protection::{ProtectionConfig, SpekeConfig};
pub use seconds::Seconds;
pub use settings::{ChannelConfig, ClockSource, Mode};

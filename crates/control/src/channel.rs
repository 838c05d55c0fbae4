//! What a channel is: its name and its settings.
//!
//! One struct serves the TOML file, the API's bodies and the stored document, so that a setting is defined once.

mod name;
mod seconds;
mod settings;

pub use name::{ChannelName, NameError};
pub use seconds::Seconds;
pub use settings::{
    ChannelConfig, ClockSource, ConfigError, FrameRateSetting, LadderSetting, Mode, SettingError, nearest,
};

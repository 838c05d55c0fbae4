//! Where media time comes from, what is accepted, and how fast the mapping moves.

use std::time::Duration;

/// Modulus of RTMP timestamps that are UTC milliseconds. The field has 32 bits, but FFmpeg's FLV muxer keeps 31 of
/// them; what is right modulo 2^32 is right modulo 2^31, too, and a wall clock is never off by 12 days.
pub const RTMP_STAMP_MODULUS: Duration = Duration::from_millis(1 << 31);

/// Where media time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From the arrival of the first unit.
    Arrival,
    /// The source's timestamps are UTC modulo `modulus` ([`RTMP_STAMP_MODULUS`]): two servers that are fed the same
    /// contribution put out the same times. Falls back to `Arrival`, with an event, for a connection whose stamps are
    /// further than [`Config::max_stamp_error`] from the wall clock.
    Utc {
        /// The stamps' modulus.
        modulus: Duration,
    },
}

/// What is accepted, and how fast the mapping moves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where media time comes from. Default [`Mode::Arrival`].
    pub mode: Mode,
    /// A step forward beyond arrival's that is a jump. Default 1 s.
    pub forward_jump: Duration,
    /// Mapped time ahead of arrival from which [`TimelineEvent::Ahead`](super::TimelineEvent::Ahead) is told. Default 5 s.
    pub max_ahead: Duration,
    /// Mapped time behind arrival, for the whole drift window, from which the mapping is moved. Default 5 s.
    pub max_behind: Duration,
    /// Continuous lateness of a track after which the mapping moves to arrival. Default 2 s.
    pub late_patience: Duration,
    /// The same for stamped mappings, which then fall back to arrival. Default 10 s.
    pub stamped_late_patience: Duration,
    /// Distance of stamps from the wall clock that is believed. Default 2 min.
    pub max_stamp_error: Duration,
    /// Fastest correction of drift, in parts per million. Default 500.
    pub max_slew_ppm: u32,
    /// Drift that is let be. Default 20 ms.
    pub dead_band: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            mode: Mode::Arrival,
            forward_jump: Duration::from_secs(1),
            max_ahead: Duration::from_secs(5),
            max_behind: Duration::from_secs(5),
            late_patience: Duration::from_secs(2),
            stamped_late_patience: Duration::from_secs(10),
            max_stamp_error: Duration::from_secs(120),
            max_slew_ppm: 500,
            dead_band: Duration::from_millis(20),
        }
    }
}

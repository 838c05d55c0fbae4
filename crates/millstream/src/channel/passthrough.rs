//! A session that packages the contribution as it comes.

use std::time::Duration;

use millstream_control::channel::ChannelConfig;
use millstream_media::grid::FrameRate;
use millstream_media::track::RenditionName;
use millstream_media::unit::Contribution;
use millstream_package::passthrough::{Passthrough, Step};
use millstream_package::segmenter::PassthroughConfig;
use millstream_telemetry::log::chain;

use super::publish::Publisher;

/// Name of the video rendition in URLs.
const VIDEO: &str = "source";
/// Name of the audio rendition in URLs.
const AUDIO: &str = "audio";

/// A passthrough session.
pub struct PassthroughSession {
    packager: Passthrough,
}

impl PassthroughSession {
    /// A session whose numbers begin above all used before. `None` if a rendition name of ours is not one, which would
    /// be a fault of ours.
    pub fn begin(config: &ChannelConfig, publisher: &Publisher) -> Option<Self> {
        let first_segment = publisher.first_free().max(publisher.continuity().passthrough_next_sequence);
        let settings = PassthroughConfig {
            first_segment,
            target_ms: config.segment_seconds.millis(),
            part_ms: config.part_seconds.millis(),
            low_latency: config.low_latency,
            ..PassthroughConfig::default()
        };
        let packager = Passthrough::new(settings, RenditionName::new(VIDEO)?, RenditionName::new(AUDIO)?);
        Some(PassthroughSession { packager })
    }

    /// The frame rate that the encoder's metadata declare, for the manifests.
    pub fn declare_frame_rate(&mut self, rate: Option<f64>) {
        self.packager.declare_frame_rate(rate.and_then(nearest_rate));
    }

    /// The contribution was interrupted, and goes on.
    pub fn interrupted(&mut self) {
        self.packager.interrupted();
    }

    /// Packages what came and publishes it.
    pub async fn push(&mut self, item: Contribution, publisher: &mut Publisher) -> Result<(), String> {
        let pushed = self.packager.push(item);
        self.publish(publisher).await;
        pushed.map_err(|error| chain(&error))
    }

    /// Closes what is open.
    pub async fn finish(&mut self, publisher: &mut Publisher) {
        if let Err(error) = self.packager.finish() {
            tracing::error!(error = %chain(&error), "the last segment could not be closed");
        }
        self.publish(publisher).await;
    }

    async fn publish(&mut self, publisher: &mut Publisher) {
        while let Some(step) = self.packager.poll() {
            match step {
                Step::BeginSession(timing) => publisher.begin_session(timing, true),
                Step::Output { output, discontinuity } => publisher.apply(output, discontinuity).await,
            }
        }
        publisher.flush();
    }
}

/// Age of the newest media at which a passthrough channel's manifests are stale: it has no filler, so its list stands
/// still while the broadcaster reconnects.
pub fn stale_after(config: &ChannelConfig) -> Duration {
    Duration::from_millis(u64::from(config.reconnect_seconds.millis()) + 30_000)
}

fn nearest_rate(rate: f64) -> Option<FrameRate> {
    let usual = [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (48, 1), (50, 1), (60_000, 1001), (60, 1)];
    usual
        .into_iter()
        .filter_map(|(num, den)| FrameRate::new(num, den))
        .find(|known| (known.as_f64() - rate).abs() < 0.01)
}

//! What a channel tells: its status for the API, `status.json` for viewers' pages, metrics.

use std::sync::Arc;

use bytes::Bytes;
use millstream_control::channel::ChannelConfig;
use millstream_control::status::{InputStatus, LatencyStatus, NewestSegment, RenditionStatus, State, StatusHandle};
use millstream_ingest::source::SourceInfo;
use millstream_media::codec::{AudioConfig, VideoConfig};
use millstream_media::time::{Clock, MonoTime, UtcTime};
use millstream_media::track::{Track, TrackMedia};
use millstream_origin::channel::{ChannelOrigin, PublicStatus};
use millstream_telemetry::ChannelMetrics;

/// The contribution as it is measured.
#[derive(Debug, Default)]
pub struct Input {
    /// Who contributes; none while nobody does.
    pub info: Option<SourceInfo>,
    /// Its video.
    pub video: Option<VideoConfig>,
    /// Its audio.
    pub audio: Option<AudioConfig>,
    /// Frames per second as the encoder declares them.
    pub declared_frame_rate: Option<f64>,
    /// Pictures since the connection began.
    pub pictures_ever: u64,
    /// How far the newest unit's media time lay behind its arrival, in nanoseconds.
    pub behind: Option<i64>,
    /// Pictures since the last report, and the decode times of the last one before it and of the newest.
    pictures: u64,
    span: Option<(UtcTime, UtcTime)>,
    last_bytes: u64,
    last_report: MonoTime,
    bit_rate: Option<u64>,
    frame_rate: Option<f64>,
}

impl Input {
    /// Another contribution begins.
    pub fn begin(&mut self, info: SourceInfo, now: MonoTime) {
        *self = Input { info: Some(info), last_report: now, ..Input::default() };
    }

    /// A picture has come.
    pub fn picture(&mut self, dts: UtcTime) {
        self.pictures_ever += 1;
        match &mut self.span {
            Some((_, newest)) => {
                *newest = (*newest).max(dts);
                self.pictures += 1;
            }
            // The first one only begins the span that is counted over.
            None => self.span = Some((dts, dts)),
        }
    }

    /// Pictures in each second of media time: a backlog that comes in one burst is no faster picture.
    fn pictures_per_second(&self) -> f64 {
        match self.span {
            Some((from, to)) if to > from => self.pictures as f64 / to.since(from).as_secs_f64(),
            _ => 0.0,
        }
    }

    /// Measures rates over the time since the last report.
    fn measure(&mut self, now: MonoTime, metrics: &ChannelMetrics) {
        let Some(info) = self.info.as_ref() else {
            metrics.ingest_bit_rate.set(0.0);
            metrics.ingest_frame_rate.set(0.0);
            return;
        };
        let seconds = now.since(self.last_report).as_secs_f64();
        if seconds <= 0.2 {
            return;
        }
        let bytes = info.bytes_in.get();
        let new_bytes = bytes.saturating_sub(self.last_bytes);
        self.bit_rate = Some((new_bytes as f64 * 8.0 / seconds) as u64);
        self.frame_rate = Some(self.pictures_per_second());
        self.span = self.span.map(|(_, newest)| (newest, newest));
        metrics.ingest_bytes.add(new_bytes);
        (self.last_bytes, self.last_report, self.pictures) = (bytes, now, 0);
        metrics.ingest_bit_rate.set(self.bit_rate.unwrap_or(0) as f64);
        metrics.ingest_frame_rate.set(self.frame_rate.unwrap_or(0.0));
    }

    fn status(&self) -> Option<InputStatus> {
        let info = self.info.as_ref()?;
        let dimensions = self.video.as_ref().map(VideoConfig::dimensions);
        Some(InputStatus {
            protocol: info.protocol.as_str().to_owned(),
            codec: self.video.as_ref().map(VideoConfig::rfc6381),
            audio_codec: self.audio.as_ref().map(AudioConfig::rfc6381),
            width: dimensions.map(|d| d.0),
            height: dimensions.map(|d| d.1),
            frame_rate: self
                .frame_rate
                .filter(|rate| *rate > 0.0)
                .or(self.declared_frame_rate)
                .map(|rate| (rate * 100.0).round() / 100.0),
            bit_rate: self.bit_rate,
            remote: Some(info.remote.to_string()),
        })
    }
}

/// Reports for one channel.
pub struct Reporter {
    status: StatusHandle,
    origin: Arc<ChannelOrigin>,
    clock: Arc<dyn Clock>,
    metrics: ChannelMetrics,
    title: String,
    /// What is warned of as long as the settings are as they are.
    advice: Option<String>,
}

impl Reporter {
    /// A reporter that writes to these places.
    pub fn new(
        status: StatusHandle,
        origin: Arc<ChannelOrigin>,
        clock: Arc<dyn Clock>,
        metrics: ChannelMetrics,
        config: &ChannelConfig,
    ) -> Self {
        let reporter =
            Reporter { status, origin, clock, metrics, title: config.display_title().to_owned(), advice: None };
        reporter.publish();
        reporter
    }

    /// The title changed.
    pub fn set_title(&mut self, title: &str) {
        title.clone_into(&mut self.title);
        self.publish();
    }

    /// The channel's state now.
    pub fn state(&self) -> State {
        self.status.get().state
    }

    /// Enters a state and says so at once.
    pub fn enter(&self, state: State, error: Option<String>) {
        self.status.enter(state, error, self.clock.utc());
        self.metrics.live.set(if matches!(state, State::Live | State::InputLoss) { 1.0 } else { 0.0 });
        self.publish();
    }

    /// Adds a warning.
    pub fn warn(&self, warning: impl Into<String>) {
        self.status.warn(warning);
    }

    /// The channel's fault, if it is in [`State::Error`].
    pub fn error(&self) -> Option<String> {
        self.status.get().error
    }

    /// Takes these warnings back: what they warned of is over.
    pub fn withdraw(&self, warnings: &[String]) {
        self.status.update(|status| status.warnings.retain(|warning| !warnings.contains(warning)));
    }

    /// Takes all warnings back but for those of the settings: a new session begins.
    pub fn clear_warnings(&self) {
        self.status.update(|status| status.warnings.retain(|warning| self.advice.as_ref() == Some(warning)));
    }

    /// Warns of the settings, in place of what was said of the former ones.
    pub fn advise(&mut self, advice: Option<String>) {
        if self.advice == advice {
            return;
        }
        self.withdraw(self.advice.as_slice());
        if let Some(advice) = &advice {
            tracing::warn!(channel = self.title, advice, "settings");
            self.warn(advice.as_str());
        }
        self.advice = advice;
    }

    /// Measures and writes everything; about once a second.
    pub fn report<'a>(&self, input: &mut Input, tracks: impl Iterator<Item = &'a Track>, encode_ms: Option<i64>) {
        let (now, mono) = (self.clock.utc(), self.clock.mono());
        input.measure(mono, &self.metrics);
        let tracks: Vec<&Track> = tracks.collect();
        let (newest, held, rates) = self.origin.with_window(|window| {
            let rates: Vec<Option<u64>> =
                tracks.iter().map(|track| window.rates(&track.name).map(|rates| rates.average)).collect();
            (window.newest(), window.statistics().held_bytes, rates)
        });
        // Who only asks whether the channel is on air yet watches nothing.
        let viewers = match self.state() {
            State::Live | State::InputLoss | State::Draining => self.origin.viewers.count_at(mono) as u64,
            State::Offline | State::Starting | State::Error => 0,
        };
        self.metrics.viewers.set(viewers as f64);
        self.metrics.window_bytes.set(held as f64);
        let renditions = tracks.iter().zip(rates).map(|(track, rate)| rendition(track, rate)).collect();
        let newest_segment = newest.map(|newest| NewestSegment { number: newest.number, time: newest.end });
        let ingest_ms = input.behind.map(|ns| ns / 1_000_000);
        self.status.update(|status| {
            status.input = input.status();
            status.renditions = renditions;
            status.newest_segment = newest_segment;
            status.viewers = viewers;
            let total_ms = newest.map(|newest| now.nanos_since(newest.end) / 1_000_000);
            status.latency = LatencyStatus { ingest_ms, encode_ms, publish_ms: None, total_ms };
        });
        self.publish();
    }

    /// Writes `status.json`.
    fn publish(&self) {
        let status = self.status.get();
        let json = serde_json::json!({
            "state": status.state.as_str(),
            "since": status.since.to_iso8601(),
            "title": self.title,
        });
        self.origin.set_status(PublicStatus { json: Bytes::from(json.to_string()) });
    }
}

fn rendition(track: &Track, measured: Option<u64>) -> RenditionStatus {
    let (width, height, frame_rate) = match &track.media {
        TrackMedia::Video { width, height, frame_rate, .. } => (Some(*width), Some(*height), *frame_rate),
        TrackMedia::Audio { .. } => (None, None, None),
    };
    RenditionStatus {
        name: track.name.as_str().to_owned(),
        codec: track.codec_string(),
        width,
        height,
        frame_rate: frame_rate.map(|rate| (rate.as_f64() * 1000.0).round() / 1000.0),
        target_bit_rate: Some(track.bit_rate),
        measured_bit_rate: measured.and_then(|rate| u32::try_from(rate).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_in_one_burst_has_the_frame_rate_of_its_pictures() {
        let mut input = Input::default();
        // Three seconds of 25 pictures come at once.
        for n in 0..76 {
            input.picture(UtcTime::from_millis(n * 40));
        }
        assert!((input.pictures_per_second() - 25.0).abs() < 0.01, "{}", input.pictures_per_second());
        input.span = input.span.map(|(_, newest)| (newest, newest));
        input.pictures = 0;
        assert_eq!(input.pictures_per_second(), 0.0, "nothing came since");
        for n in 76..101 {
            input.picture(UtcTime::from_millis(n * 40));
        }
        assert!((input.pictures_per_second() - 25.0).abs() < 0.01);
    }
}

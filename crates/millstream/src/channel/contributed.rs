//! A session that packages an encoder's CMAF, and what its uploads say to the channel's task.

use std::net::SocketAddr;

use bytes::Bytes;
use millstream_control::channel::ChannelConfig;
use millstream_media::time::{MonoTime, UtcTime};
use millstream_media::track::RenditionName;
use millstream_package::contributed::{Config, Contributed, Note, Refusal, Taken};
use millstream_package::passthrough::Step;
use tokio::sync::oneshot;

use super::headers::KnownHeaders;
use super::publish::Publisher;

/// One thing that an upload brings.
#[derive(Debug)]
pub struct Upload {
    /// Whose address it comes from.
    pub remote: SocketAddr,
    /// What the encoder calls itself: printable, at most 64 characters.
    pub encoder: Option<String>,
    /// The name of the key that let it in.
    pub key: String,
    /// The track it belongs to.
    pub track: RenditionName,
    /// What it is.
    pub object: Object,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Taken, Refusal>>,
}

/// A part of an upload's body.
#[derive(Debug)]
pub enum Object {
    /// A CMAF header.
    Header(Bytes),
    /// A fragment.
    Fragment {
        /// Its bytes.
        bytes: Bytes,
        /// A segment of the encoder begins with it.
        starts: bool,
    },
    /// The body is over.
    End,
}

impl Object {
    /// Its bytes.
    pub const fn len(&self) -> usize {
        match self {
            Object::Header(bytes) | Object::Fragment { bytes, .. } => bytes.len(),
            Object::End => 0,
        }
    }
}

/// A session of CMAF ingest.
pub struct ContributedSession {
    packager: Contributed,
}

impl ContributedSession {
    /// A session that goes on above the numbers that were used before.
    pub fn begin(config: &ChannelConfig, publisher: &Publisher, known: &KnownHeaders) -> Self {
        let mut packager = Contributed::new(Config {
            segment_ms: config.segment_seconds.millis(),
            part_ms: config.part_seconds.millis(),
            low_latency: config.low_latency,
            first_segment: publisher.first_free(),
            number_offset: publisher.continuity().number_offset,
        });
        for (track, header) in known.iter() {
            if let Err(error) = packager.remember(track, header) {
                tracing::debug!(channel = %config.name, %error, "a header that was remembered");
            }
        }
        ContributedSession { packager }
    }

    /// Whether anything is packaged.
    pub const fn has_begun(&self) -> bool {
        self.packager.has_begun()
    }

    /// Whether the encoder's times are UTC, once media has come.
    pub fn is_utc(&self, utc: UtcTime) -> Option<bool> {
        self.packager.is_utc(utc)
    }

    /// Whether a header has come in this session.
    pub fn has_own_headers(&self) -> bool {
        self.packager.has_own_headers()
    }

    /// Whether media of a track has come, or its header.
    pub fn uses(&self, track: &RenditionName) -> bool {
        self.packager.uses(track)
    }

    /// Packages what came, and publishes it.
    pub async fn push(
        &mut self,
        track: &RenditionName,
        object: &Object,
        (now, utc): (MonoTime, UtcTime),
        publisher: &mut Publisher,
    ) -> Result<Taken, Refusal> {
        let taken = match object {
            Object::Header(bytes) => self.packager.header(track, bytes).map(|()| Taken::New),
            Object::Fragment { bytes, starts } => self.packager.fragment(track, bytes, *starts, now, utc),
            Object::End => {
                self.packager.object_ended(track);
                Ok(Taken::Known)
            }
        };
        self.publish(publisher).await;
        taken
    }

    /// Time passes.
    pub async fn tick(&mut self, (now, utc): (MonoTime, UtcTime), publisher: &mut Publisher) {
        self.packager.tick(now, utc);
        self.publish(publisher).await;
    }

    /// What somebody should hear of.
    pub fn notes(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.packager.poll_note())
            .map(|note| match note {
                Note::SegmentLength { encoder_ms, settings_ms } => format!(
                    "the encoder's segments last {encoder_ms} ms, the channel's segment_seconds are {settings_ms} ms; \
                     set them to the encoder's, so that numbers stay the same after a restart"
                ),
                Note::NotUtc => "the encoder's times are not UTC, so they are mapped by their arrival; lock them to \
                                 UTC (epoch locking) to run two encoders or two servers side by side"
                    .to_owned(),
                Note::Jump => "the encoder's clock was set anew; a discontinuity follows".to_owned(),
                Note::Gone(track) => format!("nothing comes for track {track} any more; the channel goes on without"),
            })
            .collect()
    }

    /// Closes what is open.
    pub async fn finish(&mut self, publisher: &mut Publisher) {
        self.packager.finish();
        self.publish(publisher).await;
    }

    async fn publish(&mut self, publisher: &mut Publisher) {
        while let Some(step) = self.packager.poll() {
            match step {
                Step::BeginSession(timing) => {
                    publisher.remember_offset(self.packager.number_offset());
                    publisher.begin_session(timing, true);
                }
                Step::Output { output, discontinuity } => publisher.apply(output, discontinuity).await,
            }
        }
        publisher.flush();
    }
}

//! The contribution as the encoder and the packager want it: source events with their times in UTC media time. Pure.

use millstream_media::time::UtcTime;
use millstream_media::unit::{AccessUnit, Contribution};

use crate::flv::Metadata;
use crate::source::{
    ConnectionId, EndReason, MediaKind, RawUnit, SourceEvent, SourceInfo, SourceMessage, SourceWarning,
};
use crate::timeline::{self, Stamp, Timeline, TimelineEvent};

/// What a channel's owner acts on.
#[derive(Clone, Debug)]
pub enum ContributionEvent {
    /// Publishing began. If another connection was publishing, it is over without an `Ended`.
    Started(SourceInfo),
    /// A configuration or an access unit.
    Item {
        /// The item, its times mapped.
        item: Contribution,
        /// When it arrived, by the wall clock. (For a configuration: the last unit's.)
        arrived: UtcTime,
        /// An access unit that must not be shown any more; decoding it keeps the pictures after it whole.
        late: bool,
    },
    /// What the encoder says about itself.
    Metadata(Metadata),
    /// Something is wrong with the contribution; it goes on.
    Warning(SourceWarning),
    /// The mapping of times did something worth a log line.
    Timeline(TimelineEvent),
    /// Publishing is over.
    Ended(EndReason),
}

/// Applies a channel's [`Timeline`] to what its connections say, and ignores connections that have been replaced.
#[derive(Debug)]
pub struct Mapper {
    timeline: Timeline,
    connection: Option<ConnectionId>,
    last_arrival: UtcTime,
}

impl Mapper {
    /// A mapper that has seen nothing.
    pub fn new(config: timeline::Config) -> Self {
        Mapper { timeline: Timeline::new(config), connection: None, last_arrival: UtcTime::EPOCH }
    }

    /// The connection that is publishing.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// The mapping of times.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Output up to `until` has been made by filler; see [`Timeline::raise_floor`].
    pub fn raise_floor(&mut self, until: UtcTime) {
        self.timeline.raise_floor(until);
    }

    /// Takes a message in and appends what it means to `out`, in order: a few events at most.
    pub fn push(&mut self, message: SourceMessage, out: &mut Vec<ContributionEvent>) {
        let SourceMessage { connection, event } = message;
        if let SourceEvent::Started(info) = event {
            self.connection = Some(connection);
            self.last_arrival = info.started;
            self.timeline.connected();
            out.push(ContributionEvent::Started(info));
            return;
        }
        if self.connection != Some(connection) {
            return;
        }
        match event {
            SourceEvent::Started(_) => {}
            SourceEvent::VideoConfig(config) => self.item(Contribution::VideoConfig(config), out),
            SourceEvent::AudioConfig(config) => self.item(Contribution::AudioConfig(config), out),
            SourceEvent::Unit { unit, arrived } => {
                self.last_arrival = arrived;
                self.unit(unit, arrived, out);
            }
            SourceEvent::Metadata(metadata) => out.push(ContributionEvent::Metadata(metadata)),
            SourceEvent::Warning(warning) => out.push(ContributionEvent::Warning(warning)),
            SourceEvent::Ended(reason) => {
                self.connection = None;
                out.push(ContributionEvent::Ended(reason));
            }
        }
    }

    fn item(&self, item: Contribution, out: &mut Vec<ContributionEvent>) {
        out.push(ContributionEvent::Item { item, arrived: self.last_arrival, late: false });
    }

    fn unit(&mut self, unit: RawUnit, arrived: UtcTime, out: &mut Vec<ContributionEvent>) {
        let RawUnit { media, dts, pts, key, data } = unit;
        let mapped = self.timeline.map(Stamp { media, dts, pts }, arrived);
        while let Some(event) = self.timeline.poll_event() {
            out.push(ContributionEvent::Timeline(event));
        }
        let unit = AccessUnit { pts: mapped.pts, dts: mapped.dts, key, data };
        let item = match media {
            MediaKind::Video => Contribution::Video(unit),
            // Audio has no reordering.
            MediaKind::Audio => Contribution::Audio(AccessUnit { pts: unit.dts, ..unit }),
        };
        out.push(ContributionEvent::Item { item, arrived, late: mapped.late });
    }
}

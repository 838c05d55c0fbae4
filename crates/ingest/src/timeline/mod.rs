//! The contribution's clock to UTC media time, across drift, jumps and reconnects. Pure.
//!
//! The mapping is one offset: media time = source time + offset, shared by audio and video.
//!
//! - **Anchor.** The first unit of a connection sets the offset: its decode time is its arrival
//!   ([`Mode::Arrival`]), or what its own stamp says ([`Mode::Utc`]).
//! - **Drift.** How late units arrive against their mapped time is measured as the least value over a window, which no
//!   network delay can lower. The offset follows it by at most [`Config::max_slew_ppm`], beyond a dead band. Stamped
//!   mappings do not slew.
//! - **Jumps.** A step of the source's timestamps that arrival does not share makes a new *epoch* with an anchor of its
//!   own. Audio and video may pass the jump at different units, so the mapping before it is kept for the track that has
//!   not passed it yet.
//! - **Whole ticks.** The offset moves in steps of 0.1 ms: the times of a source that counts in milliseconds are then whole
//!   ticks of 90 kHz and whole microseconds, the unit that browsers count in. Where they are not, a browser's rounding
//!   puts the first picture a microsecond before the beginning every so often, and takes away its whole segment.
//! - **Never back.** For each track, decode times that are not `late` only increase. An anchor lies after everything
//!   put out before and after the filler's floor.
//! - **Late.** Units before the floor are reported late. If a track stays late for [`Config::late_patience`], the
//!   mapping moves to arrival time: a permanent delay does not mean permanent filler.
//! - **Ahead.** A backlog sent in a burst stays on the contribution's clock. A source that is faster than real time
//!   gets ever further ahead; that is reported, and slowing it down is up to the caller (stop reading it).

mod config;
mod drift;

use std::collections::VecDeque;
use std::time::Duration;

use millstream_media::time::UtcTime;

use crate::source::{MediaKind, SourceTime};
pub use config::{Config, Mode, RTMP_STAMP_MODULUS};
use drift::Drift;

/// Events kept for [`Timeline::poll_event`]; the oldest go first.
const MAX_EVENTS: usize = 32;

/// A step back within a track that is rounding or sloppiness and no jump.
const BACK_TOLERANCE: i64 = 100_000_000;

/// Least step between decode times of a track, so that they differ on every timescale.
const MIN_STEP: i64 = 100_000;

/// The offset is a multiple of this.
const OFFSET_STEP: i64 = 100_000;

/// How far behind arrival the newest mapping may put a track that joins it.
const MAX_JOIN_BEHIND: i64 = 10_000_000_000;

/// Gap in arrival after which lateness is not continuous.
const LATE_GAP: i64 = 1_000_000_000;

/// Most that `pts` before `dts` is taken for a property of the stream.
const MAX_LEAD: i64 = 1_000_000_000;

/// Bounds of a unit's duration as it is estimated for the end of the output.
const MIN_DURATION: i64 = 1_000_000;
const MAX_DURATION: i64 = 200_000_000;

/// A unit's times on the contribution's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its track.
    pub media: MediaKind,
    /// Decode time.
    pub dts: SourceTime,
    /// Presentation time.
    pub pts: SourceTime,
}

/// A unit's times in UTC media time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Decode time, at most `pts`; unless `late`, greater than that of the track's unit before.
    pub dts: UtcTime,
    /// Presentation time.
    pub pts: UtcTime,
    /// It lies before the floor, or before what its track has put out: it must not be shown any more.
    pub late: bool,
}

/// What an operator may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimelineEvent {
    /// The first unit of a connection was mapped.
    Anchored {
        /// To this time.
        at: UtcTime,
        /// By its own stamp.
        stamped: bool,
    },
    /// The source's timestamps jumped and were mapped on.
    Jump {
        /// The track that jumped first.
        media: MediaKind,
        /// The step of its timestamps, in nanoseconds.
        source_step: i64,
        /// The step of the mapped time that is left of it, in nanoseconds.
        mapped_step: i64,
    },
    /// Units have begun to come late.
    Late {
        /// The track.
        media: MediaKind,
        /// How far behind the floor the first one was.
        by: Duration,
    },
    /// The mapping was moved, because units stayed late or behind.
    Reanchored {
        /// By so much.
        forward_by: Duration,
    },
    /// The source runs ahead of real time.
    Ahead {
        /// By so much.
        by: Duration,
    },
    /// The stamps are not believed; arrival time is used for this connection.
    StampsRefused {
        /// Stamp minus wall clock in nanoseconds, where that was the reason; zero for lasting lateness.
        off_by: i64,
    },
}

/// The mapping. It belongs to a channel and outlives its connections.
#[derive(Debug)]
pub struct Timeline {
    config: Config,
    /// The mapping in force, and the one before the last jump.
    current: Option<Epoch>,
    previous: Option<Epoch>,
    next_serial: u64,
    video: Track,
    audio: Track,
    floor: i64,
    drift: Drift,
    /// Least `arrival − source time` since lateness began, for finding what the mapping should aim at.
    late_best: i64,
    stamps_refused: bool,
    ahead_told: bool,
    events: VecDeque<TimelineEvent>,
}

#[derive(Clone, Copy, Debug)]
struct Epoch {
    serial: u64,
    offset: i64,
    stamped: bool,
}

#[derive(Debug, Default)]
struct Track {
    /// On this connection: the epoch it is in, and its last unit.
    epoch: Option<u64>,
    last_source: i64,
    last_arrival: i64,
    /// How far presentation has preceded decoding; decode times are moved down by it.
    lead: i64,
    /// Over all connections: the last decode time put out, and the end of what was put out.
    last_dts: Option<i64>,
    end: Option<i64>,
    late_since: Option<i64>,
    last_late: i64,
}

impl Timeline {
    /// A timeline that has mapped nothing.
    pub fn new(config: Config) -> Self {
        Timeline {
            drift: Drift::new(nanos(config.dead_band), i64::from(config.max_slew_ppm)),
            config,
            current: None,
            previous: None,
            next_serial: 0,
            video: Track::default(),
            audio: Track::default(),
            floor: i64::MIN,
            late_best: i64::MAX,
            stamps_refused: false,
            ahead_told: false,
            events: VecDeque::new(),
        }
    }

    /// A new connection: its clock has nothing to do with the one before.
    pub fn connected(&mut self) {
        (self.current, self.previous) = (None, None);
        (self.stamps_refused, self.ahead_told) = (false, false);
        for track in [&mut self.video, &mut self.audio] {
            *track = Track { last_dts: track.last_dts, end: track.end, ..Track::default() };
        }
    }

    /// Output up to `until` has been made already, by filler; the floor never falls.
    pub fn raise_floor(&mut self, until: UtcTime) {
        self.floor = self.floor.max(until.0);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<TimelineEvent> {
        self.events.pop_front()
    }

    /// Whether the mapping in force comes from the source's own stamps.
    pub fn is_stamped(&self) -> bool {
        self.current.is_some_and(|e| e.stamped)
    }

    /// Maps a unit that arrived at `arrived` by the wall clock.
    pub fn map(&mut self, stamp: Stamp, arrived: UtcTime) -> Mapped {
        let (at, source) = (arrived.0, stamp.dts.0);
        let epoch = self.place(stamp, at);
        self.follow(epoch, source, at);
        let lead_before = self.track(stamp.media).lead;
        let track = self.track_mut(stamp.media);
        track.lead = track.lead.max(source.saturating_sub(stamp.pts.0)).min(MAX_LEAD);
        let grown = track.lead - lead_before;
        (track.epoch, track.last_source, track.last_arrival) = (Some(epoch), source, at);

        self.late_best = self.late_best.min(at.saturating_sub(source));
        let (mut dts, mut pts) = self.apply(epoch, stamp);
        let mut late = self.lateness(stamp.media, dts, pts, grown);
        if late.is_some() && self.patience_is_over(stamp.media, at) {
            self.move_to_arrival(stamp, at);
            (dts, pts) = self.apply(self.track(stamp.media).epoch.unwrap_or(epoch), stamp);
            late = self.lateness(stamp.media, dts, pts, grown);
        }
        if let Some(by) = late {
            self.note_late(stamp.media, at, by);
            return Mapped { dts: UtcTime(dts), pts: UtcTime(pts), late: true };
        }
        self.note_ahead(dts.saturating_sub(at));
        let track = self.track_mut(stamp.media);
        track.late_since = None;
        if let Some(last) = track.last_dts {
            dts = dts.max(last.saturating_add(MIN_STEP));
        }
        pts = pts.max(dts);
        let duration =
            track.last_dts.map_or(MIN_DURATION, |last| dts.saturating_sub(last)).clamp(MIN_DURATION, MAX_DURATION);
        track.last_dts = Some(dts);
        track.end = Some(track.end.unwrap_or(i64::MIN).max(pts.saturating_add(duration)));
        Mapped { dts: UtcTime(dts), pts: UtcTime(pts), late: false }
    }

    /// The epoch that a unit belongs to; makes one at the start and at a jump.
    fn place(&mut self, stamp: Stamp, at: i64) -> u64 {
        let source = stamp.dts.0;
        let Some(current) = self.current else {
            let epoch = self.anchor(stamp, at);
            self.tell(TimelineEvent::Anchored {
                at: UtcTime(source.saturating_add(epoch.offset)),
                stamped: epoch.stamped,
            });
            return epoch.serial;
        };
        let track = self.track(stamp.media);
        let Some(epoch) = track.epoch.and_then(|serial| self.epoch(serial)) else {
            // The track's first unit on this connection.
            return if self.fits(current, source, at) { current.serial } else { self.anchor(stamp, at).serial };
        };
        let forward_jump = nanos(self.config.forward_jump);
        let step = source.saturating_sub(track.last_source);
        let expected = track.last_source.saturating_add(epoch.offset);
        if epoch.serial != current.serial {
            // The other track has passed a jump that this one has still to come to, or passes now.
            return if (-BACK_TOLERANCE..=forward_jump).contains(&step) {
                epoch.serial
            } else if self.fits(current, source, at) {
                current.serial
            } else {
                self.anchor(stamp, at).serial
            };
        }
        let ahead = source.saturating_add(epoch.offset).saturating_sub(at);
        let beyond_arrival = step.saturating_sub(at.saturating_sub(track.last_arrival));
        let jumps =
            step < -BACK_TOLERANCE || (step > forward_jump && beyond_arrival > forward_jump && ahead > forward_jump);
        if !jumps {
            return epoch.serial;
        }
        let to = if epoch.stamped && self.stamped_offset(source, at).is_ok_and(|o| o == epoch.offset) {
            // UTC says that the gap (or the step back) is real.
            epoch
        } else {
            self.anchor(stamp, at)
        };
        let mapped_step = source.saturating_add(to.offset).saturating_sub(expected);
        self.tell(TimelineEvent::Jump { media: stamp.media, source_step: step, mapped_step });
        to.serial
    }

    /// Begins an epoch with this unit.
    fn anchor(&mut self, stamp: Stamp, at: i64) -> Epoch {
        let source = stamp.dts.0;
        let stamped = match self.config.mode {
            Mode::Utc { .. } if !self.stamps_refused => match self.stamped_offset(source, at) {
                Ok(offset) => Some(offset),
                Err(off_by) => {
                    self.stamps_refused = true;
                    self.tell(TimelineEvent::StampsRefused { off_by });
                    None
                }
            },
            _ => None,
        };
        let lowest = source.saturating_sub(self.track(stamp.media).lead).min(stamp.pts.0);
        let offset = stamped.unwrap_or_else(|| whole_steps(self.earliest(at).saturating_sub(lowest)));
        let epoch = Epoch { serial: self.next_serial, offset, stamped: stamped.is_some() };
        self.next_serial += 1;
        self.previous = self.current.replace(epoch);
        self.drift.reset();
        epoch
    }

    /// Where output may begin again: now, but after everything that has been put out.
    fn earliest(&self, at: i64) -> i64 {
        let ends = [self.video.end, self.audio.end];
        ends.into_iter().flatten().fold(at.max(self.floor), i64::max)
    }

    /// The offset by which a stamp is the instant nearest to the wall clock; `Err` with the distance if that is too far.
    fn stamped_offset(&self, source: i64, at: i64) -> Result<i64, i64> {
        let Mode::Utc { modulus } = self.config.mode else { return Err(0) };
        let modulus = nanos(modulus).max(1);
        let off_by = source.saturating_sub(at).rem_euclid(modulus);
        let off_by = if off_by > modulus / 2 { off_by - modulus } else { off_by };
        if off_by.abs() > nanos(self.config.max_stamp_error) {
            return Err(off_by);
        }
        Ok(at.saturating_add(off_by).saturating_sub(source))
    }

    /// Whether `epoch` puts a unit near its arrival.
    fn fits(&self, epoch: Epoch, source: i64, at: i64) -> bool {
        let ahead = source.saturating_add(epoch.offset).saturating_sub(at);
        if epoch.stamped {
            return ahead.saturating_abs() <= nanos(self.config.max_stamp_error);
        }
        (-MAX_JOIN_BEHIND..=nanos(self.config.max_ahead)).contains(&ahead)
    }

    /// Follows the drift between the two clocks.
    fn follow(&mut self, serial: u64, source: i64, at: i64) {
        let max_behind = nanos(self.config.max_behind);
        let Some(current) = self.current.as_mut().filter(|e| e.serial == serial && !e.stamped) else { return };
        current.offset = current.offset.saturating_add(self.drift.slew(current.offset, source, at));
        if let Some(behind) = self.drift.lasting_error(current.offset)
            && behind > max_behind
        {
            current.offset = current.offset.saturating_add(behind);
            self.drift.reset();
            self.tell(TimelineEvent::Reanchored { forward_by: Duration::from_nanos(behind.unsigned_abs()) });
        }
    }

    /// A unit's decode and presentation time under an epoch.
    fn apply(&self, serial: u64, stamp: Stamp) -> (i64, i64) {
        let offset = whole_steps(self.epoch(serial).or(self.current).map_or(0, |e| e.offset));
        let dts = stamp.dts.0.saturating_sub(self.track(stamp.media).lead).saturating_add(offset);
        (dts, stamp.pts.0.saturating_add(offset).max(dts))
    }

    /// How late a unit is, if it is. `grown` is by how much its track's decode times have just been moved down.
    fn lateness(&self, media: MediaKind, dts: i64, pts: i64, grown: i64) -> Option<i64> {
        let behind_floor = self.floor.saturating_sub(pts);
        let behind_track = self.track(media).last_dts.map_or(0, |last| last.saturating_sub(dts));
        if behind_floor > 0 {
            Some(behind_floor)
        } else {
            (behind_track > BACK_TOLERANCE + grown).then_some(behind_track)
        }
    }

    fn note_late(&mut self, media: MediaKind, at: i64, by: i64) {
        let track = self.track_mut(media);
        track.last_late = at;
        if track.late_since.is_none() {
            track.late_since = Some(at);
            if self.track(other(media)).late_since.is_none() {
                self.late_best = i64::MAX;
                self.tell(TimelineEvent::Late { media, by: Duration::from_nanos(by.unsigned_abs()) });
            }
        }
    }

    fn patience_is_over(&mut self, media: MediaKind, at: i64) -> bool {
        let stamped = self.is_stamped();
        let patience = if stamped { self.config.stamped_late_patience } else { self.config.late_patience };
        let track = self.track_mut(media);
        if !(0..=LATE_GAP).contains(&at.saturating_sub(track.last_late)) {
            track.late_since = track.late_since.map(|_| at);
        }
        track.late_since.is_some_and(|since| at.saturating_sub(since) >= nanos(patience))
    }

    /// Lateness has lasted: the unit in hand is mapped to its arrival, everything else along with it.
    fn move_to_arrival(&mut self, stamp: Stamp, at: i64) {
        if self.is_stamped() {
            self.stamps_refused = true;
            self.tell(TimelineEvent::StampsRefused { off_by: 0 });
        }
        let before = self.current.map_or(0, |e| e.offset);
        let epoch = self.anchor(stamp, at);
        // The clock is the same, so every track moves.
        self.previous = None;
        for track in [&mut self.video, &mut self.audio] {
            track.epoch = track.epoch.map(|_| epoch.serial);
            track.late_since = None;
        }
        // If only one track was late, the mapping must not drift back to where the other one was on time.
        self.drift.aim_at(self.late_best.saturating_sub(epoch.offset).min(0));
        let forward_by = epoch.offset.saturating_sub(before).max(0);
        self.tell(TimelineEvent::Reanchored { forward_by: Duration::from_nanos(forward_by.unsigned_abs()) });
    }

    fn note_ahead(&mut self, ahead: i64) {
        let limit = nanos(self.config.max_ahead);
        if ahead > limit && !self.ahead_told {
            self.ahead_told = true;
            self.tell(TimelineEvent::Ahead { by: Duration::from_nanos(ahead.unsigned_abs()) });
        } else if ahead < limit / 2 {
            self.ahead_told = false;
        }
    }

    fn tell(&mut self, event: TimelineEvent) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn epoch(&self, serial: u64) -> Option<Epoch> {
        [self.current, self.previous].into_iter().flatten().find(|e| e.serial == serial)
    }

    fn track(&self, media: MediaKind) -> &Track {
        match media {
            MediaKind::Video => &self.video,
            MediaKind::Audio => &self.audio,
        }
    }

    fn track_mut(&mut self, media: MediaKind) -> &mut Track {
        match media {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio => &mut self.audio,
        }
    }
}

fn other(media: MediaKind) -> MediaKind {
    match media {
        MediaKind::Video => MediaKind::Audio,
        MediaKind::Audio => MediaKind::Video,
    }
}

/// The next multiple of [`OFFSET_STEP`].
fn whole_steps(offset: i64) -> i64 {
    offset.saturating_add(offset.wrapping_neg().rem_euclid(OFFSET_STEP))
}

fn nanos(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

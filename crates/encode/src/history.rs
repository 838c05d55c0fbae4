//! What goes to the worker, and what went and is not yet out: kept so that a new worker can go on. Pure.
//!
//! One queue with a mark: before the mark what the worker was given, after it what waits. Everything from the random
//! access point that the next output frame needs is kept. Bounds: [`Config::waiting`] of media and
//! [`Config::waiting_bytes`] wait (beyond that whole GOPs are dropped), [`Config::replay_bytes`] are kept for replay.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use millstream_encode_wire::message::ToWorker;
use millstream_media::time::UtcTime;

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most media that waits for the worker.
    pub waiting: Duration,
    /// Most bytes that wait for the worker.
    pub waiting_bytes: usize,
    /// Most bytes kept for a new worker; beyond that the oldest go, and a new worker shows black until a random access
    /// point.
    pub replay_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { waiting: Duration::from_secs(6), waiting_bytes: 64 << 20, replay_bytes: 64 << 20 }
    }
}

/// A message to the worker with its payload.
pub type Item = (ToWorker, Bytes);

/// How far behind a skipped unit's time output is made in its place: units of the other track may still come.
const SKIP_LAG: Duration = Duration::from_millis(300);

/// Fewer given items than this are not swept.
const SWEEP_ITEMS: usize = 2048;

/// The queue.
#[derive(Debug, Default)]
pub struct History {
    config: Config,
    items: VecDeque<Item>,
    /// How many of the items went to the worker that runs now.
    sent: usize,
    sent_bytes: usize,
    waiting_bytes: usize,
    /// The configurations in force before the first item.
    video_config: Option<Item>,
    audio_config: Option<Item>,
    /// Video is left out up to the next random access point.
    skipping: bool,
    dropped: u64,
    /// So many given items call for a look at all of them.
    sweep_at: usize,
}

impl History {
    /// An empty queue.
    pub fn new(config: Config) -> Self {
        History { config, sweep_at: SWEEP_ITEMS, ..History::default() }
    }

    /// Appends a message. Says how many access units had to be dropped for it.
    pub fn push(&mut self, message: ToWorker, payload: Bytes) -> u64 {
        let before = self.dropped;
        match message {
            ToWorker::Video(times) if self.skipping => {
                if times.key {
                    self.skipping = false;
                } else {
                    self.dropped += 1;
                    self.advance(times.dts - SKIP_LAG, false);
                    return 1;
                }
            }
            ToWorker::Advance { until, slate } => {
                self.advance(until, slate);
                return 0;
            }
            _ => {}
        }
        self.append(message, payload);
        if self.waiting() > self.config.waiting || self.waiting_bytes > self.config.waiting_bytes {
            self.drop_waiting_gop();
        }
        self.dropped - before
    }

    /// Appends an advance; of several in a row that wait only the newest counts.
    fn advance(&mut self, until: UtcTime, slate: bool) {
        let waits = self.items.len() > self.sent;
        match self.items.back_mut() {
            Some((ToWorker::Advance { until: last, slate: same }, _)) if waits && *same == slate => {
                *last = until.max(*last);
            }
            _ => self.append(ToWorker::Advance { until, slate }, Bytes::new()),
        }
    }

    fn append(&mut self, message: ToWorker, payload: Bytes) {
        self.waiting_bytes += payload.len();
        self.items.push_back((message, payload));
    }

    /// Takes the next message for the worker. It stays for a new worker.
    pub fn give(&mut self) -> Option<Item> {
        let item = self.items.get(self.sent)?.clone();
        self.sent += 1;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(item.1.len());
        self.sent_bytes += item.1.len();
        while self.sent_bytes > self.config.replay_bytes && self.sent > 1 {
            self.pop();
        }
        self.merge_given_advances();
        Some(item)
    }

    /// Of two advances in a row that were given a new worker needs only the second.
    fn merge_given_advances(&mut self) {
        let Some(last) = self.sent.checked_sub(2) else { return };
        if let (Some((ToWorker::Advance { slate: a, .. }, _)), Some((ToWorker::Advance { slate: b, .. }, _))) =
            (self.items.get(last), self.items.get(last + 1))
            && a == b
        {
            self.items.remove(last);
            self.sent -= 1;
        }
    }

    /// Whether the worker has been given everything.
    pub fn is_empty(&self) -> bool {
        self.sent == self.items.len()
    }

    /// Media that waits for the worker.
    pub fn waiting(&self) -> Duration {
        let mut times = self.items.iter().skip(self.sent).filter_map(|item| dts(&item.0));
        match (times.next(), times.next_back()) {
            (Some(first), Some(last)) => last.since(first),
            _ => Duration::ZERO,
        }
    }

    /// Access units dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// A new worker begins: what it needs first, the configurations in force; then [`History::give`] begins anew.
    pub fn rewind(&mut self) -> Vec<Item> {
        self.sent = 0;
        self.waiting_bytes += self.sent_bytes;
        self.sent_bytes = 0;
        self.video_config.iter().chain(&self.audio_config).cloned().collect()
    }

    /// Video is out before `video` and sound before `audio`: what neither needs is forgotten. A frame needs everything
    /// from the last random access point that lies at or before it.
    pub fn forget(&mut self, video: UtcTime, audio: UtcTime) {
        let needed =
            self.items.iter().take(self.sent).rposition(|item| key_pts(&item.0).is_some_and(|pts| pts <= video));
        let mut before = needed.unwrap_or(0);
        let is_out = |message: &ToWorker| match message {
            // The frame before takes part in decoding the one that is needed.
            ToWorker::Audio(times) => times.pts + Duration::from_millis(100) < audio,
            ToWorker::Advance { until, .. } => *until <= video && *until <= audio,
            _ => false,
        };
        while self.sent > 0 {
            let gone = match self.items.front().map(|item| &item.0) {
                Some(ToWorker::Video(_)) => before > 0,
                Some(message @ (ToWorker::Audio(_) | ToWorker::Advance { .. })) => is_out(message),
                // A configuration is kept by itself.
                Some(_) => true,
                None => false,
            };
            if !gone {
                break;
            }
            self.pop();
            before = before.saturating_sub(1);
        }
        // Behind a picture that is kept for long (no newer random access point comes) sound would gather.
        if self.sent > self.sweep_at {
            let waiting = self.items.split_off(self.sent);
            self.items.retain(|item| !is_out(&item.0));
            self.sent = self.items.len();
            self.sent_bytes = self.items.iter().map(|item| item.1.len()).sum();
            self.items.extend(waiting);
            self.sweep_at = (2 * self.sent).max(SWEEP_ITEMS);
        }
    }

    /// Whether the worker was given anything.
    pub fn has_given(&self) -> bool {
        self.sent > 0
    }

    /// Where a new worker would begin: the first random access point that was given to the worker.
    pub fn replay_start(&self) -> Option<UtcTime> {
        self.items.iter().take(self.sent).find_map(|item| key_pts(&item.0))
    }

    /// Leaves out everything that was given to the worker, and the video up to the next random access point: it has
    /// killed the worker more than once. Time goes on in its place.
    pub fn skip_given(&mut self) {
        let mut newest = None;
        while self.sent > 0 {
            if let Some((message, _)) = self.items.front()
                && let Some(time) = dts(message)
            {
                newest = newest.max(Some(time));
                self.dropped += 1;
            }
            self.pop();
        }
        self.drop_video_until_key(0);
        if let Some(time) = newest {
            self.items.push_front((ToWorker::Advance { until: time - SKIP_LAG, slate: false }, Bytes::new()));
        }
    }

    /// Drops the oldest GOP that waits, with its sound: the rest of the one that is being given to the worker, or a whole
    /// one. Where only sound waits, the older half of it.
    fn drop_waiting_gop(&mut self) {
        let waiting = self.items.iter().skip(self.sent);
        let is_video = |item: &Item| matches!(item.0, ToWorker::Video(_));
        if !waiting.clone().any(is_video) {
            let half = (self.items.len() - self.sent) / 2;
            self.drop_units(self.sent, half, |_| true);
            return;
        }
        let is_key = |item: &Item| key_pts(&item.0).is_some();
        let first_video = waiting.clone().position(is_video).unwrap_or(0);
        let end = waiting.clone().enumerate().skip(first_video + 1).find(|(_, item)| is_key(item)).map(|(at, _)| at);
        self.skipping = end.is_none();
        self.drop_units(self.sent, end.unwrap_or(usize::MAX), |_| true);
    }

    /// Drops video from index `at` on up to a random access point; if none waits, up to the next that comes.
    fn drop_video_until_key(&mut self, at: usize) {
        let end = self.items.iter().skip(at).position(|item| key_pts(&item.0).is_some());
        self.skipping = end.is_none();
        self.drop_units(at, end.unwrap_or(usize::MAX), |message| matches!(message, ToWorker::Video(_)));
    }

    /// Of the `count` items from index `at` on, which wait, drops the access units that `which` names.
    fn drop_units(&mut self, at: usize, count: usize, which: impl Fn(&ToWorker) -> bool) {
        let mut rest = self.items.split_off(at.min(self.items.len()));
        for (message, payload) in rest.drain(..count.min(rest.len())) {
            if dts(&message).is_some() && which(&message) {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(payload.len());
                self.dropped += 1;
            } else {
                self.items.push_back((message, payload));
            }
        }
        self.items.append(&mut rest);
    }

    /// Takes the first item, which went to the worker, away; a configuration stays in force.
    fn pop(&mut self) {
        let Some(item) = self.items.pop_front() else { return };
        self.sent = self.sent.saturating_sub(1);
        self.sent_bytes = self.sent_bytes.saturating_sub(item.1.len());
        match item.0 {
            ToWorker::VideoConfig { .. } => self.video_config = Some(item),
            ToWorker::AudioConfig { .. } => self.audio_config = Some(item),
            _ => {}
        }
    }
}

fn dts(message: &ToWorker) -> Option<UtcTime> {
    match message {
        ToWorker::Video(times) | ToWorker::Audio(times) => Some(times.dts),
        _ => None,
    }
}

fn key_pts(message: &ToWorker) -> Option<UtcTime> {
    match message {
        ToWorker::Video(times) if times.key => Some(times.pts),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_encode_wire::message::{AudioCodec, UnitTimes, VideoCodec};

    fn ms(t: i64) -> UtcTime {
        UtcTime::from_millis(t)
    }

    fn unit(t: i64, key: bool) -> UnitTimes {
        UnitTimes { pts: ms(t), dts: ms(t), key }
    }

    /// Video at 25 fps with a key frame each second, sound beside it.
    fn fill(history: &mut History, from: i64, to: i64) -> u64 {
        let video = |t: i64| history_unit(ToWorker::Video(unit(t, t % 1000 == 0)));
        let mut dropped = 0;
        for t in (from..to).step_by(40) {
            for (message, payload) in [video(t), history_unit(ToWorker::Audio(unit(t, true)))] {
                dropped += history.push(message, payload);
            }
        }
        dropped
    }

    fn history_unit(message: ToWorker) -> Item {
        (message, Bytes::from_static(&[0; 1000]))
    }

    fn drain(history: &mut History) -> Vec<ToWorker> {
        std::iter::from_fn(|| history.give()).map(|i| i.0).collect()
    }

    #[test]
    fn a_new_worker_gets_the_configurations_and_the_gop_of_the_next_frame() {
        let mut history = History::new(Config::default());
        history.push(ToWorker::VideoConfig { codec: VideoCodec::H264 }, Bytes::from_static(b"v"));
        history.push(ToWorker::AudioConfig { codec: AudioCodec::Aac }, Bytes::from_static(b"a"));
        fill(&mut history, 0, 5000);
        drain(&mut history);
        history.forget(ms(3500), ms(3400));
        let preface = history.rewind();
        assert_eq!(preface.len(), 2);
        let again = drain(&mut history);
        let video: Vec<_> =
            again.iter().filter_map(|m| if let ToWorker::Video(t) = m { Some(*t) } else { None }).collect();
        assert_eq!(video[0], unit(3000, true));
        assert_eq!(video.len(), 50);
        // Sound that is out is not given again (it may stand before video that is needed).
        assert!(again.iter().all(|m| !matches!(m, ToWorker::Audio(t) if t.pts < ms(2900))));
    }

    #[test]
    fn memory_is_bounded_while_nothing_comes_out() {
        let config = Config { replay_bytes: 100_000, ..Config::default() };
        let mut history = History::new(config);
        for second in 0..100 {
            fill(&mut history, second * 1000, second * 1000 + 1000);
            drain(&mut history);
            assert!(history.sent_bytes <= 100_000 && history.items.len() <= 101);
        }
    }

    #[test]
    fn a_worker_that_does_not_read_costs_whole_gops() {
        let mut history = History::new(Config::default());
        let dropped = fill(&mut history, 0, 20_000);
        assert!(dropped > 0 && history.waiting() <= Duration::from_millis(6100), "{:?}", history.waiting());
        // Whole GOPs: each key frame that is left is followed by its GOP, and nothing stands before the first.
        let left: Vec<_> = drain(&mut history);
        let video: Vec<_> =
            left.iter().filter_map(|m| if let ToWorker::Video(t) = m { Some(*t) } else { None }).collect();
        assert!(video[0].key && video.windows(2).all(|w| w[1].key || w[1].pts == w[0].pts + Duration::from_millis(40)));
        let audio = left.iter().filter(|m| matches!(m, ToWorker::Audio(_))).count();
        assert!(audio.abs_diff(video.len()) <= 1, "{audio} units of sound");
    }

    #[test]
    fn a_gop_without_end_is_dropped_up_to_the_next_key() {
        let mut history = History::new(Config::default());
        for t in (0..20_000).step_by(40) {
            history.push(ToWorker::Video(unit(t, t == 0)), Bytes::from_static(&[0; 10]));
        }
        assert!(history.items.len() < 200);
        history.push(ToWorker::Video(unit(20_000, true)), Bytes::new());
        let left = drain(&mut history);
        assert!(matches!(left.last(), Some(ToWorker::Video(UnitTimes { key: true, .. }))));
        assert!(left.iter().filter(|m| matches!(m, ToWorker::Video(_))).count() == 1);
    }

    #[test]
    fn sound_does_not_gather_while_the_picture_is_lost() {
        let mut history = History::new(Config::default());
        fill(&mut history, 0, 1000);
        for t in (1000..3_600_000).step_by(20) {
            history.push(ToWorker::Audio(unit(t, true)), Bytes::from_static(&[0; 100]));
            history.push(ToWorker::Advance { until: ms(t - 900), slate: true }, Bytes::new());
            drain(&mut history);
            history.forget(ms(t - 950), ms(t - 100));
        }
        assert!(history.items.len() <= 2 * SWEEP_ITEMS, "{}", history.items.len());
        assert_eq!(history.sent_bytes, history.items.iter().map(|i| i.1.len()).sum::<usize>());
        assert_eq!(history.replay_start(), Some(ms(0)), "the picture that is shown is kept");
    }

    #[test]
    fn advances_that_wait_become_one() {
        let mut history = History::new(Config::default());
        for t in 0..1000 {
            history.push(ToWorker::Advance { until: ms(t * 100), slate: t >= 30 }, Bytes::new());
        }
        assert_eq!(
            drain(&mut history),
            [ToWorker::Advance { until: ms(2900), slate: false }, ToWorker::Advance { until: ms(99_900), slate: true }]
        );
    }

    #[test]
    fn a_skipped_gop_is_left_out_and_time_goes_on() {
        let mut history = History::new(Config::default());
        fill(&mut history, 0, 800);
        drain(&mut history);
        assert_eq!(history.replay_start(), Some(ms(0)));
        history.skip_given();
        fill(&mut history, 800, 2000);
        history.rewind();
        let left = drain(&mut history);
        assert!(matches!(left[0], ToWorker::Advance { until, .. } if until >= ms(460)));
        let first = left.iter().find_map(|m| if let ToWorker::Video(t) = m { Some(*t) } else { None });
        assert_eq!(first, Some(unit(1000, true)));
    }
}

//! The contribution's clock becomes UTC media time: drift, wraps, jumps, reconnects and lateness (DESIGN 2).
#![allow(clippy::expect_used, reason = "test harness")]

use millstream_ingest::rtmp::clock::UnrolledClock;
use millstream_ingest::source::{MediaKind, SourceTime};
use millstream_ingest::timeline::{Config, Mapped, Mode, RTMP_STAMP_MODULUS, Stamp, Timeline, TimelineEvent};
use millstream_media::time::UtcTime;
use proptest::prelude::*;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;
/// 2026-11-22T12:00:00Z.
const T0: i64 = 1_795_348_800 * SECOND;

const VIDEO: MediaKind = MediaKind::Video;
const AUDIO: MediaKind = MediaKind::Audio;

/// One mapped unit with what went in.
#[derive(Clone, Copy, Debug)]
struct Seen {
    media: MediaKind,
    source: i64,
    arrived: i64,
    mapped: Mapped,
}

/// A timeline and everything it has said.
struct Bench {
    timeline: Timeline,
    seen: Vec<Seen>,
    events: Vec<TimelineEvent>,
}

impl Bench {
    fn new(mode: Mode) -> Self {
        Bench { timeline: Timeline::new(Config { mode, ..Config::default() }), seen: Vec::new(), events: Vec::new() }
    }

    fn arrival() -> Self {
        Bench::new(Mode::Arrival)
    }

    fn stamped() -> Self {
        Bench::new(Mode::Utc { modulus: RTMP_STAMP_MODULUS })
    }

    fn unit(&mut self, media: MediaKind, source: i64, arrived: i64) -> Mapped {
        self.unit_with_pts(media, source, source, arrived)
    }

    fn unit_with_pts(&mut self, media: MediaKind, source: i64, pts: i64, arrived: i64) -> Mapped {
        let stamp = Stamp { media, dts: SourceTime(source), pts: SourceTime(pts) };
        let mapped = self.timeline.map(stamp, UtcTime(arrived));
        self.seen.push(Seen { media, source, arrived, mapped });
        while let Some(event) = self.timeline.poll_event() {
            self.events.push(event);
        }
        mapped
    }

    /// Audio (every 21 ms) and video (every 33 ms) over `source`, each arriving at `arrive(source)`.
    fn play(&mut self, source: std::ops::Range<i64>, arrive: impl Fn(i64) -> i64) {
        let mut units: Vec<(i64, MediaKind)> = Vec::new();
        units.extend((0..).map(|k| (source.start + k * 33 * MS, VIDEO)).take_while(|u| u.0 < source.end));
        units.extend((0..).map(|k| (source.start + k * 21 * MS, AUDIO)).take_while(|u| u.0 < source.end));
        units.sort();
        for (at, media) in units {
            self.unit(media, at, arrive(at));
        }
    }

    /// No unit of a track that is to be shown goes back.
    fn assert_never_back(&self) {
        for media in [VIDEO, AUDIO] {
            let mut last = i64::MIN;
            for seen in self.seen.iter().filter(|s| s.media == media && !s.mapped.late) {
                assert!(seen.mapped.dts.0 > last, "{media} goes back: {seen:?} after {last}");
                assert!(seen.mapped.pts >= seen.mapped.dts);
                last = seen.mapped.dts.0;
            }
        }
    }

    fn last(&self) -> Seen {
        *self.seen.last().expect("a unit")
    }

    /// Mapped time minus arrival of the last unit, in ms.
    fn lead_ms(&self) -> i64 {
        (self.last().mapped.dts.0 - self.last().arrived) / MS
    }

    fn jumps(&self) -> usize {
        self.events.iter().filter(|e| matches!(e, TimelineEvent::Jump { .. })).count()
    }
}

#[test]
fn the_first_unit_is_anchored_at_its_arrival_and_the_clock_is_followed() {
    let mut b = Bench::arrival();
    // Jitter of 0 to 70 ms on top: no trace of it in the output.
    b.play(5000 * MS..9000 * MS, |s| T0 + s - 5000 * MS + (s / MS * 7919) % 70 * MS * i64::from(s > 5000 * MS));
    for seen in &b.seen {
        assert_eq!(seen.mapped.dts.0, T0 + seen.source - 5000 * MS);
    }
    assert_eq!(b.events, [TimelineEvent::Anchored { at: UtcTime(T0), stamped: false }]);
}

/// Browsers count in microseconds: a first picture between two of them is put before the beginning by their rounding
/// every so often, and its segment is lost. So milliseconds stay whole ticks of 90 kHz (0.1 ms is nine), also while the
/// mapping follows a clock that drifts.
#[test]
fn times_in_milliseconds_are_whole_microseconds_and_whole_ticks() {
    let mut b = Bench::arrival();
    let start = T0 + 123_456_789;
    // A clock that is 200 ppm slow, for three minutes.
    b.play(0..180_000 * MS, |s| start + s + s / 5000);
    assert!(b.seen.iter().all(|seen| seen.mapped.dts.0 % 100_000 == 0), "{:?}", b.last());
    assert!((0..100_000).contains(&(b.seen[0].mapped.dts.0 - start)), "at its arrival: {:?}", b.seen[0]);
    let moved = b.last().mapped.dts.0 - b.last().source - (b.seen[0].mapped.dts.0 - b.seen[0].source);
    assert!(moved > 10 * MS, "the drift was followed: {moved} ns");
    b.assert_never_back();
}

/// STANDARDS 6.6, CHECK-6a: a stream that begins 30 s before its timestamps wrap.
#[test]
fn the_32_bit_wrap_is_invisible() {
    let mut b = Bench::arrival();
    let mut clock = UnrolledClock::default();
    let start = (1_u64 << 32) - 30_000;
    for k in 0..2000_u64 {
        let ms = start + k * 33;
        let unrolled = clock.unroll(ms as u32);
        b.unit(VIDEO, unrolled * MS, T0 + (k * 33) as i64 * MS);
        assert_eq!(b.last().mapped.dts.0, T0 + (k * 33) as i64 * MS);
    }
    assert_eq!(b.events.len(), 1, "{:?}", b.events);
}

#[test]
fn b_frame_offsets_are_kept_and_negative_ones_keep_decode_before_presentation() {
    let mut b = Bench::arrival();
    for (k, offset) in [66, 132, 66, 0, 33].into_iter().enumerate() {
        let dts = k as i64 * 33 * MS;
        let mapped = b.unit_with_pts(VIDEO, dts, dts + offset * MS, T0 + dts);
        assert_eq!(mapped.pts.0 - mapped.dts.0, offset * MS);
    }
    let mut b = Bench::arrival();
    // An encoder that never delays decode times: presentation may come before.
    for (k, offset) in [0, 33, -33, -33, 33, -33, -33].into_iter().enumerate() {
        let dts = k as i64 * 33 * MS;
        let mapped = b.unit_with_pts(VIDEO, dts, dts + offset * MS, T0 + dts);
        assert!((mapped.pts.0 - (T0 + dts + offset * MS)).abs() < MS, "presentation times stay");
    }
    b.assert_never_back();
}

#[test]
fn slow_drift_is_corrected_without_a_jump() {
    for ppm in [100_i64, -100] {
        let mut b = Bench::arrival();
        // An hour; arrival runs `ppm` fast against the contribution's clock, with jitter.
        b.play(0..3600 * SECOND, |s| T0 + s + s / 1_000_000 * ppm + (s / MS * 31) % 40 * MS);
        b.assert_never_back();
        assert!(b.lead_ms().abs() < 70, "ppm {ppm}: {} ms after an hour, uncorrected 360", b.lead_ms());
        // Between neighbours of a track the mapping never moves by more than 500 ppm, rounded up to its next step.
        let video: Vec<_> = b.seen.iter().filter(|s| s.media == VIDEO).collect();
        for pair in video.windows(2) {
            let step = pair[1].mapped.dts.0 - pair[0].mapped.dts.0;
            assert!((step - 33 * MS).abs() <= MS / 10, "step {step}");
        }
        assert_eq!(b.events.len(), 1, "{:?}", b.events);
    }
}

#[test]
fn a_stall_and_its_burst_stay_on_the_contributions_clock() {
    let mut b = Bench::arrival();
    // Everything of second 10 to 14 arrives at 14 s, at once.
    b.play(0..30 * SECOND, |s| T0 + if (10 * SECOND..14 * SECOND).contains(&s) { 14 * SECOND } else { s });
    for seen in &b.seen {
        assert_eq!(seen.mapped.dts.0, T0 + seen.source);
    }
    assert_eq!(b.events.len(), 1, "{:?}", b.events);
}

#[test]
fn frames_dropped_by_the_encoder_in_a_stall_are_no_jump() {
    let mut b = Bench::arrival();
    b.play(0..10 * SECOND, |s| T0 + s);
    // What was in the socket arrives 5 s late, then the encoder goes on with what is live.
    b.play(10 * SECOND..10 * SECOND + 200 * MS, |_| T0 + 15 * SECOND);
    b.play(15 * SECOND..20 * SECOND, |s| T0 + s);
    assert_eq!(b.last().mapped.dts.0, T0 + b.last().source);
    assert_eq!(b.jumps(), 0);
    b.assert_never_back();
}

#[test]
fn source_jumps_are_mapped_on() {
    for (name, to) in [("back to zero", 0), ("an hour forward", 3700 * SECOND), ("two seconds back", 98 * SECOND)] {
        let mut b = Bench::arrival();
        b.play(0..100 * SECOND, |s| T0 + s);
        b.play(to..to + 20 * SECOND, |s| T0 + 100 * SECOND + s - to);
        b.assert_never_back();
        assert_eq!(b.jumps(), 1, "{name}: {:?}", b.events);
        assert!((0..=50).contains(&b.lead_ms()), "{name}: {} ms", b.lead_ms());
        assert!(b.seen.iter().all(|s| !s.mapped.late), "{name}");
    }
}

/// Audio passes the jump half a second before video does: one jump, no ping-pong.
#[test]
fn tracks_may_pass_a_jump_at_different_units() {
    for to in [0, 5000 * SECOND] {
        let mut b = Bench::arrival();
        b.play(0..10 * SECOND, |s| T0 + s);
        for k in 0..40 {
            let at = 10 * SECOND + k * 33 * MS;
            b.unit(AUDIO, to + k * 33 * MS, T0 + at);
            let video = if k < 15 { at } else { to + k * 33 * MS };
            b.unit(VIDEO, video, T0 + at);
        }
        b.assert_never_back();
        assert_eq!(b.jumps(), 1, "{:?}", b.events);
        assert!(b.lead_ms().abs() < 50, "{}", b.lead_ms());
    }
}

#[test]
fn a_reconnect_anchors_anew_and_never_overlaps() {
    let mut b = Bench::arrival();
    b.play(0..10 * SECOND, |s| T0 + s);
    let before = b.last().mapped.dts.0;
    b.timeline.connected();
    b.play(0..10 * SECOND, |s| T0 + 25 * SECOND + s);
    assert_eq!(b.last().mapped.dts.0, T0 + 25 * SECOND + b.last().source);
    b.assert_never_back();

    // A source that ran ahead and is back at once: output goes on after its end, not at arrival.
    let mut b = Bench::arrival();
    b.play(0..10 * SECOND, |s| T0 + s / 10);
    b.timeline.connected();
    let mapped = b.unit(VIDEO, 0, T0 + SECOND);
    assert!(mapped.dts.0 > before);
    b.assert_never_back();
}

#[test]
fn a_source_faster_than_real_time_is_reported_once() {
    let mut b = Bench::arrival();
    b.play(0..60 * SECOND, |s| T0 + s / 20);
    let ahead = b.events.iter().filter(|e| matches!(e, TimelineEvent::Ahead { .. })).count();
    assert_eq!((ahead, b.jumps()), (1, 0), "{:?}", b.events);
    b.assert_never_back();
}

#[test]
fn units_before_the_floor_are_late_and_no_more_than_that() {
    let mut b = Bench::arrival();
    b.play(0..10 * SECOND, |s| T0 + s);
    // A stall of 3 s; filler covers 2 of them; then the backlog comes at once.
    b.timeline.raise_floor(UtcTime(T0 + 12 * SECOND));
    b.play(10 * SECOND..20 * SECOND, |s| T0 + s.max(13 * SECOND));
    for seen in &b.seen {
        let in_gap = (10 * SECOND..12 * SECOND).contains(&seen.source);
        assert_eq!(seen.mapped.late, in_gap, "{seen:?}");
        assert_eq!(seen.mapped.dts.0, T0 + seen.source, "the mapping stays");
    }
    assert!(matches!(b.events[..], [TimelineEvent::Anchored { .. }, TimelineEvent::Late { .. }]), "{:?}", b.events);
}

#[test]
fn a_permanent_delay_moves_the_mapping_after_two_seconds() {
    let mut b = Bench::arrival();
    b.play(0..10 * SECOND, |s| T0 + s);
    // From now on everything takes 3 s longer, and the owner fills up to one second behind the clock.
    let mut first_on_time = None;
    for k in 0..300 {
        let source = 10 * SECOND + k * 33 * MS;
        let arrived = T0 + source + 3 * SECOND;
        b.timeline.raise_floor(UtcTime(arrived - SECOND));
        for media in [VIDEO, AUDIO] {
            if !b.unit(media, source, arrived).late {
                first_on_time.get_or_insert(k * 33);
            }
        }
    }
    let after = first_on_time.expect("units are shown again");
    assert!((2000..2100).contains(&after), "after {after} ms");
    assert!(b.seen.iter().rev().take(300).all(|s| !s.mapped.late));
    assert!(b.lead_ms().abs() < 50);
    b.assert_never_back();
}

/// Audio that always comes a second after the video it belongs to, and filler that does not wait that long.
#[test]
fn a_lagging_track_settles_and_the_mapping_does_not_drift_back() {
    let mut b = Bench::arrival();
    for k in 0..20_000 {
        let now = T0 + k * 33 * MS;
        b.timeline.raise_floor(UtcTime(now - 500 * MS));
        b.unit(VIDEO, k * 33 * MS, now);
        if k > 30 {
            b.unit(AUDIO, (k - 30) * 33 * MS, now);
        }
    }
    let moved = b.events.iter().filter(|e| matches!(e, TimelineEvent::Reanchored { .. })).count();
    assert_eq!(moved, 1, "{:?}", b.events);
    assert!(b.seen.iter().skip(1000).all(|s| !s.mapped.late));
}

#[test]
fn stamps_are_the_time_whatever_the_network_does() {
    // Two servers get the same stamped contribution with different delays; one joins later.
    let run = |delay: i64, from: i64| {
        let mut b = Bench::stamped();
        let mut clock = UnrolledClock::default();
        for k in from..3000 {
            let utc_ms = T0 / MS + k * 33;
            let source = clock.unroll(utc_ms as u32);
            b.unit(VIDEO, source * MS, T0 + k * 33 * MS + delay * MS + (k * 7919) % 50 * MS);
            assert_eq!(b.last().mapped.dts.0, utc_ms * MS);
        }
        assert!(b.timeline.is_stamped());
        assert!(matches!(b.events[..], [TimelineEvent::Anchored { stamped: true, .. }]), "{:?}", b.events);
    };
    run(20, 0);
    run(400, 500);
}

#[test]
fn stamps_of_31_bits_and_over_the_wrap_are_believed() {
    // A wall clock 10 s before a multiple of 2^31 ms: FFmpeg wraps there, others wrap at every second one.
    for modulus in [1_i64 << 31, 1_i64 << 32] {
        let wrap_ms = (T0 / MS / (1 << 32) + 1) << 32;
        let mut b = Bench::stamped();
        let mut clock = UnrolledClock::default();
        for k in 0..600 {
            let utc_ms = wrap_ms - 10_000 + k * 33;
            let source = clock.unroll((utc_ms % modulus) as u32);
            let mapped = b.unit(VIDEO, source * MS, (utc_ms + 100) * MS);
            assert_eq!(mapped.dts.0, utc_ms * MS);
        }
        assert_eq!(b.jumps(), 0);
    }
}

#[test]
fn stamps_that_are_no_time_of_day_fall_back_to_arrival() {
    let mut b = Bench::stamped();
    b.play(0..5 * SECOND, |s| T0 + s);
    assert!(matches!(b.events[0], TimelineEvent::StampsRefused { .. }), "{:?}", b.events);
    assert_eq!(b.seen[0].mapped.dts.0, T0);
    // The next connection is asked again.
    b.timeline.connected();
    let source = (T0 / MS + 30_000) % (1 << 31) * MS;
    assert_eq!(b.unit(VIDEO, source, T0 + 30_500 * MS).dts.0, T0 + 30 * SECOND);
}

#[test]
fn stamps_that_stay_late_are_given_up() {
    let mut b = Bench::stamped();
    for k in 0..600 {
        let stamp = T0 + k * 33 * MS;
        let arrived = stamp + 5 * SECOND;
        b.timeline.raise_floor(UtcTime(arrived - SECOND));
        b.unit(VIDEO, stamp / MS % (1 << 31) * MS, arrived);
    }
    let late = b.seen.iter().filter(|s| s.mapped.late).count();
    assert!((303..=310).contains(&late), "{late} units, 10 s of them");
    assert!(!b.timeline.is_stamped());
    b.assert_never_back();
}

#[test]
fn a_wall_clock_that_steps_does_not_break_output() {
    for step in [3600 * SECOND, -3600 * SECOND] {
        let mut b = Bench::arrival();
        let wall = |s: i64| T0 + s + if s >= 10 * SECOND { step } else { 0 };
        for k in 0..3000 {
            let source = k * 33 * MS;
            b.timeline.raise_floor(UtcTime(wall(source) - SECOND));
            b.unit(VIDEO, source, wall(source));
        }
        b.assert_never_back();
        assert!(b.seen.iter().rev().take(1000).all(|s| !s.mapped.late), "step {step}");
        // Late for 2 s after a step forward, never after one back.
        let late = b.seen.iter().filter(|s| s.mapped.late).count();
        assert!(late <= 62, "step {step}: {late} units late");
    }
}

fn any_unit() -> impl Strategy<Value = (bool, i64, i64, i64, bool)> {
    let step = prop_oneof![8 => 0..100_i64, 1 => -10_000..10_000_i64, 1 => -10_000_000..10_000_000_i64];
    let arrival = prop_oneof![8 => 0..100_i64, 1 => 0..20_000_i64, 1 => -5000..5000_i64];
    (any::<bool>(), step, arrival, -200..400_i64, prop::bool::weighted(0.01))
}

proptest! {
    /// Whatever the timestamps, the clock, the floor and reconnects do: no track goes back, no panic.
    #[test]
    fn whatever_comes_output_never_goes_back(
        units in prop::collection::vec(any_unit(), 1..400),
        stamped in any::<bool>(),
        margin in 0..3000_i64,
    ) {
        let mut b = if stamped { Bench::stamped() } else { Bench::arrival() };
        let (mut source, mut now) = (T0 / MS % (1 << 31), T0 / MS);
        for (video, step, passed, offset, reconnect) in units {
            source += step;
            now += passed;
            if reconnect {
                b.timeline.connected();
            }
            b.timeline.raise_floor(UtcTime((now - margin) * MS));
            let media = if video { VIDEO } else { AUDIO };
            b.unit_with_pts(media, source * MS, (source + if video { offset } else { 0 }) * MS, now * MS);
        }
        b.assert_never_back();
    }

    /// After any disturbance a steady source is on time again: within 3 s nothing is late, and output is near arrival
    /// or waits for what has been put out already.
    #[test]
    fn a_steady_source_recovers(
        units in prop::collection::vec(any_unit(), 0..100),
        start in -10_000_000..10_000_000_i64,
    ) {
        let mut b = Bench::arrival();
        let (mut source, mut now) = (0, T0 / MS);
        for (video, step, passed, offset, _) in units {
            source += step;
            now += passed.max(0);
            b.timeline.raise_floor(UtcTime((now - 1000) * MS));
            b.unit_with_pts(if video { VIDEO } else { AUDIO }, source * MS, (source + offset) * MS, now * MS);
        }
        for k in 0..300 {
            let at = now + k * 33;
            b.timeline.raise_floor(UtcTime((at - 1000) * MS));
            b.unit(VIDEO, (start + k * 33) * MS, at * MS);
            b.unit(AUDIO, (start + k * 33) * MS, at * MS);
        }
        b.assert_never_back();
        let late = b.seen.iter().rev().take(200).filter(|s| s.mapped.late).count();
        prop_assert_eq!(late, 0);
    }

    /// No i64 makes it panic.
    #[test]
    fn extreme_numbers_do_not_panic(units in prop::collection::vec(any::<(bool, i64, i64, i64)>(), 1..50)) {
        let mut b = Bench::arrival();
        for (video, dts, pts, at) in units {
            b.timeline.raise_floor(UtcTime(at.saturating_sub(SECOND)));
            b.unit_with_pts(if video { VIDEO } else { AUDIO }, dts, pts, at);
        }
    }
}

#[test]
fn events_that_nobody_takes_do_not_pile_up() {
    let mut timeline = Timeline::new(Config::default());
    for k in 0..10_000_i64 {
        let dts = SourceTime(k % 2 * 1_000_000 * SECOND);
        timeline.map(Stamp { media: VIDEO, dts, pts: dts }, UtcTime(T0 + k * MS));
    }
    assert!(std::iter::from_fn(|| timeline.poll_event()).count() <= 32);
}

//! The samples of a segment in the order in which they are shown, and cuts between them. Pure.

use bytes::Bytes;
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::unit::Sample;

/// When a sample is shown.
pub(super) fn presented(sample: &Sample, scale: Timescale) -> UtcTime {
    UtcTime::from_ticks(ticks(sample), scale)
}

fn ticks(sample: &Sample) -> u64 {
    sample.dts.saturating_add_signed(i64::from(sample.composition_offset))
}

/// Places in the order of presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub first: usize,
    pub end: usize,
}

/// Samples of a segment with their order of presentation.
pub(super) struct Timed<'a> {
    samples: &'a [Sample],
    scale: Timescale,
    /// Presentation times in ticks, ascending; the end of the last one behind them.
    times: Vec<u64>,
}

impl<'a> Timed<'a> {
    /// `samples` in decode order.
    pub fn new(samples: &'a [Sample], scale: Timescale) -> Self {
        let mut times: Vec<u64> = samples.iter().map(ticks).collect();
        times.sort_unstable();
        let end = samples.iter().map(|s| ticks(s).saturating_add(u64::from(s.duration))).max();
        times.extend(end);
        Timed { samples, scale, times }
    }

    pub const fn len(&self) -> usize {
        self.samples.len()
    }

    /// Start of the `n`th sample.
    pub fn start(&self, n: usize) -> UtcTime {
        UtcTime::from_ticks(self.ticks_of(n), self.scale)
    }

    fn ticks_of(&self, n: usize) -> u64 {
        self.times.get(n).or(self.times.last()).copied().unwrap_or(0)
    }

    /// The sample whose start is nearest to `at`; their count for the end of the last one.
    pub fn nearest(&self, at: UtcTime) -> usize {
        let distance = |i: usize| self.start(i).nanos_since(at).unsigned_abs();
        (0..=self.samples.len()).min_by_key(|i| distance(*i)).unwrap_or(0)
    }

    /// What is shown from `from` to `to`, at least one sample.
    pub fn range(&self, from: Option<UtcTime>, to: Option<UtcTime>) -> Range {
        let count = self.samples.len();
        let first = from.map_or(0, |at| self.nearest(at)).min(count.saturating_sub(1));
        let end = to.map_or(count, |at| self.nearest(at)).max(first + 1).min(count);
        Range { first, end }
    }

    /// Whether the samples before `end` are decoded without any behind it.
    pub fn is_prefix(&self, end: usize) -> bool {
        let behind = self.ticks_of(end);
        end >= self.samples.len() || self.samples.iter().take(end).all(|s| ticks(s) < behind)
    }

    /// Those from `first` to `end` as they are: sound, or a prefix.
    pub fn copied(&self, first: usize, end: usize) -> Vec<Sample> {
        self.samples.iter().take(end).skip(first).cloned().collect()
    }

    /// `pictures` in place of those from `first` to `end`. They are decoded as long before they are shown as the segment's
    /// first one, so that decode times join those of the next segment.
    pub fn replaced(&self, first: usize, end: usize, pictures: Vec<(bool, Bytes)>) -> Vec<Sample> {
        let offset = self.samples.first().map_or(0, |s| s.composition_offset);
        let place = |(i, (key, data)): (usize, (bool, Bytes))| {
            let (start, next) = (self.ticks_of(i), self.ticks_of(i + 1));
            let dts = start.saturating_add_signed(-i64::from(offset));
            let duration = u32::try_from(next.saturating_sub(start)).unwrap_or(u32::MAX);
            Sample { dts, composition_offset: offset, duration, key, data }
        };
        (first..end).zip(pictures).map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 10 ticks each, by their places in the order of presentation.
    fn samples(order: &[i64], delay: i64) -> Vec<Sample> {
        let sample = |(i, place): (usize, &i64)| Sample {
            dts: 1000 + 10 * i as u64,
            composition_offset: i32::try_from((place - i as i64 + delay) * 10).unwrap(),
            duration: 10,
            key: i == 0,
            data: Bytes::from(vec![*place as u8]),
        };
        order.iter().enumerate().map(sample).collect()
    }

    const SCALE: Timescale = Timescale::new(1000).unwrap();

    #[test]
    fn a_cut_is_at_the_nearest_sample() {
        let samples = samples(&[0, 1, 2, 3], 0);
        let timed = Timed::new(&samples, SCALE);
        for (millis, nearest) in [(0, 0), (1000, 0), (1004, 0), (1006, 1), (1034, 3), (1036, 4), (9000, 4)] {
            assert_eq!(timed.nearest(UtcTime::from_millis(millis)), nearest, "{millis}");
        }
        let at = |millis| Some(UtcTime::from_millis(millis));
        assert_eq!(timed.range(at(1010), at(1030)), Range { first: 1, end: 3 });
        // Never nothing: a track whose last sample begins before the cut.
        assert_eq!(timed.range(at(1040), None), Range { first: 3, end: 4 });
        assert_eq!(timed.range(None, at(900)), Range { first: 0, end: 1 });
    }

    #[test]
    fn samples_in_another_order_than_shown_are_copied_only_if_none_is_missing() {
        let samples = samples(&[0, 3, 1, 2, 4], 2);
        let timed = Timed::new(&samples, SCALE);
        let prefixes: Vec<usize> = (1..=5).filter(|end| timed.is_prefix(*end)).collect();
        assert_eq!(prefixes, [1, 4, 5]);
        assert_eq!(timed.start(1), UtcTime::from_millis(1030));
    }

    #[test]
    fn what_is_replaced_lies_where_it_was_and_joins_what_follows() {
        let samples = samples(&[0, 3, 1, 2, 4], 2);
        let timed = Timed::new(&samples, SCALE);
        let new = timed.replaced(2, 5, vec![(true, Bytes::new()), (false, Bytes::new()), (false, Bytes::new())]);
        let lies: Vec<_> = new.iter().map(|s| (s.dts, ticks(s), s.duration, s.key)).collect();
        assert_eq!(lies, [(1020, 1040, 10, true), (1030, 1050, 10, false), (1040, 1060, 10, false)]);
    }
}

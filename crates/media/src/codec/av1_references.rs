//! What AV1 frame headers depend on of the frames before them: the eight reference slots (AV1 specification 7.20, 7.21).

use super::Error;
use super::av1_sequence::SequenceHeader;

/// Slots for references.
pub(super) const SLOTS: usize = 8;
/// References of an inter frame.
pub(super) const REFERENCES: usize = 7;
/// Segments of a frame.
pub(super) const SEGMENTS: usize = 8;

/// What a slot remembers of its frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    /// Width before it is scaled down for coding.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) order: u32,
    pub(super) is_key: bool,
    /// What each segment adds to the quantizer index.
    pub(super) quantizers: [Option<i32>; SEGMENTS],
}

/// The slots; none where nothing has been decoded into it.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots([Option<Slot>; SLOTS]);

impl Slots {
    pub(super) fn get(&self, index: u32) -> Result<&Slot, Error> {
        let slot = self.0.get(index as usize).and_then(Option::as_ref);
        slot.ok_or(Error::Missing { what: "frame that is referred to; it may begin with a key frame only" })
    }

    /// Puts a frame into the slots whose bits are set.
    pub(super) fn refresh(&mut self, flags: u32, frame: Slot) {
        for (i, slot) in self.0.iter_mut().enumerate() {
            if flags >> i & 1 == 1 {
                *slot = Some(frame);
            }
        }
    }

    /// The sequence says that a slot holds a frame of this order; where it does not, that frame was lost.
    pub(super) fn expect(&mut self, index: usize, order: u32, sequence: &SequenceHeader) {
        let Some(slot) = self.0.get_mut(index) else { return };
        if slot.is_none_or(|slot| slot.order != order) {
            let (width, height) = (sequence.width, sequence.height);
            *slot = Some(Slot { width, height, order, ..Slot::default() });
        }
    }

    /// The references that follow from the last frame and the golden one (7.20).
    pub(super) fn derive(
        &self,
        (last, golden): (u32, u32),
        order: u32,
        sequence: &SequenceHeader,
    ) -> Result<[u32; REFERENCES], Error> {
        const LAST: usize = 0;
        const GOLDEN: usize = 3;
        const BACKWARD: usize = 4;
        const ALTERNATE_2: usize = 5;
        const ALTERNATE: usize = 6;
        let mut distances = [0; SLOTS];
        for (i, distance) in (0..).zip(&mut distances) {
            *distance = relative(sequence, self.get(i)?.order, order);
        }
        let mut free: Vec<(u32, i32)> = (0..).zip(distances).filter(|(i, _)| *i != last && *i != golden).collect();
        let mut out = [None; REFERENCES];
        (out[LAST], out[GOLDEN]) = (Some(last), Some(golden));
        let mut take = |wanted: &dyn Fn(i32) -> bool, latest: bool| {
            let of = free.iter().enumerate().filter(|(_, (_, d))| wanted(*d));
            // Of several with one distance the last is the latest, and the first the earliest.
            let found = if latest { of.max_by_key(|(_, (_, d))| *d) } else { of.min_by_key(|(_, (_, d))| *d) };
            let place = found.map(|(place, _)| place)?;
            Some(free.remove(place).0)
        };
        let (backward, forward) = (|d: i32| d >= 0, |d: i32| d < 0);
        out[ALTERNATE] = take(&backward, true);
        out[BACKWARD] = take(&backward, false);
        out[ALTERNATE_2] = take(&backward, false);
        for place in [1, 2, BACKWARD, ALTERNATE_2, ALTERNATE] {
            if let Some(reference @ None) = out.get_mut(place) {
                *reference = take(&forward, true);
            }
        }
        let earliest = (0..).zip(distances).min_by_key(|(_, d)| *d).map_or(0, |(i, _)| i);
        Ok(out.map(|reference| reference.unwrap_or(earliest)))
    }

    /// Whether blocks may take the two frames that are nearest (5.9.22): one before and one behind, or two before.
    pub(super) fn allow_skip_mode(
        &self,
        references: &[u32; REFERENCES],
        order: u32,
        sequence: &SequenceHeader,
    ) -> Result<bool, Error> {
        let mut orders = [0; REFERENCES];
        for (order, reference) in orders.iter_mut().zip(references) {
            *order = self.get(*reference)?.order;
        }
        let distance = |a, b| relative(sequence, a, b);
        let mut forward: Option<u32> = None;
        let mut has_backward = false;
        for hint in orders {
            match distance(hint, order) {
                d if d < 0 && forward.is_none_or(|f| distance(hint, f) > 0) => forward = Some(hint),
                d => has_backward |= d > 0,
            }
        }
        let second = |forward| orders.iter().any(|hint| distance(*hint, forward) < 0);
        Ok(forward.is_some_and(|forward| has_backward || second(forward)))
    }
}

/// get_relative_dist (5.9.3).
fn relative(sequence: &SequenceHeader, a: u32, b: u32) -> i32 {
    let Some(bits) = sequence.order_bits.filter(|bits| (1..=8).contains(bits)) else { return 0 };
    let half = 1 << (bits - 1);
    let difference = a.wrapping_sub(b) as i32;
    (difference & (half - 1)) - (difference & half)
}

//! A place among those that wait for their turn.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Given back when it is dropped: also by a request whose client hangs up meanwhile.
pub(super) struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    /// `None` if `most` wait already.
    pub(super) fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let place = Place(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let waiting = AtomicUsize::new(0);
        let (one, two) = (Place::take(&waiting, 2), Place::take(&waiting, 2));
        assert!(one.is_some() && two.is_some() && Place::take(&waiting, 2).is_none());
        drop(one);
        assert!(Place::take(&waiting, 2).is_some());
        drop(two);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }
}

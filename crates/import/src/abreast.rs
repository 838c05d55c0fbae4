//! Sound that waits for the picture, so that an asset's tracks end together. Pure.
//!
//! The sound of a file ends a little after its picture, by the filling of its last frame. Where that reaches into another
//! segment, the segment would have no picture; so sound is held until there is a picture of its time, and what is left at
//! the end is cut. The worker bounds how far the two lie apart, and thereby what waits here.

use std::collections::VecDeque;

use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::RenditionName;
use millstream_media::unit::Sample;

/// Most samples that wait: a minute of sound. What is beyond passes.
const MAX_WAITING: usize = 60 * 48_000 / 1024;

/// The sound that waits.
#[derive(Debug, Default)]
pub struct Abreast {
    /// End of the picture so far; `None` where there are no pictures to wait for.
    picture: Option<UtcTime>,
    waiting: VecDeque<(RenditionName, Sample)>,
}

impl Abreast {
    /// Nothing waits where there is no picture.
    pub fn new(has_picture: bool) -> Self {
        Abreast { picture: has_picture.then_some(UtcTime::EPOCH), waiting: VecDeque::new() }
    }

    /// The picture is there up to this time.
    pub fn picture(&mut self, until: UtcTime) {
        self.picture = self.picture.map(|p| p.max(until));
    }

    /// A sample of sound.
    pub fn sound(&mut self, rendition: RenditionName, sample: Sample) {
        self.waiting.push_back((rendition, sample));
    }

    /// The next sample of sound that may pass.
    pub fn pull(&mut self) -> Option<(RenditionName, Sample)> {
        let (_, first) = self.waiting.front()?;
        let start = UtcTime::from_ticks(first.dts, Timescale::AUDIO_48K);
        let passes = self.picture.is_none_or(|p| start < p) || self.waiting.len() > MAX_WAITING;
        if passes { self.waiting.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn sample(number: u64) -> Sample {
        Sample { dts: number * 1024, composition_offset: 0, duration: 1024, key: true, data: Bytes::new() }
    }

    #[test]
    fn sound_after_the_last_picture_does_not_pass() {
        let name = RenditionName::new("audio").unwrap();
        let mut abreast = Abreast::new(true);
        (0..100).for_each(|n| abreast.sound(name.clone(), sample(n)));
        assert!(abreast.pull().is_none());
        abreast.picture(UtcTime::from_millis(1000));
        // Frames 0 to 46 begin before a second has passed.
        assert_eq!(std::iter::from_fn(|| abreast.pull()).count(), 47);
        abreast.picture(UtcTime::from_millis(500));
        assert!(abreast.pull().is_none());
    }

    #[test]
    fn what_waits_has_a_bound_and_sound_alone_does_not_wait() {
        let name = RenditionName::new("audio").unwrap();
        for (has_picture, passed) in [(true, 10_000 - MAX_WAITING), (false, 10_000)] {
            let mut abreast = Abreast::new(has_picture);
            (0..10_000).for_each(|n| abreast.sound(name.clone(), sample(n)));
            assert_eq!(std::iter::from_fn(|| abreast.pull()).count(), passed);
        }
    }
}

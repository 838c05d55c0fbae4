//! Periods: runs of segments with one set of tracks, their init segments, and who stands in for whom.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_media::protection::Signalling;
use millstream_media::track::{RenditionName, Track};

/// A track of a period with its init segment.
#[derive(Clone, Debug)]
pub struct PeriodTrack {
    /// The track.
    pub track: Track,
    /// The CMAF header.
    pub init: Bytes,
    /// Eight hexadecimal digits of a hash of the init segment: the `v` of its URL.
    pub init_version: String,
    /// What manifests say of its encryption, if it is encrypted.
    pub protection: Option<Signalling>,
}

/// A run of segments with one set of tracks.
#[derive(Clone, Debug)]
pub struct Period {
    first_segment: u64,
    tracks: Vec<PeriodTrack>,
    init_version: String,
    /// For each rendition name that is not one of the tracks: the track that stands in, if one of its kind is there.
    /// Decided once, since a listed URI never changes (STANDARDS 1.8).
    stand_ins: BTreeMap<RenditionName, Option<usize>>,
}

/// The version of the init segments of these tracks together: eight hexadecimal digits, a function of their names and
/// bytes.
pub fn init_version(tracks: &[(Track, Bytes)]) -> String {
    let parts = tracks.iter().map(|(track, init)| (track.name.as_str(), short(fnv1a(FNV_OFFSET, init))));
    short(parts.fold(FNV_OFFSET, |h, (name, version)| fnv1a(fnv1a(h, name.as_bytes()), version.as_bytes())))
}

impl Period {
    pub(crate) fn new(first_segment: u64, tracks: Vec<(Track, Bytes)>) -> Self {
        let all = init_version(&tracks);
        let tracks: Vec<PeriodTrack> = tracks
            .into_iter()
            .map(|(track, init)| {
                let init_version = short(fnv1a(FNV_OFFSET, &init));
                PeriodTrack { track, init, init_version, protection: None }
            })
            .collect();
        Period { first_segment, tracks, init_version: all, stand_ins: BTreeMap::new() }
    }

    /// The same period with what manifests say of the encryption of its tracks.
    pub(crate) fn with_protection(mut self, protection: &BTreeMap<RenditionName, Signalling>) -> Self {
        for track in &mut self.tracks {
            track.protection = protection.get(&track.track.name).cloned();
        }
        self
    }

    /// Its first segment's number.
    pub const fn first_segment(&self) -> u64 {
        self.first_segment
    }

    /// Its tracks, in the order they were given.
    pub fn tracks(&self) -> &[PeriodTrack] {
        &self.tracks
    }

    /// One version for the init segments of all its tracks together. `init.mp4?v=` of any track takes it too, so that
    /// a DASH template can name the init segments of a whole adaptation set.
    pub fn init_version(&self) -> &str {
        &self.init_version
    }

    /// The track of this name.
    pub fn track(&self, name: &RenditionName) -> Option<&PeriodTrack> {
        self.tracks.iter().find(|t| t.track.name == *name)
    }

    /// The track whose segments a playlist of this name lists in this period: its own, or the one that stands in.
    pub fn source(&self, name: &RenditionName) -> Option<&PeriodTrack> {
        self.track(name).or_else(|| self.tracks.get((*self.stand_ins.get(name)?)?))
    }

    /// Decides who stands in for `wanted` in this period: the track of its kind with the nearest bit rate that is not
    /// higher, else the one with the lowest.
    pub(crate) fn decide_stand_in(&mut self, wanted: &Track) {
        if self.track(&wanted.name).is_some() || self.stand_ins.contains_key(&wanted.name) {
            return;
        }
        let kind = || self.tracks.iter().enumerate().filter(|(_, t)| t.track.is_video() == wanted.is_video());
        let rate = |&(_, t): &(usize, &PeriodTrack)| t.track.bit_rate;
        let found = kind().filter(|c| rate(c) <= wanted.bit_rate).max_by_key(rate).or_else(|| kind().min_by_key(rate));
        let found = found.map(|(i, _)| i);
        self.stand_ins.insert(wanted.name.clone(), found);
    }

    pub(crate) fn forget(&mut self, name: &RenditionName) {
        self.stand_ins.remove(name);
    }

    /// Whether playlists can go on from `self` to `next` without a discontinuity: the same tracks with the same init
    /// segments (STANDARDS 1.16), or with init segments that differ in the key alone.
    pub(crate) fn continues_in(&self, next: &Period) -> bool {
        let alike = |a: &PeriodTrack, b: &PeriodTrack| match (&a.protection, &b.protection) {
            (Some(a), Some(b)) => a.scheme == b.scheme,
            _ => a.init == b.init,
        };
        self.tracks.len() == next.tracks.len()
            && self.tracks.iter().all(|t| next.track(&t.track.name).is_some_and(|n| alike(t, n) && n.track == t.track))
    }

    pub(crate) fn init_bytes(&self) -> u64 {
        self.tracks.iter().map(|t| t.init.len() as u64).sum()
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, 64 bits: stable over versions and machines, so that two origins give one init segment one URL.
fn fnv1a(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn short(hash: u64) -> String {
    // Folding keeps what the upper half knows.
    format!("{:08x}", (hash >> 32) as u32 ^ hash as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_of_known_strings() {
        assert_eq!(fnv1a(FNV_OFFSET, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(FNV_OFFSET, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(FNV_OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
    }
}

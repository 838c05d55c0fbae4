//! `asset.json`: what an asset is. A small document, written with conditional puts.

use millstream_media::cmaf::init_segment;
use millstream_media::codec::VideoConfig;
use millstream_media::grid::FrameRate;
use millstream_media::protection::Signalling;
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_window::period::init_version;
use serde::{Deserialize, Serialize};

use crate::index::Row;

/// Version of the format of [`Asset`].
pub const FORMAT: u32 = 1;
/// Most line-ups of one asset; a recording that changes its tracks more often goes on in a new asset.
pub const MAX_LINE_UPS: usize = 256;
/// Most ranges of lost segments that are named; what is lost beyond is counted.
pub const MAX_LOSSES: usize = 1000;

/// Name of an asset in URLs: 1 to 128 of `[a-z0-9_-]`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetId(String);

impl AssetId {
    /// Checks and wraps a name.
    pub fn new(name: &str) -> Option<Self> {
        let ok = (1..=128).contains(&name.len())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
            && !name.starts_with(['-', '_']);
        ok.then(|| AssetId(name.to_owned()))
    }

    /// The name of a channel's recording whose first segment starts at `start`: a function of the two, so that a node
    /// that begins the same recording again names the same asset.
    pub fn of_recording(channel: &str, start: UtcTime) -> Option<Self> {
        // 2026-11-22T22:25:00.000Z to 20261122-222500.
        let digits: String = start.to_iso8601().chars().filter(char::is_ascii_digit).collect();
        Self::new(&format!("{channel}-{}-{}", digits.get(..8)?, digits.get(8..14)?))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AssetId {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        AssetId::new(&name).ok_or_else(|| {
            format!(
                "asset name {name:?} is not allowed; use 1 to 128 of a-z, 0-9, - and _, starting with a letter or digit"
            )
        })
    }
}

impl From<AssetId> for String {
    fn from(id: AssetId) -> String {
        id.0
    }
}

impl std::fmt::Display for AssetId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Segments still come.
    Recording,
    /// It will not change any more.
    Ended,
    /// It is being deleted: no clip may be made of it, its manifests are gone.
    Deleting,
}

/// Where an asset's segments come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its own: recorded from a channel.
    Recording,
    /// Its own: imported from a file.
    Import,
    /// Those of another asset.
    Clip {
        /// Whose segments it shows.
        of: AssetId,
        /// Number of the first row.
        first: u64,
        /// Number of the last row.
        last: u64,
    },
}

/// `vod/ASSET/asset.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    /// Version of this format.
    pub format: u32,
    /// Its name.
    pub id: AssetId,
    /// What it is.
    pub kind: Kind,
    /// How far it is.
    pub state: State,
    /// The channel it was recorded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// When it was begun, in nanoseconds of UTC.
    pub created: UtcTime,
    /// `EXT-X-TARGETDURATION` of all its playlists, in seconds.
    pub target_duration: u32,
    /// Its sets of tracks, oldest first.
    pub line_ups: Vec<LineUp>,
    /// Start of its first segment, in nanoseconds of UTC, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<UtcTime>,
    /// End of its last segment, in nanoseconds of UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<UtcTime>,
    /// Of a clip that is cut between segments: what was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Sum of its own media segments, in bytes. 0 for a clip that is cut at segments.
    #[serde(default)]
    pub bytes: u64,
    /// Finished segments that were lost: the disk had no room while the store was away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// Lost segments that are not named in `losses` since there are too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses_not_named: u64,
    /// Since when it is being deleted, in nanoseconds of UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleting_since: Option<UtcTime>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Asset {
    /// A recording that begins.
    pub fn recording(id: AssetId, channel: &str, created: UtcTime, target_duration: u32) -> Self {
        Asset {
            format: FORMAT,
            id,
            kind: Kind::Recording,
            state: State::Recording,
            channel: Some(channel.to_owned()),
            title: String::new(),
            created,
            target_duration: target_duration.max(1),
            line_ups: Vec::new(),
            start: None,
            end: None,
            cut: None,
            bytes: 0,
            losses: Vec::new(),
            losses_not_named: 0,
            deleting_since: None,
        }
    }

    /// An import that begins.
    pub fn import(id: AssetId, title: &str, created: UtcTime, target_duration: u32) -> Self {
        let asset = Self::recording(id, "", created, target_duration);
        Asset { kind: Kind::Import, channel: None, title: title.to_owned(), ..asset }
    }

    /// What a recording knows, with what others may have changed in the stored document: the title, the deletion.
    #[must_use]
    pub fn with_changes_of(&self, stored: &Asset) -> Self {
        Asset {
            title: stored.title.clone(),
            deleting_since: stored.deleting_since,
            state: if stored.state == State::Deleting { State::Deleting } else { self.state },
            ..self.clone()
        }
    }

    /// Of the rows of the asset that a clip was cut from, those of the clip: within its bounds, with what was made for it.
    /// Where parameters change at what was made, the row does not continue the one before.
    pub fn lay_cut(&self, rows: &mut Vec<Row>) {
        let (Kind::Clip { first, last, .. }, Some(cut)) = (&self.kind, &self.cut) else { return };
        rows.retain(|r| (*first..=*last).contains(&r.number));
        for row in rows.iter_mut() {
            if let Some(made) = cut.rows.iter().find(|made| made.number == row.number) {
                *row = made.clone();
            }
        }
        let mut before: Option<&LineUp> = None;
        for row in rows {
            let of_row = self.line_up(row.number);
            if let Some((a, b)) = before.zip(of_row) {
                row.discontinuity |= (a.is_own() || b.is_own()) && a.init_version() != b.init_version();
            }
            before = of_row;
        }
    }

    /// The line-up of a row.
    pub fn line_up(&self, number: u64) -> Option<&LineUp> {
        let after = self.line_ups.partition_point(|l| l.first <= number);
        self.line_ups.get(after.checked_sub(1)?)
    }

    /// Notes a lost segment; neighbours become one range.
    pub fn lose(&mut self, rendition: &RenditionName, number: u64) {
        let same = |l: &&mut Loss| l.rendition == *rendition && l.last.checked_add(1) == Some(number);
        if let Some(loss) = self.losses.iter_mut().rev().find(same) {
            loss.last = number;
        } else if self.losses.len() < MAX_LOSSES {
            self.losses.push(Loss { rendition: rendition.clone(), first: number, last: number });
        } else {
            self.losses_not_named += 1;
        }
    }
}

/// What was made for a clip that begins and ends between segments. It lies in the clip's own folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// As it was asked for, in nanoseconds of UTC.
    pub start: UtcTime,
    /// As it was asked for, in nanoseconds of UTC.
    pub end: UtcTime,
    /// The rows that stand for those of the same numbers: at most two.
    pub rows: Vec<Row>,
}

/// A range of segments that were finished and could not be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Of which rendition.
    pub rendition: RenditionName,
    /// Number of the first one.
    pub first: u64,
    /// Number of the last one.
    pub last: u64,
}

/// A set of tracks, in force from a row on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineUp {
    /// Number of its first row.
    pub first: u64,
    /// The version that names the init segments of all its tracks, so that one DASH template names them all.
    #[serde(deserialize_with = "version")]
    pub init: String,
    /// Its tracks, in the order of the ladder.
    pub tracks: Vec<TrackInfo>,
}

impl LineUp {
    /// What the version begins with where a clip's own segments are of the recording's init segments.
    pub const OWN: char = 'x';
    /// What the version begins with where a clip's own segments have init segments of their own.
    pub const OWN_INIT: char = 'y';

    /// Whether its segments lie in the clip's own folder, not in that of the asset it was cut from.
    pub fn is_own(&self) -> bool {
        self.init.starts_with([Self::OWN, Self::OWN_INIT])
    }

    /// Whether its init segments lie in the clip's own folder, too.
    pub fn has_own_init(&self) -> bool {
        self.init.starts_with(Self::OWN_INIT)
    }

    /// The version in the names of its init segments.
    pub fn init_version(&self) -> &str {
        self.init.strip_prefix(Self::OWN).unwrap_or(&self.init)
    }

    /// Whether rows of `other` can follow rows of this one as if they were one.
    pub fn is_as(&self, other: &LineUp) -> bool {
        self.init == other.init && self.tracks == other.tracks
    }

    /// Whether playlists go on from rows of this one to rows of `other` without a discontinuity: it is as this one, or
    /// has other keys for the same tracks (STANDARDS 1.16).
    pub fn continues_in(&self, other: &LineUp) -> bool {
        let mut pairs = self.tracks.iter().zip(&other.tracks);
        self.is_as(other) || self.tracks.len() == other.tracks.len() && pairs.all(|(a, b)| a.differs_in_key(b))
    }

    /// The track of this name.
    pub fn track(&self, name: &RenditionName) -> Option<(usize, &TrackInfo)> {
        self.tracks.iter().enumerate().find(|(_, t)| t.name == *name)
    }

    /// The track whose segments a playlist of this name lists here: its own, else the one of its kind with the nearest
    /// bit rate that is not higher, else the lowest; `None` if no track is of its kind.
    pub fn source(&self, wanted: &TrackInfo) -> Option<(usize, &TrackInfo)> {
        let kind = || self.tracks.iter().enumerate().filter(|(_, t)| t.is_video() == wanted.is_video());
        let rate = |(_, t): &(usize, &TrackInfo)| t.bit_rate;
        self.track(&wanted.name)
            .or_else(|| kind().filter(|c| rate(c) <= wanted.bit_rate).max_by_key(rate))
            .or_else(|| kind().min_by_key(rate))
    }
}

/// A track as manifests need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackInfo {
    /// Name in URLs.
    pub name: RenditionName,
    /// Ticks per second.
    pub timescale: Timescale,
    /// Nominal bit rate in bit/s.
    pub bit_rate: u32,
    /// RFC 6381 codec string; may be empty.
    #[serde(deserialize_with = "codec")]
    pub codec: String,
    /// Video or audio.
    pub media: Media,
    /// The storyboard shows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pictures: bool,
    /// What manifests say of its encryption, if it is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Signalling>,
    /// Of an encrypted track: the version that its init segment would have if it were clear. Where it changes, more than
    /// a key does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_version: Option<String>,
}

/// The shape of a track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    /// Pictures.
    Video {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// Frames per second, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frame_rate: Option<FrameRate>,
        /// `SDR`, `PQ` or `HLG`.
        range: Range,
    },
    /// Sound.
    Audio {
        /// Samples per second.
        sample_rate: u32,
        /// Number of channels.
        channels: u8,
    },
}

/// The dynamic range of a video track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Range {
    /// Standard.
    Sdr,
    /// SMPTE ST 2084.
    Pq,
    /// Hybrid log-gamma.
    Hlg,
}

impl TrackInfo {
    /// A live track.
    pub fn of(track: &Track) -> Self {
        let media = match &track.media {
            TrackMedia::Video { config, width, height, frame_rate } => {
                Media::Video { width: *width, height: *height, frame_rate: *frame_rate, range: range(config) }
            }
            TrackMedia::Audio { config } => {
                Media::Audio { sample_rate: config.sample_rate(), channels: config.channels() }
            }
        };
        TrackInfo {
            name: track.name.clone(),
            timescale: track.timescale,
            bit_rate: track.bit_rate,
            codec: track.codec_string(),
            media,
            pictures: false,
            protection: None,
            clear_version: None,
        }
    }

    /// A live track that is encrypted, if anything is said of that.
    pub fn protected(track: &Track, protection: Option<Signalling>) -> Self {
        let version = |_: &Signalling| init_version(&[(track.clone(), init_segment(track))]);
        TrackInfo { clear_version: protection.as_ref().map(version), protection, ..TrackInfo::of(track) }
    }

    /// Whether it is encrypted, and the same with the same key: then its init segment is, too.
    pub fn is_same_protected(&self, other: &Self) -> bool {
        self.clear_version.is_some() && self == other
    }

    /// Whether nothing differs but the key (STANDARDS 1.16: that is no discontinuity).
    fn differs_in_key(&self, other: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (&self.protection, &other.protection) else { return false };
        let under_other = TrackInfo { protection: Some(theirs.clone()), ..self.clone() };
        mine.scheme == theirs.scheme && self.clear_version.is_some() && under_other == *other
    }

    /// Whether it is a video track.
    pub const fn is_video(&self) -> bool {
        matches!(self.media, Media::Video { .. })
    }
}

/// By the transfer characteristics of ISO/IEC 23091-2.
fn range(config: &VideoConfig) -> Range {
    match config.picture_info().colour.map(|c| c.transfer) {
        Some(16) => Range::Pq,
        Some(18) => Range::Hlg,
        _ => Range::Sdr,
    }
}

/// What is put into playlists must not end a quoted string or a line there.
fn codec<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let plain = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    if plain { Ok(text) } else { Err(serde::de::Error::custom("a codec string has up to 64 letters, digits and dots")) }
}

fn version<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let plain = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { Ok(text) } else { Err(serde::de::Error::custom("an init version has 1 to 32 letters and digits")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recordings_name_is_a_function_of_channel_and_time() {
        let start = UtcTime::from_millis(1_795_386_300_000);
        assert_eq!(AssetId::of_recording("demo", start).unwrap().as_str(), "demo-20261122-222500");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "..", "a/b", "-a", "A", "a.b", &"a".repeat(129)] {
            assert!(AssetId::new(name).is_none(), "{name}");
        }
    }

    #[test]
    fn lost_neighbours_are_one_range() {
        let id = AssetId::new("a").unwrap();
        let (mut asset, v, a) = (
            Asset::recording(id, "demo", UtcTime::EPOCH, 2),
            RenditionName::new("v").unwrap(),
            RenditionName::new("a").unwrap(),
        );
        for (name, number) in [(&v, 5), (&a, 5), (&v, 6), (&a, 6), (&v, 9)] {
            asset.lose(name, number);
        }
        let ranges: Vec<_> = asset.losses.iter().map(|l| (l.rendition.as_str(), l.first, l.last)).collect();
        assert_eq!(ranges, [("v", 5, 6), ("a", 5, 6), ("v", 9, 9)]);
    }
}

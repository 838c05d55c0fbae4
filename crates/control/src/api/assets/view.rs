//! The JSON of an asset.

use millstream_archive::asset::{Asset, AssetId, Kind, Media, State, TrackInfo};
use millstream_archive::library::{Deleted, KindName, Library, Page, Share, Summary, Usage};
use millstream_media::time::UtcTime;
use serde::Serialize;
use utoipa::ToSchema;

use crate::status::{iso8601, iso8601_option};

/// A page of assets.
#[derive(Serialize, ToSchema)]
pub(crate) struct AssetList {
    /// The newest first.
    assets: Vec<AssetSummary>,
    /// `cursor` of the next page; none after the last one.
    next: Option<String>,
}

impl AssetList {
    pub fn of(page: &Page) -> Self {
        let assets = page.assets.iter().map(AssetSummary::of).collect();
        AssetList { assets, next: page.next.as_ref().map(ToString::to_string) }
    }
}

/// An asset in a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct AssetSummary {
    /// Name in URLs.
    id: String,
    /// `recording`, `import` or `clip`.
    kind: &'static str,
    /// `recording` (segments still come), `ended` or `deleting`.
    state: &'static str,
    /// The channel it was recorded from.
    channel: Option<String>,
    /// For people; may be empty.
    title: String,
    /// When it was begun.
    #[serde(serialize_with = "iso8601")]
    #[schema(value_type = String, format = DateTime)]
    created: UtcTime,
    /// Start of its media; none until it has some.
    #[serde(serialize_with = "iso8601_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    start: Option<UtcTime>,
    /// End of its media.
    #[serde(serialize_with = "iso8601_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    end: Option<UtcTime>,
    /// From start to end, holes included.
    duration_seconds: Option<f64>,
    /// Media of its own, in bytes; 0 for a clip.
    bytes: u64,
    /// Finished segments that were lost.
    lost_segments: u64,
    /// Where it plays; none while it has no media, and when it is being deleted.
    playback: Option<Playback>,
}

/// Where an asset plays, relative to this server.
#[derive(Serialize, ToSchema)]
pub(crate) struct Playback {
    /// HLS multivariant playlist.
    hls: String,
    /// DASH manifest.
    dash: String,
    /// The watch page.
    watch: String,
    /// One MP4 file of it, by ranges; none while it is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<String>,
}

impl AssetSummary {
    fn of(asset: &Summary) -> Self {
        let id = asset.id.as_str();
        let plays = asset.state != State::Deleting && asset.start.is_some();
        AssetSummary {
            id: id.to_owned(),
            kind: kind(&asset.kind),
            state: state(asset.state),
            channel: asset.channel.clone(),
            title: asset.title.clone(),
            created: asset.created,
            start: asset.start,
            end: asset.end,
            duration_seconds: asset.start.zip(asset.end).map(|(start, end)| end.since(start).as_secs_f64()),
            bytes: asset.bytes,
            lost_segments: asset.lost_segments,
            playback: plays.then(|| Playback {
                hls: format!("/vod/{id}/index.m3u8"),
                dash: format!("/vod/{id}/manifest.mpd"),
                watch: format!("/watch/vod/{id}"),
                download: (asset.state == State::Ended).then(|| format!("/vod/{id}/asset.mp4")),
            }),
        }
    }
}

const fn state(state: State) -> &'static str {
    match state {
        State::Recording => "recording",
        State::Ended => "ended",
        State::Deleting => "deleting",
    }
}

fn kind(kind: &Kind) -> &'static str {
    match KindName::from(kind) {
        KindName::Recording => "recording",
        KindName::Import => "import",
        KindName::Clip => "clip",
    }
}

/// An asset.
#[derive(Serialize, ToSchema)]
pub(crate) struct AssetView {
    #[serde(flatten)]
    summary: AssetSummary,
    /// Longest segment, in whole seconds.
    target_duration: u32,
    /// Its tracks, as they were last.
    tracks: Vec<TrackView>,
    /// How often its tracks changed.
    track_changes: u64,
    /// Segments that were finished and could not be kept.
    losses: Vec<LossView>,
    /// Of a clip: what it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    clip: Option<ClipView>,
    /// Clips that show segments of it; those segments stay as long as the clips do.
    clips: Vec<String>,
    /// Since when it is being deleted.
    #[serde(serialize_with = "iso8601_option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    deleting_since: Option<UtcTime>,
}

/// What a clip shows.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClipView {
    /// The asset whose segments it shows.
    of: String,
    /// Number of the first segment.
    first: u64,
    /// Number of the last segment.
    last: u64,
}

/// A track of an asset.
#[derive(Serialize, ToSchema)]
pub(crate) struct TrackView {
    /// Name in URLs.
    name: String,
    /// `video` or `audio`.
    kind: &'static str,
    /// RFC 6381 codec string.
    codec: String,
    /// Nominal bit rate in bit/s.
    bit_rate: u32,
    /// Width in pixels; none for audio.
    width: Option<u32>,
    /// Height in pixels; none for audio.
    height: Option<u32>,
    /// Frames per second; none for audio.
    frame_rate: Option<f64>,
    /// Samples per second; none for video.
    sample_rate: Option<u32>,
    /// Audio channels; none for video.
    channels: Option<u8>,
}

/// A range of lost segments.
#[derive(Serialize, ToSchema)]
pub(crate) struct LossView {
    /// Of which track.
    rendition: String,
    /// Number of the first one.
    first: u64,
    /// Number of the last one.
    last: u64,
}

impl AssetView {
    pub fn of(asset: &Asset, clips: &[AssetId]) -> Self {
        let loss = |l: &millstream_archive::asset::Loss| LossView {
            rendition: l.rendition.as_str().to_owned(),
            first: l.first,
            last: l.last,
        };
        let clip = match &asset.kind {
            Kind::Clip { of, first, last } => Some(ClipView { of: of.to_string(), first: *first, last: *last }),
            _ => None,
        };
        // Line-ups of a clip are those of the whole recording: only those of its rows count.
        let line_ups = match &asset.kind {
            Kind::Clip { first, last, .. } => {
                let from = asset.line_ups.partition_point(|l| l.first <= *first).saturating_sub(1);
                let to = asset.line_ups.partition_point(|l| l.first <= *last);
                asset.line_ups.get(from..to).unwrap_or_default()
            }
            _ => asset.line_ups.as_slice(),
        };
        AssetView {
            summary: AssetSummary::of(&Summary::from(asset)),
            target_duration: asset.target_duration,
            tracks: line_ups.last().map(|l| l.tracks.iter().map(TrackView::of).collect()).unwrap_or_default(),
            track_changes: line_ups.len().saturating_sub(1) as u64,
            losses: asset.losses.iter().map(loss).collect(),
            clip,
            clips: clips.iter().map(ToString::to_string).collect(),
            deleting_since: asset.deleting_since,
        }
    }
}

impl TrackView {
    fn of(track: &TrackInfo) -> Self {
        let mut view = TrackView {
            name: track.name.as_str().to_owned(),
            kind: if track.is_video() { "video" } else { "audio" },
            codec: track.codec.clone(),
            bit_rate: track.bit_rate,
            width: None,
            height: None,
            frame_rate: None,
            sample_rate: None,
            channels: None,
        };
        match &track.media {
            Media::Video { width, height, frame_rate, .. } => {
                (view.width, view.height) = (Some(*width), Some(*height));
                view.frame_rate = frame_rate.map(|rate| (rate.as_f64() * 1000.0).round() / 1000.0);
            }
            Media::Audio { sample_rate, channels } => {
                (view.sample_rate, view.channels) = (Some(*sample_rate), Some(*channels));
            }
        }
        view
    }
}

/// What a deletion did, and what it left.
#[derive(Serialize, ToSchema)]
pub(crate) struct AssetDeleted {
    /// The asset.
    id: String,
    /// `deleted` (nothing is left: it was a clip), or `deleting`.
    state: &'static str,
    /// When its media goes; none if nothing is left.
    #[serde(serialize_with = "iso8601_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    media_until: Option<UtcTime>,
    /// Clips whose segments stay until they are deleted, too.
    clips: Vec<String>,
}

impl AssetDeleted {
    pub fn of(deleted: &Deleted) -> Self {
        AssetDeleted {
            id: deleted.asset.id.to_string(),
            state: if deleted.media_until.is_some() { "deleting" } else { "deleted" },
            media_until: deleted.media_until,
            clips: deleted.clips.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What the assets fill, and how long they are kept.
#[derive(Serialize, ToSchema)]
pub(crate) struct Storage {
    /// The store's URL.
    store: String,
    #[serde(flatten)]
    total: ShareView,
    /// By channel; those that are in none come last.
    channels: Vec<ChannelShare>,
    /// Recordings that ended so long ago go; none for never.
    keep_seconds: Option<u64>,
    /// The oldest recordings go while all have more bytes than this; none for no limit.
    keep_bytes: Option<u64>,
}

/// What some assets fill.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShareView {
    /// Media in the store, in bytes.
    bytes: u64,
    /// That of `bytes` which belongs to assets that are being deleted.
    deleting_bytes: u64,
    /// Recordings and imports.
    assets: u64,
    /// Clips: they fill nothing of their own.
    clips: u64,
}

/// What the assets of a channel fill.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChannelShare {
    /// The channel; none for what belongs to no channel.
    channel: Option<String>,
    #[serde(flatten)]
    share: ShareView,
}

impl ShareView {
    const fn of(share: &Share) -> Self {
        ShareView { bytes: share.bytes, deleting_bytes: share.deleting_bytes, assets: share.assets, clips: share.clips }
    }
}

impl Storage {
    pub fn of(usage: &Usage, library: &Library) -> Self {
        let share = |(channel, share): (&Option<String>, &Share)| ChannelShare {
            channel: channel.clone(),
            share: ShareView::of(share),
        };
        let mut channels: Vec<ChannelShare> = usage.channels.iter().map(share).collect();
        channels.sort_by_key(|c| c.channel.is_none());
        Storage {
            store: library.store().location().to_owned(),
            total: ShareView::of(&usage.total),
            channels,
            keep_seconds: library.policy().age.map(|age| age.as_secs()),
            keep_bytes: library.policy().bytes,
        }
    }
}

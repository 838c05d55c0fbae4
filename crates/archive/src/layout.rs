//! Names of everything an asset has in the store. The layout is a stable format: docs/vod.md describes it, and what
//! was written once must stay readable.
//!
//! Every name is a function of the asset, the rendition and media time, so that writing again what was written
//! before changes nothing.

use millstream_media::storyboard;
use millstream_media::time::UtcTime;
use millstream_media::track::RenditionName;
use object_store::path::Path;

use crate::asset::AssetId;

/// Seconds of media in one index page.
pub const PAGE_SECONDS: i64 = 600;

/// Where all assets lie.
pub const ROOT: &str = "vod";

/// `vod/ASSET`.
pub fn folder(asset: &AssetId) -> Path {
    Path::from_iter([ROOT, asset.as_str()])
}

/// A file directly in the asset's folder: [`ASSET`], [`MULTIVARIANT`] or [`MPD`].
pub fn file(asset: &AssetId, name: &str) -> Path {
    folder(asset).join(name)
}

/// The asset's document.
pub const ASSET: &str = "asset.json";
/// The multivariant playlist.
pub const MULTIVARIANT: &str = "index.m3u8";
/// The DASH manifest.
pub const MPD: &str = "manifest.mpd";
/// A rendition's media playlist.
pub const MEDIA: &str = "index.m3u8";
/// A rendition's I-frame playlist.
pub const IFRAMES: &str = "iframes.m3u8";
/// A picture that stands for the asset, [`SHEETS`]: the list of its storyboard's sheets, [`TILES`]: that of its tiles.
pub use millstream_media::storyboard::{POSTER, SHEETS, TILES};

/// `vod/ASSET/storyboard-SHEET.jpg`.
pub fn sheet(asset: &AssetId, sheet: i64) -> Path {
    file(asset, &storyboard::sheet_name(sheet))
}

/// The folder of index pages.
pub const INDEX: &str = "index";
/// The folder of references by clips.
pub const REFERENCES: &str = "references";

/// A file of a rendition.
pub fn rendition_file(asset: &AssetId, rendition: &RenditionName, name: &str) -> Path {
    folder(asset).join(rendition.as_str()).join(name)
}

/// File name of an init segment: its version is part of the name, since a static server knows no query.
pub fn init_name(version: &str) -> String {
    format!("init-{version}.mp4")
}

/// `vod/ASSET/RENDITION/init-VERSION.mp4`.
pub fn init(asset: &AssetId, rendition: &RenditionName, version: &str) -> Path {
    rendition_file(asset, rendition, &init_name(version))
}

/// `vod/ASSET/RENDITION/NUMBER.m4s`.
pub fn segment(asset: &AssetId, rendition: &RenditionName, number: u64) -> Path {
    rendition_file(asset, rendition, &format!("{number}.m4s"))
}

/// The number in a segment's file name; `None` for any other file.
pub fn segment_number(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(".m4s")?;
    let number = digits.parse::<u64>().ok()?;
    // One number has one name.
    (number.to_string() == digits).then_some(number)
}

/// The page that holds a segment which starts at `start`: its own start in seconds since the epoch.
pub fn page_of(start: UtcTime) -> i64 {
    start.as_millis().div_euclid(1000).div_euclid(PAGE_SECONDS) * PAGE_SECONDS
}

/// `vod/ASSET/index/PAGE.json`.
pub fn page(asset: &AssetId, page: i64) -> Path {
    folder(asset).join(INDEX).join(format!("{page}.json"))
}

/// The page in a file name.
pub fn page_number(file_name: &str) -> Option<i64> {
    file_name.strip_suffix(".json")?.parse().ok()
}

/// `vod/ASSET/references/CLIP.json`: the clip needs segments of this asset.
pub fn reference(asset: &AssetId, clip: &AssetId) -> Path {
    folder(asset).join(REFERENCES).join(format!("{clip}.json"))
}

/// The folder of catalogs.
pub const CATALOGS: &str = "recordings";

/// `recordings/CHANNEL.json`: which assets a channel has recorded, the newest last.
pub fn channel(channel: &str) -> Path {
    Path::from_iter([CATALOGS.to_owned(), format!("{channel}.json")])
}

/// Content type by a file's name.
pub fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, suffix)| suffix) {
        "m3u8" => "application/vnd.apple.mpegurl",
        "mpd" => "application/dash+xml",
        "mp4" | "m4s" => "video/mp4",
        "json" => "application/json",
        "jpg" => "image/jpeg",
        "vtt" => "text/vtt",
        _ => "application/octet-stream",
    }
}

/// How long any cache may keep a file: media never changes; playlists and documents may until the recording ends.
pub fn cache_control(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, suffix)| suffix) {
        "mp4" | "m4s" => "public, max-age=31536000, immutable",
        "json" => "no-cache",
        // A sheet may be written once more, with tiles that were still to come.
        "jpg" => "public, max-age=3600",
        _ => "public, max-age=2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let asset = AssetId::new("demo-20261122-222500").unwrap();
        let name = RenditionName::new("720p").unwrap();
        let at = UtcTime::from_millis(1_795_386_725_400);
        for (path, text) in [
            (file(&asset, ASSET), "vod/demo-20261122-222500/asset.json"),
            (init(&asset, &name, "0a1b2c3d"), "vod/demo-20261122-222500/720p/init-0a1b2c3d.mp4"),
            (segment(&asset, &name, 897_693_363), "vod/demo-20261122-222500/720p/897693363.m4s"),
            (page(&asset, page_of(at)), "vod/demo-20261122-222500/index/1795386600.json"),
            (channel("demo"), "recordings/demo.json"),
        ] {
            assert_eq!(path.as_ref(), text);
        }
    }

    #[test]
    fn only_a_segments_own_name_has_a_number() {
        assert_eq!(segment_number("17.m4s"), Some(17));
        for other in ["017.m4s", "17.mp4", "-1.m4s", "+1.m4s", "init-00.mp4", "17.m4s#1"] {
            assert_eq!(segment_number(other), None);
        }
    }
}

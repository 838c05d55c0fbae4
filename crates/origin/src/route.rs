//! Which resource a path under `/live/` names.

use millstream_media::storyboard;

/// A resource of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `index.m3u8`: the HLS multivariant playlist.
    Multivariant,
    /// `manifest.mpd`.
    Mpd,
    /// `status.json`: what a viewer's page may know of the channel's state.
    Status,
    /// `rewind.json`: how far back viewers may go.
    Rewind,
    /// `poster.jpg`: a picture that stands for the channel.
    Poster,
    /// `storyboard.m3u8`: the sheets of small pictures that there are.
    Sheets,
    /// `storyboard-NUMBER.jpg`.
    Sheet(i64),
    /// `RENDITION/index.m3u8`.
    MediaPlaylist(&'a str),
    /// `RENDITION/iframes.m3u8`.
    IFramePlaylist(&'a str),
    /// `RENDITION/init.mp4`, with the version asked for by `?v=`.
    Init(&'a str, Option<&'a str>),
    /// `RENDITION/NUMBER.m4s`.
    Segment(&'a str, u64),
    /// `RENDITION/NUMBER.PART.m4s`.
    Part(&'a str, u64, u32),
    /// `RENDITION/NUMBER.ll.m4s`: the same bytes as `NUMBER.m4s`, sent while they are made (STANDARDS 2.15).
    Unfinished(&'a str, u64),
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// Channel name as it stands in the path.
    pub channel: &'a str,
    /// What of it.
    pub resource: Resource<'a>,
}

/// Parses a path (`/live/CHANNEL/…`) and its query; `None` if it names nothing.
///
/// Names are matched as they stand: none of ours needs percent-encoding, so an encoded path names nothing.
pub fn parse<'a>(path: &'a str, query: Option<&'a str>) -> Option<Route<'a>> {
    let (channel, rest) = path.strip_prefix("/live/")?.split_once('/')?;
    let resource = match rest.split_once('/') {
        None => match rest {
            "index.m3u8" => Resource::Multivariant,
            "manifest.mpd" => Resource::Mpd,
            "status.json" => Resource::Status,
            "rewind.json" => Resource::Rewind,
            storyboard::POSTER => Resource::Poster,
            storyboard::SHEETS => Resource::Sheets,
            _ => Resource::Sheet(storyboard::sheet_number(rest)?),
        },
        Some((rendition, file)) => in_rendition(rendition, file, query)?,
    };
    (!channel.is_empty()).then_some(Route { channel, resource })
}

fn in_rendition<'a>(rendition: &'a str, file: &'a str, query: Option<&'a str>) -> Option<Resource<'a>> {
    Some(match file {
        "index.m3u8" => Resource::MediaPlaylist(rendition),
        "iframes.m3u8" => Resource::IFramePlaylist(rendition),
        "init.mp4" => {
            Resource::Init(rendition, query.and_then(|q| q.split('&').find_map(|pair| pair.strip_prefix("v="))))
        }
        _ => {
            let name = file.strip_suffix(".m4s")?;
            match name.split_once('.') {
                None => Resource::Segment(rendition, number(name)?),
                Some((segment, "ll")) => Resource::Unfinished(rendition, number(segment)?),
                Some((segment, part)) => {
                    Resource::Part(rendition, number(segment)?, u32::try_from(number(part)?).ok()?)
                }
            }
        }
    })
}

/// A decimal number in its one spelling, so that one resource has one URL (and one cache key).
fn number(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_the_contract() {
        for (path, query, want) in [
            ("/live/demo/index.m3u8", None, Resource::Multivariant),
            ("/live/demo/manifest.mpd", None, Resource::Mpd),
            ("/live/demo/status.json", None, Resource::Status),
            ("/live/demo/rewind.json", None, Resource::Rewind),
            ("/live/demo/poster.jpg", None, Resource::Poster),
            ("/live/demo/storyboard.m3u8", None, Resource::Sheets),
            ("/live/demo/storyboard-29923112.jpg", Some("tiles=3"), Resource::Sheet(29_923_112)),
            ("/live/demo/720p/index.m3u8", Some("_HLS_msn=3"), Resource::MediaPlaylist("720p")),
            ("/live/demo/720p/iframes.m3u8", None, Resource::IFramePlaylist("720p")),
            ("/live/demo/720p/init.mp4", None, Resource::Init("720p", None)),
            ("/live/demo/720p/init.mp4", Some("a=b&v=01ab"), Resource::Init("720p", Some("01ab"))),
            ("/live/demo/720p/897682507.m4s", None, Resource::Segment("720p", 897_682_507)),
            ("/live/demo/720p/897682507.0.m4s", None, Resource::Part("720p", 897_682_507, 0)),
            ("/live/demo/720p/897682507.ll.m4s", None, Resource::Unfinished("720p", 897_682_507)),
        ] {
            assert_eq!(parse(path, query), Some(Route { channel: "demo", resource: want }), "{path}");
        }
    }

    #[test]
    fn other_spellings_name_nothing() {
        for path in [
            "/live/demo",
            "/live//index.m3u8",
            "/live/demo/",
            "/live/demo/storyboard-007.jpg",
            "/live/demo/720p/007.m4s",
            "/live/demo/720p/-1.m4s",
            "/live/demo/720p/+1.m4s",
            "/live/demo/720p/1.2.3.m4s",
            "/live/demo/720p/99999999999999999999.m4s",
            "/live/demo/720p/.m4s",
            "/live/demo/720p/.ll.m4s",
            "/live/demo/720p/07.ll.m4s",
            "/live/demo/720p/7.0.ll.m4s",
            "/live/demo/../secret/index.m3u8/x",
            "/vod/demo/index.m3u8",
        ] {
            assert_eq!(parse(path, None), None, "{path}");
        }
    }
}

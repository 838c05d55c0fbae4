//! What of a request changes its answer: the cache's key, which is also what is asked for upstream. Pure.

use std::fmt::Write as _;

use millstream_delivery::directives::Directives;
use millstream_delivery::shift::Shift;
use millstream_telemetry::RequestKind;

/// Longest path, in bytes.
pub const MAX_PATH: usize = 1024;
/// Longest value of a query parameter that is kept, in bytes.
const MAX_VALUE: usize = 128;

/// The version of an init segment.
const VERSION: [&str; 1] = ["v"];
/// The renditions that are in a file.
const TRACKS: [&str; 2] = ["video", "audio"];

/// For how long the server may hold the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Not at all.
    No,
    /// Until an announced part, or the first chunk of a segment, is there.
    Part,
    /// Until a segment or part is listed.
    Reload,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// For counting.
    pub kind: RequestKind,
    /// Whether it may be held.
    pub hold: Hold,
    /// A large file, asked for in ranges: not kept, handed through.
    pub pass: bool,
}

impl Asked {
    /// Text that changes: a manifest.
    pub fn is_manifest(&self) -> bool {
        matches!(
            self.kind,
            RequestKind::Multivariant | RequestKind::Playlist | RequestKind::IframePlaylist | RequestKind::Mpd
        )
    }

    /// Media that never changes under its name.
    pub fn is_media(&self) -> bool {
        matches!(self.kind, RequestKind::Init | RequestKind::Segment | RequestKind::Part)
    }
}

/// Why a request is answered without asking anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// 404.
    NotFound,
    /// 400, with its cause.
    Malformed(&'static str),
}

/// The channel of a path under `/live/`, for counting viewers.
pub fn channel(path: &str) -> Option<&str> {
    path.strip_prefix("/live/")?.split('/').next().filter(|name| !name.is_empty())
}

/// Writes the key of a request into `key`: its path, and those parameters that change the answer in their one spelling.
///
/// # Errors
/// [`Refused`] for what no server of ours answers.
pub fn read(path: &str, query: Option<&str>, key: &mut String) -> Result<Asked, Refused> {
    key.clear();
    let media = path.strip_prefix("/live/").or_else(|| path.strip_prefix("/vod/"));
    let (Some(_), true) = (media, path.len() <= MAX_PATH) else { return Err(Refused::NotFound) };
    let (folder, file) = path.rsplit_once('/').ok_or(Refused::NotFound)?;
    let in_rendition = folder.bytes().filter(|b| *b == b'/').count() >= 3;
    key.push_str(path);
    let (kind, kept): (_, &[&str]) = match file {
        "index.m3u8" if in_rendition => (RequestKind::Playlist, &[]),
        "index.m3u8" => (RequestKind::Multivariant, &[]),
        "iframes.m3u8" => (RequestKind::IframePlaylist, &[]),
        "manifest.mpd" => (RequestKind::Mpd, &[]),
        "init.mp4" => (RequestKind::Init, &VERSION),
        _ => match file.strip_suffix(".m4s") {
            Some(name) if name.ends_with(".ll") => (RequestKind::Segment, &[]),
            Some(name) if name.contains('.') => (RequestKind::Part, &[]),
            Some(_) => (RequestKind::Segment, &[]),
            None => (RequestKind::Other, &[]),
        },
    };
    let mut hold = match kind {
        RequestKind::Part => Hold::Part,
        // STANDARDS 2.15: sent while it is made.
        RequestKind::Segment if file.ends_with(".ll.m4s") => Hold::Part,
        _ => Hold::No,
    };
    let pass = kind == RequestKind::Other && path.starts_with("/vod/") && file.ends_with(".mp4");
    let kept = if pass { &TRACKS } else { kept };
    let Some(query) = query else { return Ok(Asked { kind, hold, pass }) };
    if kind == RequestKind::Playlist {
        let directives = Directives::parse(Some(query)).map_err(|e| Refused::Malformed(e.text()))?;
        if directives.msn.is_some() {
            hold = Hold::Reload;
        }
        write_directives(&directives, key);
    }
    for name in kept {
        if let Some(value) = value_of(query, name) {
            append(key, name, value);
        }
    }
    let asked = Asked { kind, hold, pass };
    if asked.is_manifest() && path.starts_with("/live/") {
        let shift = Shift::parse(Some(query)).map_err(|e| Refused::Malformed(e.text()))?;
        if let Some(words) = shift.canonical_query() {
            key.push(if key.contains('?') { '&' } else { '?' });
            key.push_str(&words);
        }
    }
    Ok(asked)
}

/// As [`Directives::canonical_query`] spells them, without its allocations.
fn write_directives(directives: &Directives, key: &mut String) {
    let mut mark = '?';
    // Writing to memory does not fail.
    if let Some(msn) = directives.msn {
        let _ = write!(key, "{mark}_HLS_msn={msn}");
        mark = '&';
    }
    if let Some(part) = directives.part {
        let _ = write!(key, "{mark}_HLS_part={part}");
        mark = '&';
    }
    if directives.skip {
        let _ = write!(key, "{mark}_HLS_skip=YES");
    }
}

fn append(key: &mut String, name: &str, value: &str) {
    key.push(if key.contains('?') { '&' } else { '?' });
    key.push_str(name);
    key.push('=');
    key.push_str(value);
}

fn value_of<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let of = |pair: &'a str| pair.strip_prefix(name)?.strip_prefix('=');
    query.split('&').find_map(of).filter(|value| value.len() <= MAX_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(url: &str) -> Result<(String, Asked), Refused> {
        let (path, query) = url.split_once('?').map_or((url, None), |(p, q)| (p, Some(q)));
        let mut key = "left over".to_owned();
        read(path, query, &mut key).map(|asked| (key, asked))
    }

    #[test]
    fn only_what_changes_the_answer_is_in_the_key() {
        for (url, want) in [
            ("/live/a/index.m3u8", "/live/a/index.m3u8"),
            ("/live/a/index.m3u8?CMCD=bl%3D3&Signature=x&Policy=y", "/live/a/index.m3u8"),
            ("/live/a/720p/index.m3u8?_HLS_part=1&x=1&_HLS_msn=07", "/live/a/720p/index.m3u8?_HLS_msn=7&_HLS_part=1"),
            ("/live/a/720p/index.m3u8?_HLS_skip=v2&_HLS_msn=7", "/live/a/720p/index.m3u8?_HLS_msn=7&_HLS_skip=YES"),
            ("/live/a/720p/index.m3u8?_HLS_skip=YES&start=5", "/live/a/720p/index.m3u8?_HLS_skip=YES&start=5"),
            ("/live/a/720p/index.m3u8?end=9&start=5", "/live/a/720p/index.m3u8?start=5&end=9"),
            ("/live/a/index.m3u8?start=2026-11-22T22:25:00Z", "/live/a/index.m3u8?start=1795386300"),
            ("/live/a/manifest.mpd?manifest_window_seconds=600", "/live/a/manifest.mpd?dvr=600"),
            ("/live/a/720p/index.m3u8?dvr&_HLS_skip=YES", "/live/a/720p/index.m3u8?_HLS_skip=YES&dvr"),
            ("/vod/a/index.m3u8?start=x", "/vod/a/index.m3u8"),
            ("/live/a/manifest.mpd?time_delay=60&a=b", "/live/a/manifest.mpd?time_delay=60"),
            ("/live/a/720p/init.mp4?x=1&v=01ab", "/live/a/720p/init.mp4?v=01ab"),
            ("/live/a/720p/5.m4s?start=1&v=1&token=2", "/live/a/720p/5.m4s"),
            ("/live/a/720p/5.0.m4s?_HLS_msn=4", "/live/a/720p/5.0.m4s"),
            ("/live/a/status.json?x", "/live/a/status.json"),
            ("/vod/a/asset.mp4?audio=en&CMCD=x&video=720p", "/vod/a/asset.mp4?video=720p&audio=en"),
        ] {
            assert_eq!(key_of(url).map(|(key, _)| key), Ok(want.to_owned()), "{url}");
        }
    }

    #[test]
    fn kinds_and_who_is_held() {
        for (url, kind, hold) in [
            ("/live/a/index.m3u8", RequestKind::Multivariant, Hold::No),
            ("/vod/a/index.m3u8", RequestKind::Multivariant, Hold::No),
            ("/live/a/720p/index.m3u8", RequestKind::Playlist, Hold::No),
            ("/live/a/720p/index.m3u8?_HLS_msn=3", RequestKind::Playlist, Hold::Reload),
            ("/live/a/720p/index.m3u8?_HLS_skip=YES", RequestKind::Playlist, Hold::No),
            ("/live/a/720p/3.m4s", RequestKind::Segment, Hold::No),
            ("/live/a/720p/3.1.m4s", RequestKind::Part, Hold::Part),
            ("/live/a/720p/3.ll.m4s", RequestKind::Segment, Hold::Part),
            ("/live/a/manifest.mpd", RequestKind::Mpd, Hold::No),
            ("/live/a/720p/init.mp4", RequestKind::Init, Hold::No),
        ] {
            let (_, asked) = key_of(url).unwrap();
            assert_eq!((asked.kind, asked.hold, asked.pass), (kind, hold, false), "{url}");
        }
        assert!(key_of("/vod/a/asset.mp4").unwrap().1.pass);
    }

    #[test]
    fn impossible_requests_cost_nobody_anything() {
        assert_eq!(key_of("/elsewhere/a"), Err(Refused::NotFound));
        assert_eq!(key_of(&format!("/live/{}/index.m3u8", "a".repeat(2000))), Err(Refused::NotFound));
        assert!(matches!(key_of("/live/a/b/index.m3u8?_HLS_msn=x"), Err(Refused::Malformed(_))));
        assert!(matches!(key_of("/live/a/b/index.m3u8?_HLS_part=1"), Err(Refused::Malformed(_))));
    }

    #[test]
    fn directives_are_spelt_as_the_origin_spells_them() {
        for query in ["_HLS_msn=5", "_HLS_msn=5&_HLS_part=2", "_HLS_msn=5&_HLS_part=2&_HLS_skip=YES", "_HLS_skip=YES"] {
            let directives = Directives::parse(Some(query)).unwrap();
            let mut key = String::new();
            write_directives(&directives, &mut key);
            assert_eq!(key.strip_prefix('?').map(str::to_owned), directives.canonical_query());
        }
    }

    #[test]
    fn channels() {
        assert_eq!(channel("/live/a/720p/index.m3u8"), Some("a"));
        assert_eq!((channel("/vod/a/index.m3u8"), channel("/live//x")), (None, None));
    }
}

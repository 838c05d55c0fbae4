//! Reads what a store holds as a static server would show it: references, and everything `millstream-check` asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use millstream_check::fetch::{FetchError, Request, Response};
use millstream_check::{Fetch, Finding, Options, live};
use millstream_media::time::UtcTime;
use object_store::{ObjectStore, ObjectStoreExt};

/// Everything in a store, by name.
pub async fn everything(store: &Arc<dyn ObjectStore>) -> BTreeMap<String, Bytes> {
    let mut all = BTreeMap::new();
    for object in store.list(None).try_collect::<Vec<_>>().await.unwrap() {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        all.insert(object.location.to_string(), bytes);
    }
    all
}

/// Names that a playlist or MPD at `path` refers to and that `has` does not know.
pub fn missing(path: &str, text: &str, has: impl Fn(&str) -> bool) -> Vec<String> {
    let folder: Vec<&str> = path.rsplit_once('/').map_or("", |p| p.0).split('/').collect();
    let mut wanted = Vec::new();
    let mut gap = false;
    for line in text.lines() {
        if let Some(uri) = line.split("URI=\"").nth(1).and_then(|r| r.split('"').next()) {
            wanted.push(uri.to_owned());
        }
        gap |= line == "#EXT-X-GAP";
        if !line.starts_with('#') && !line.is_empty() && path.ends_with(".m3u8") {
            if !gap {
                wanted.push(line.to_owned());
            }
            gap = false;
        }
    }
    let resolve = |uri: &String| {
        let mut parts = folder.clone();
        for part in uri.split('/') {
            if part == ".." {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        parts.join("/")
    };
    wanted.iter().map(resolve).filter(|p| !has(p)).collect()
}

/// Numbers of the segments that the media playlists of an asset list with bytes, by rendition.
pub fn listed(all: &BTreeMap<String, Bytes>, asset: &str) -> BTreeMap<String, Vec<u64>> {
    let mut listed = BTreeMap::new();
    for (path, text) in all {
        let parts: Vec<&str> = path.split('/').collect();
        let ["vod", id, rendition, "index.m3u8"] = parts.as_slice() else { continue };
        if *id != asset {
            continue;
        }
        let text = std::str::from_utf8(text).unwrap();
        let mut numbers = Vec::new();
        let mut gap = false;
        for line in text.lines() {
            gap |= line == "#EXT-X-GAP";
            if !line.starts_with('#') {
                let number = line.rsplit('/').next().unwrap().strip_suffix(".m4s").unwrap().parse().unwrap();
                if !gap {
                    numbers.push(number);
                }
                gap = false;
            }
        }
        listed.insert((*rendition).to_owned(), numbers);
    }
    listed
}

/// What the standards say about an asset, every segment of it read.
/// Headers are the static server's affair and left out.
pub fn check(all: &BTreeMap<String, Bytes>, asset: &str) -> Vec<String> {
    let mut fetch = Static { all, now: UtcTime::from_millis(1_795_390_000_000) };
    let url = |file: &str| format!("http://static.test/vod/{asset}/{file}");
    let options = Options { mpd: Some(url("manifest.mpd")), backlog: usize::MAX, ..Options::default() };
    let report = live(&mut fetch, &url("index.m3u8"), options);
    assert!(report.segments > 0, "nothing was read: {:?}", report.findings);
    let of_headers = |f: &Finding| ["1.5", "CHECK-1e", "2.23"].contains(&f.rule);
    let shown = |f: &Finding| format!("{:?} {} {}: {}", f.severity, f.rule, f.url, f.message);
    report.findings.iter().filter(|f| !of_headers(f)).map(shown).collect()
}

struct Static<'a> {
    all: &'a BTreeMap<String, Bytes>,
    now: UtcTime,
}

impl Fetch for Static<'_> {
    fn get(&mut self, request: Request<'_>) -> Result<Response, FetchError> {
        let path = request.url.strip_prefix("http://static.test/").unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        let Some(body) = self.all.get(path) else { return Ok(Response { status: 404, ..Response::default() }) };
        let content_type = millstream_archive::layout::content_type(path);
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        let (status, body) = match request.range {
            Some(range) => {
                let (from, to) = (range.offset, (range.offset + range.length).min(body.len() as u64));
                (206, body.slice(usize::try_from(from).unwrap()..usize::try_from(to).unwrap()))
            }
            None => (200, body.clone()),
        };
        Ok(Response { status, headers, body, ..Response::default() })
    }

    fn now(&mut self) -> UtcTime {
        self.now
    }

    fn wait_until(&mut self, until: UtcTime) {
        self.now = until + Duration::from_millis(1);
    }
}

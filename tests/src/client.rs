//! HTTP as a viewer and as an operator: playlists, segments, the API.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use millstream_check::fetch::{Fetch as _, Request, Response};
use millstream_check::finding::Findings;
use millstream_check::hls::playlist::{self, Media, Multivariant, Playlist};
use millstream_check::http::Http;
use millstream_check::text::resolve;
use serde_json::Value;

use crate::wait::within;

/// A GET; `None` if there is no response.
pub fn get(url: &str) -> Option<Response> {
    Http::new().get(Request { url, range: None, gzip: false }).ok()
}

/// A JSON document, if it is answered with 200.
pub fn get_json(url: &str) -> Option<Value> {
    let response = get(url).filter(|r| r.status == 200)?;
    serde_json::from_slice(&response.body).ok()
}

/// A request with a JSON body. Gives the status and the answer.
pub fn send_json(method: &str, url: &str, body: Option<&Value>) -> (u16, Value) {
    send_as(None, method, url, body)
}

/// The same by an operator with a token.
pub fn send_as(token: Option<&str>, method: &str, url: &str, body: Option<&Value>) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .new_agent();
    let request = ureq::http::Request::builder().method(method).uri(url).header("content-type", "application/json");
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    let text = body.map(Value::to_string).unwrap_or_default();
    let mut response = agent.run(request.body(text).unwrap()).unwrap();
    let answer = response.body_mut().read_to_string().unwrap_or_default();
    (response.status().as_u16(), serde_json::from_str(&answer).unwrap_or(Value::Null))
}

/// One viewer of one channel.
pub struct Viewer {
    base: String,
    http: Http,
}

/// A rendition as a multivariant playlist names it.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// Its name, the folder in its URL.
    pub name: String,
    /// URL of its playlist.
    pub url: String,
    /// Attributes of its variant; none for audio of a group.
    pub attributes: BTreeMap<String, String>,
    /// It is an audio rendition of a group.
    pub audio: bool,
}

impl Viewer {
    /// A viewer; `base` is the channel's folder, with a slash at the end.
    pub fn new(base: String) -> Self {
        Viewer { base, http: Http::new() }
    }

    /// URL of something of the channel.
    pub fn url(&self, path: &str) -> String {
        resolve(&self.base, path)
    }

    /// A GET of something of the channel; `None` if there is no response.
    pub fn get(&mut self, path: &str) -> Option<Response> {
        let url = self.url(path);
        self.http.get(Request { url: &url, range: None, gzip: false }).ok()
    }

    /// Its bytes, if it is answered with 200.
    pub fn bytes(&mut self, path: &str) -> Option<Bytes> {
        self.get(path).filter(|r| r.status == 200).map(|r| r.body)
    }

    /// The multivariant playlist, if it is there.
    pub fn multivariant(&mut self) -> Option<Multivariant> {
        match self.parse("index.m3u8")? {
            Playlist::Multivariant(m) => Some(*m),
            Playlist::Media(_) => None,
        }
    }

    /// The renditions, in the order of the multivariant playlist, audio last.
    pub fn renditions(&mut self) -> Vec<Rendition> {
        let Some(list) = self.multivariant() else { return Vec::new() };
        let index = self.url("index.m3u8");
        let make = |uri: &str, attributes: &millstream_check::hls::attributes::Attributes, audio: bool| Rendition {
            name: uri.split('/').next().unwrap_or_default().to_owned(),
            url: resolve(&index, uri),
            attributes: attributes.sorted().into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            audio,
        };
        let mut out: Vec<Rendition> = list.variants.iter().map(|(a, uri)| make(uri, a, false)).collect();
        out.extend(list.media.iter().filter_map(|a| Some(make(a.get("URI")?, a, true))));
        out
    }

    /// A media playlist, if it is there.
    pub fn media(&mut self, rendition: &str) -> Option<Media> {
        match self.parse(&format!("{rendition}/index.m3u8"))? {
            Playlist::Media(m) => Some(*m),
            Playlist::Multivariant(_) => None,
        }
    }

    /// Number of the newest segment of a rendition.
    pub fn newest(&mut self, rendition: &str) -> Option<u64> {
        self.media(rendition)?.segments.last().map(|s| s.number)
    }

    /// Name of the first video rendition (or of the audio, if there is no video), once the channel lists `segments`
    /// segments of it.
    ///
    /// # Panics
    /// If it does not come within `limit`.
    pub fn wait_listed(&mut self, segments: usize, limit: Duration) -> String {
        let mut seen = String::new();
        let found = within(limit, || {
            let first = self.renditions().into_iter().next()?;
            let listed = self.media(&first.name)?.segments.len();
            seen = format!("{listed} segments of {}", first.name);
            (listed >= segments).then_some(first.name)
        });
        let Some(name) = found else { panic!("{segments} segments were not listed within {limit:?}, only {seen}") };
        name
    }

    /// Waits until a rendition's newest segment is `number` or later. Gives the playlist.
    pub fn wait_number(&mut self, rendition: &str, number: u64, limit: Duration) -> Media {
        let found =
            within(limit, || self.media(rendition).filter(|m| m.segments.last().is_some_and(|s| s.number >= number)));
        let Some(media) = found else { panic!("{rendition} did not list segment {number} within {limit:?}") };
        media
    }

    fn parse(&mut self, path: &str) -> Option<Playlist> {
        let body = self.bytes(path)?;
        playlist::parse(&body, path, &mut Findings::default())
    }
}

//! Follows a live presentation for a time, as a player would, and asks every rule on the way.
//!
//! - [`Options`], [`live`]: what to watch and for how long.
//! - `rendition`: one media playlist over time, and the segments it lists.
//! - `manifest`: the MPD over time, and that it names the same media.
//! - `probe`: the active questions of Low-Latency HLS.
//! - `across`: what only shows when segments and renditions are laid side by side.

mod across;
mod manifest;
mod probe;
mod rendition;

use std::time::Duration;

use millstream_media::time::UtcTime;

use crate::epoch::EpochLock;
use crate::fetch::{Fetch, FetchError, Request, Response};
use crate::finding::{Findings, Report};
use crate::hls::playlist::{self, ByteRange, Multivariant, Playlist};
use crate::hls::set;
use crate::text::resolve;

use manifest::Manifest;
use rendition::Rendition;

/// Most redirects of one request that are followed.
const MAX_REDIRECTS: usize = 5;

/// Most kinds of media told of that are not read.
const MAX_NOT_READ: usize = 100;

/// Most media playlists of one presentation that are followed.
const MAX_RENDITIONS: usize = 64;

/// What to watch, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to follow; zero reads everything once.
    pub duration: Duration,
    /// Time between two reads of a playlist; a third of the target duration if not given.
    pub poll: Option<Duration>,
    /// URL of the MPD of the same presentation.
    pub mpd: Option<String>,
    /// The grid that the presentation promises.
    pub epoch: Option<EpochLock>,
    /// How many of the segments that are listed at the beginning are read, counted from the live edge (the oldest one
    /// is read besides). Segments listed later are all read.
    pub backlog: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { duration: Duration::ZERO, poll: None, mpd: None, epoch: None, backlog: 12 }
    }
}

/// Everything that a run has at hand.
pub(crate) struct Watch<'a> {
    fetch: &'a mut dyn Fetch,
    options: Options,
    findings: Findings,
    report: Report,
}

/// Follows the presentation at `url` (a multivariant or a media playlist) and lists what breaks the standards.
pub fn live(fetch: &mut dyn Fetch, url: &str, options: Options) -> Report {
    let mut watch = Watch { fetch, options, findings: Findings::default(), report: Report::default() };
    watch.run(url);
    let mut report = watch.report;
    report.findings_left_out = watch.findings.left_out();
    report.findings = watch.findings.into_list();
    report
}

impl Watch<'_> {
    fn run(&mut self, url: &str) {
        let started = self.fetch.now();
        let url = self.landing(url);
        let url = url.as_str();
        let is_mpd = url.split(['?', '#']).next().is_some_and(|p| p.ends_with(".mpd"));
        let opened = if is_mpd {
            self.options.mpd = Some(url.to_owned());
            Some((None, Vec::new()))
        } else {
            self.open(url)
        };
        let Some((list, mut renditions)) = opened else { return };
        self.report.renditions = renditions.iter().map(|r| r.url.clone()).collect();
        let mut manifest = self.options.mpd.clone().map(Manifest::new);
        let until = started + self.options.duration;
        loop {
            let round = self.fetch.now();
            for rendition in &mut renditions {
                rendition.read(self);
            }
            self.compare(&renditions);
            let others: Vec<String> = renditions.iter().filter(|r| !r.i_frames).map(|r| r.base.clone()).collect();
            for rendition in &mut renditions {
                rendition.probe(self, &others);
            }
            if let Some(manifest) = &mut manifest {
                manifest.read(self, &renditions);
            }
            let ended = renditions.iter().all(Rendition::ended) && !manifest.as_ref().is_some_and(Manifest::dynamic);
            let now = self.fetch.now();
            if now >= until || ended {
                break;
            }
            let next = round + self.poll(&renditions);
            self.fetch.wait_until(next.max(now + Duration::from_millis(20)).min(until));
        }
        for rendition in &mut renditions {
            rendition.finish(self);
        }
        // Bandwidths are measured by the server as it goes, so the newest multivariant playlist is the one to hold.
        let list = list.and_then(|_| self.multivariant(url));
        across::check(self, url, list.as_ref(), &renditions);
    }

    /// Where redirects of the first URL lead.
    fn landing(&mut self, url: &str) -> String {
        let response = self.follow(Request { url, range: None, gzip: true });
        response.ok().and_then(|r| r.landed).unwrap_or_else(|| url.to_owned())
    }

    /// One GET, and what it is redirected to, as a player reads it.
    fn follow(&mut self, request: Request<'_>) -> Result<Response, FetchError> {
        let mut response = self.fetch.get(request)?;
        let mut at = request.url.to_owned();
        for _ in 0..MAX_REDIRECTS {
            match response.header("location") {
                Some(to) if (300..400).contains(&response.status) => at = resolve(&at, to),
                _ => break,
            }
            response = self.fetch.get(Request { url: &at, ..request })?;
            response.landed = Some(at.clone());
        }
        Ok(response)
    }

    /// Something is there that this checker does not read.
    fn not_read(&mut self, what: String) {
        if self.report.not_read.len() < MAX_NOT_READ {
            self.report.not_read.insert(what);
        }
    }

    /// Reads the first playlist and finds the media playlists.
    fn open(&mut self, url: &str) -> Option<(Option<Multivariant>, Vec<Rendition>)> {
        let (response, _) = self.playlist_body(url)?;
        match playlist::parse(&response.body, url, &mut self.findings)? {
            Playlist::Media(_) => Some((None, vec![Rendition::new(url.to_owned(), false)])),
            Playlist::Multivariant(list) => {
                set::multivariant(&list, url, &mut self.findings);
                let mut found: Vec<(String, bool)> = Vec::new();
                let media = list.media.iter().filter_map(|m| m.get("URI")).map(|u| (u, false));
                let i_frames = list.i_frames.iter().filter_map(|m| m.get("URI")).map(|u| (u, true));
                let variants = list.variants.iter().map(|(_, u)| (u.as_str(), false));
                for (uri, i_frames) in variants.chain(media).chain(i_frames) {
                    let each = (resolve(url, uri), i_frames);
                    if !found.contains(&each) && found.len() < MAX_RENDITIONS {
                        found.push(each);
                    }
                }
                Some((Some(*list), found.into_iter().map(|(u, i)| Rendition::new(u, i)).collect()))
            }
        }
    }

    fn multivariant(&mut self, url: &str) -> Option<Multivariant> {
        let (response, _) = self.playlist_body(url)?;
        match playlist::parse(&response.body, url, &mut self.findings)? {
            Playlist::Multivariant(list) => {
                set::multivariant(&list, url, &mut self.findings);
                Some(*list)
            }
            Playlist::Media(_) => None,
        }
    }

    /// A playlist and when it was asked for, if it came; rules of its transport: 1.2, 1.5, CHECK-1e.
    fn playlist_body(&mut self, url: &str) -> Option<(Response, UtcTime)> {
        let asked = self.fetch.now();
        let response = self.get(url, None, "CHECK-1b")?;
        if !url.split('?').next().is_some_and(|p| p.ends_with(".m3u8") || p.ends_with(".m3u"))
            && !response.header("content-type").is_some_and(|t| t.contains("mpegurl"))
        {
            self.findings.error("1.2", url, "neither the path nor the content type says that it is a playlist");
        }
        if !response
            .header("content-type")
            .is_some_and(|t| t.starts_with("application/vnd.apple.mpegurl") || t.starts_with("audio/mpegurl"))
        {
            let seen = response.header("content-type").unwrap_or("none");
            self.findings.error("CHECK-1e", url, format!("Content-Type is {seen}"));
        }
        self.manifest_headers(url, &response, "1.5");
        Some((response, asked))
    }

    /// Headers that playlists and MPDs have in common (CHECK-1e, and gzip under `gzip_rule`).
    fn manifest_headers(&mut self, url: &str, response: &Response, gzip_rule: &'static str) {
        if response.header("content-encoding") != Some("gzip") {
            self.findings.error(gzip_rule, url, "not gzipped though the client accepts it");
        }
        if !response.header("vary").is_some_and(|v| v.to_ascii_lowercase().contains("accept-encoding")) {
            self.findings.error("CHECK-1e", url, "no Vary: Accept-Encoding");
        }
        if response.header("cache-control").is_none() {
            self.findings.error("CHECK-1e", url, "no Cache-Control");
        }
        if response.header("access-control-allow-origin").is_none() {
            self.findings.warn(
                "CHECK-1e",
                url,
                "no Access-Control-Allow-Origin: players of other sites cannot read it",
            );
        }
        if let Some(age) = response.header("age")
            && age.parse::<u64>().is_err()
        {
            self.findings.error("1.49", url, format!("Age '{age}' is no number of seconds"));
        }
        if response.header("etag").or(response.header("last-modified")).is_none() {
            self.findings.warn("2.23", url, "neither ETag nor Last-Modified, so no conditional request");
        }
    }

    /// One GET that must bring a body: 1.13, 1.22, CHECK-1b, 2.x under `rule`.
    fn get(&mut self, url: &str, range: Option<ByteRange>, rule: &'static str) -> Option<Response> {
        let now = self.fetch.now();
        self.findings.at(now);
        let response = match self.follow(Request { url, range, gzip: range.is_none() }) {
            Ok(r) => r,
            Err(e) => {
                self.findings.error(rule, url, format!("no response: {e}"));
                return None;
            }
        };
        if (300..400).contains(&response.status) {
            self.findings.error("1.22", url, format!("status {}: a redirect that leads nowhere", response.status));
            return None;
        }
        let expected = if range.is_some() { 206 } else { 200 };
        if response.status != expected || response.body.is_empty() {
            let (status, length) = (response.status, response.body.len());
            self.findings.error(rule, url, format!("status {status} with {length} bytes, expected {expected}"));
            return None;
        }
        if let Some(range) = range
            && response.body.len() as u64 != range.length
        {
            let (length, asked) = (response.body.len(), range.length);
            self.findings.error(rule, url, format!("{length} bytes came for a range of {asked}"));
        }
        Some(response)
    }

    /// One GET of media: besides [`Watch::get`], it must not be redirected (1.22).
    fn get_media(&mut self, url: &str, range: Option<ByteRange>, rule: &'static str) -> Option<Response> {
        let response = self.get(url, range, rule)?;
        if let Some(to) = &response.landed {
            self.findings.error("1.22", url, format!("a redirect to {to}"));
        }
        Some(response)
    }

    /// Rules between the playlists as they stand: 1.25, 1.26, CHECK-1d.
    fn compare(&mut self, renditions: &[Rendition]) {
        let members: Vec<set::Member<'_>> = renditions
            .iter()
            .filter(|r| !r.i_frames)
            .filter_map(|r| Some(set::Member { url: &r.url, media: r.media()?, audio: r.is_audio() }))
            .collect();
        set::together(&members, &mut self.findings);
    }

    fn poll(&self, renditions: &[Rendition]) -> Duration {
        let target = renditions.iter().filter_map(|r| r.media()?.target_duration).min().unwrap_or(3);
        self.options.poll.unwrap_or(Duration::from_millis(target.clamp(1, 60) * 1000 / 3))
    }
}

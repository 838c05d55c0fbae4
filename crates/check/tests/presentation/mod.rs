//! A faultless live presentation on a made-up clock: two video renditions and one of audio, epoch-locked at 25
//! frames a second and 2 s segments. Everything is a function of the time it is asked at. A test breaks one thing.

pub mod fault;
pub mod protection;

use bytes::Bytes;
use millstream_check::fetch::{Fetch, FetchError, Request, Response};
use millstream_media::time::UtcTime;
use protection::Protection;

/// When a run begins: inside of a segment.
pub const START_MS: i64 = 1_721_482_860_700;

/// Segments listed.
const LISTED: u64 = 10;

/// Segments that are still answered after they left the list.
const KEPT: u64 = 12;

/// Milliseconds of a segment.
const SEGMENT_MS: u64 = 2000;

/// A change made to a response: URL path, time since the start in milliseconds, response.
pub type Fault = Box<dyn Fn(&str, i64, &mut Response)>;

/// The presentation, the clock, and what is broken.
pub struct World {
    now: UtcTime,
    fault: Fault,
    low_latency: bool,
    protection: Option<Protection>,
}

impl World {
    pub fn new(fault: Fault) -> Self {
        World { now: UtcTime::from_millis(START_MS), fault, low_latency: false, protection: None }
    }

    /// The same with parts of half a second.
    pub fn low_latency(fault: Fault) -> Self {
        World { low_latency: true, ..World::new(fault) }
    }

    /// The same, encrypted.
    pub fn protected(protection: Protection, fault: Fault) -> Self {
        World { protection: Some(protection), ..World::new(fault) }
    }

    /// Lets the time pass that a blocked answer is held, or says that it is refused.
    fn hold(&mut self, path: &str) -> Result<(), u16> {
        let get = |name: &str| {
            let query = path.split_once('?')?.1;
            query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok())
        };
        let file = path.rsplit('/').next().unwrap_or_default();
        let until = match (get("_HLS_msn"), get("_HLS_part")) {
            (None, Some(_)) => return Err(400),
            (Some(n), _) if n > self.newest() + 2 => return Err(400),
            (Some(n), None) => n * SEGMENT_MS,
            (Some(n), Some(p)) => (n - 1) * SEGMENT_MS + (p + 1) * PART_MS,
            _ => match file.split('?').next().and_then(|f| f.strip_suffix(".m4s")?.split_once('-')) {
                Some((n, p)) => {
                    let (n, p) = (n.parse::<u64>().unwrap_or(0), p.parse::<u64>().unwrap_or(0));
                    n.saturating_sub(1) * SEGMENT_MS + (p + 1) * PART_MS
                }
                None => 0,
            },
        };
        // No more than a segment ahead: anything further is not hinted.
        self.now = self.now.max(UtcTime::from_millis(until.min(self.now.as_millis() as u64 + 2 * SEGMENT_MS) as i64));
        Ok(())
    }

    /// Newest whole segment.
    fn newest(&self) -> u64 {
        self.now.as_millis() as u64 / SEGMENT_MS
    }

    fn answer(&self, path: &str, request: &Request<'_>) -> Response {
        let newest = self.newest();
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let rendition = folder.rsplit('/').next().unwrap_or_default();
        let part = file.strip_suffix(".m4s").and_then(|f| f.split_once('-'));
        let part = part.and_then(|(n, p)| Some((n.parse::<u64>().ok()?, p.parse::<u64>().ok()?)));
        let number = file.strip_suffix(".m4s").and_then(|n| n.parse::<u64>().ok());
        let (kind, body) = match (file, number) {
            ("time", _) => ("text/plain", self.now.to_iso8601().into_bytes()),
            ("index.m3u8", _) if rendition == "demo" => {
                ("application/vnd.apple.mpegurl", multivariant(self.protection))
            }
            ("index.m3u8", _) if self.low_latency => {
                let playlist = low_latency(rendition, self.now.as_millis() as u64, request.url.contains("_HLS_skip"));
                ("application/vnd.apple.mpegurl", playlist)
            }
            ("index.m3u8" | "iframes.m3u8", _) => {
                ("application/vnd.apple.mpegurl", media(rendition, newest, file == "iframes.m3u8", self.protection))
            }
            ("manifest.mpd", _) => ("application/dash+xml", mpd(newest, self.protection)),
            ("init.mp4", _) => ("video/mp4", header(rendition, self.protection)),
            (_, Some(n)) if n <= newest && n + LISTED + KEPT > newest => {
                ("video/mp4", segment(rendition, n, self.protection))
            }
            _ if part.is_some_and(|(n, _)| n <= newest + 1) => {
                let (n, p) = part.unwrap_or_default();
                ("video/mp4", part_bytes(rendition, n, p))
            }
            _ => return Response { status: 404, ..Response::default() },
        };
        let mut response = Response { status: 200, body: Bytes::from(body), ..Response::default() };
        if let Some(range) = request.range {
            response.status = 206;
            response.body = response.body.slice(range.offset as usize..(range.offset + range.length) as usize);
        }
        for (name, value) in [
            ("content-type", kind),
            ("cache-control", "max-age=1"),
            ("content-encoding", "gzip"),
            ("vary", "Accept-Encoding"),
            ("etag", "\"1\""),
            ("access-control-allow-origin", "*"),
        ] {
            response.headers.push((name.to_owned(), value.to_owned()));
        }
        response
    }
}

impl Fetch for World {
    fn get(&mut self, request: Request<'_>) -> Result<Response, FetchError> {
        let path = request.url.strip_prefix("http://test").unwrap_or(request.url).to_owned();
        let asked = self.now;
        if self.low_latency && self.hold(&path) == Err(400) {
            let mut response = Response { status: 400, ..Response::default() };
            (self.fault)(&path, self.now.as_millis() - START_MS, &mut response);
            return Ok(response);
        }
        let mut response = self.answer(path.split('?').next().unwrap_or_default(), &request);
        response.first_byte = self.now.since(asked);
        response.last_byte = response.first_byte;
        (self.fault)(&path, self.now.as_millis() - START_MS, &mut response);
        if response.status == 0 {
            return Err(FetchError::Transport("connection refused".to_owned()));
        }
        Ok(response)
    }

    fn now(&mut self) -> UtcTime {
        self.now
    }

    fn wait_until(&mut self, until: UtcTime) {
        self.now = self.now.max(until);
    }
}

const RENDITIONS: [(&str, u16, u16); 2] = [("720p", 1280, 720), ("360p", 640, 360)];

fn multivariant(protection: Option<Protection>) -> Vec<u8> {
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    out += "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"main\",LANGUAGE=\"und\",DEFAULT=YES,URI=\"audio/index.m3u8\"\n";
    for key in protection.iter().flat_map(|_| ["720p", "audio"]) {
        out += &format!("#EXT-X-SESSION-KEY:{}\n", protection::hls(key));
    }
    for (name, width, height) in RENDITIONS {
        out += &format!(
            "#EXT-X-STREAM-INF:BANDWIDTH=90000,AVERAGE-BANDWIDTH=80000,CODECS=\"avc1.64001f,mp4a.40.2\",\
             RESOLUTION={width}x{height},FRAME-RATE=25.000,AUDIO=\"aac\"\n{name}/index.m3u8\n\
             #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5000,CODECS=\"avc1.64001f\",URI=\"{name}/iframes.m3u8\"\n"
        );
    }
    out.into_bytes()
}

fn media(rendition: &str, newest: u64, i_frames: bool, protection: Option<Protection>) -> Vec<u8> {
    let first = newest + 1 - LISTED;
    let mut out = format!("#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-TARGETDURATION:2\n", if i_frames { 5 } else { 6 });
    out += &format!("#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if i_frames {
        out += "#EXT-X-I-FRAMES-ONLY\n";
    }
    if protection.is_some() {
        out += &format!("#EXT-X-KEY:{}\n", protection::hls(rendition));
    }
    out += "#EXT-X-MAP:URI=\"init.mp4?v=1\"\n";
    for n in first..=newest {
        let (start, duration, scale) = place(rendition, n);
        let at = UtcTime((start as i128 * 1_000_000_000 / i128::from(scale)) as i64);
        out += &format!("#EXT-X-PROGRAM-DATE-TIME:{at}\n#EXTINF:{:.5},\n", duration as f64 / f64::from(scale));
        if i_frames {
            out += "#EXT-X-BYTERANGE:60@0\n";
        }
        out += &format!("{n}.m4s\n");
    }
    out.into_bytes()
}

/// Milliseconds of a part.
const PART_MS: u64 = 500;

/// Start of part `p` of segment `n`, in ticks; `p` = 4 is the end of the segment.
fn part_start(rendition: &str, n: u64, p: u64) -> u64 {
    let ms = (n - 1) * SEGMENT_MS + p * PART_MS;
    if rendition == "audio" { (ms * 48).div_ceil(1024) * 1024 } else { (ms * 25).div_ceil(1000) * 1000 }
}

fn low_latency(rendition: &str, now_ms: u64, skip: bool) -> Vec<u8> {
    let newest = now_ms / SEGMENT_MS;
    let first = newest + 1 - LISTED;
    let (_, _, scale) = place(rendition, 1);
    let skipped = if skip { 3 } else { 0 };
    let mut out = format!("#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-TARGETDURATION:2\n", if skip { 9 } else { 6 });
    out += "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.560\n";
    out += "#EXT-X-PART-INF:PART-TARGET=0.520\n";
    out += &format!("#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if skip {
        out += &format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n");
    }
    out += "#EXT-X-MAP:URI=\"init.mp4?v=1\"\n";
    let done = (now_ms - newest * SEGMENT_MS) / PART_MS;
    for n in first + skipped..=newest + 1 {
        let (start, duration, _) = place(rendition, n);
        let at = UtcTime((start as i128 * 1_000_000_000 / i128::from(scale)) as i64);
        out += &format!("#EXT-X-PROGRAM-DATE-TIME:{at}\n");
        for p in (0..if n > newest { done } else { 4 }).filter(|_| n + 2 > newest) {
            let length = part_start(rendition, n, p + 1) - part_start(rendition, n, p);
            let independent = if p == 0 { ",INDEPENDENT=YES" } else { "" };
            let seconds = length as f64 / f64::from(scale);
            out += &format!("#EXT-X-PART:DURATION={seconds:.5},URI=\"{n}-{p}.m4s\"{independent}\n");
        }
        if n <= newest {
            out += &format!("#EXTINF:{:.5},\n{n}.m4s\n", duration as f64 / f64::from(scale));
        }
    }
    out += &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}-{done}.m4s\"\n", newest + 1);
    for other in ["720p", "360p", "audio"].iter().filter(|o| **o != rendition) {
        let (msn, part) = if done == 0 { (newest, 3) } else { (newest + 1, done - 1) };
        out += &format!("#EXT-X-RENDITION-REPORT:URI=\"../{other}/index.m3u8\",LAST-MSN={msn},LAST-PART={part}\n");
    }
    out.into_bytes()
}

/// A part: one chunk.
fn part_bytes(rendition: &str, n: u64, p: u64) -> Vec<u8> {
    let frame: u64 = if rendition == "audio" { 1024 } else { 1000 };
    let (start, end) = (part_start(rendition, n, p), part_start(rendition, n, p + 1));
    chunk(rendition, n, start, (end - start) / frame, frame, (p == 0, None))
}

fn mpd(newest: u64, protection: Option<Protection>) -> Vec<u8> {
    let first = newest + 1 - LISTED;
    let mut sets = String::new();
    for (id, kind, names, codecs) in
        [("0", "video", &["720p", "360p"][..], "avc1.64001f"), ("1", "audio", &["audio"][..], "mp4a.40.2")]
    {
        let (_, _, scale) = place(names[0], first);
        let mut timeline = String::new();
        for n in first..=newest {
            let (start, duration, _) = place(names[0], n);
            let t = if n == first { format!("t=\"{start}\" ") } else { String::new() };
            // Written out with @t where the length changes, so that no two equal neighbours stand unmerged.
            let t = if t.is_empty() { format!("t=\"{start}\" ") } else { t };
            timeline += &format!("<S {t}d=\"{duration}\"/>");
        }
        let representations: String = names
            .iter()
            .map(|name| {
                let size = RENDITIONS.iter().find(|r| r.0 == *name);
                let size = size.map(|(_, w, h)| format!(" width=\"{w}\" height=\"{h}\"")).unwrap_or_default();
                format!("<Representation id=\"{name}\" bandwidth=\"80000\"{size}/>")
            })
            .collect();
        let protection = protection.map(|p| p.dash(names[0])).unwrap_or_default();
        sets += &format!(
            "<AdaptationSet id=\"{id}\" mimeType=\"{kind}/mp4\" codecs=\"{codecs}\" segmentAlignment=\"true\">{protection}\
             <SegmentTemplate timescale=\"{scale}\" startNumber=\"{first}\" media=\"$RepresentationID$/$Number$.m4s\" \
             initialization=\"$RepresentationID$/init.mp4?v=1\"><SegmentTimeline>{timeline}</SegmentTimeline>\
             </SegmentTemplate>{representations}</AdaptationSet>"
        );
    }
    let published = UtcTime::from_millis((newest * SEGMENT_MS) as i64);
    format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"dynamic\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" availabilityStartTime=\"1970-01-01T00:00:00Z\" \
         publishTime=\"{published}\" minimumUpdatePeriod=\"PT2S\" minBufferTime=\"PT2S\" timeShiftBufferDepth=\"PT20S\" \
         suggestedPresentationDelay=\"PT6S\" maxSegmentDuration=\"PT2.1S\"><Period id=\"p\" start=\"PT0S\">{sets}</Period>\
         <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"/time\"/>\
         <LeapSecondInformation availabilityStartLeapOffset=\"0\"/></MPD>"
    )
    .into_bytes()
}

/// Start and duration in ticks, and ticks per second, of segment `n`.
fn place(rendition: &str, n: u64) -> (u64, u64, u32) {
    if rendition == "audio" {
        let start = |n: u64| ((n - 1) * 2 * 48_000).div_ceil(1024) * 1024;
        (start(n), start(n + 1) - start(n), 48_000)
    } else {
        ((n - 1) * 50_000, 50_000, 25_000)
    }
}

fn bx(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = 8 + parts.iter().map(|p| p.len()).sum::<usize>();
    let mut out = (length as u32).to_be_bytes().to_vec();
    out.extend_from_slice(kind);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

fn header(rendition: &str, protection: Option<Protection>) -> Vec<u8> {
    let audio = rendition == "audio";
    let (_, _, scale) = place(rendition, 1);
    let matrix = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];
    let mvhd = [&[0, 0, 0, scale, 0, 0x0001_0000, 0x0100_0000, 0, 0][..], &matrix, &[0; 6], &[2]].concat();
    let (width, height) = RENDITIONS.iter().find(|r| r.0 == rendition).map_or((0, 0), |r| (r.1, r.2));
    let (w, h) = (u32::from(width) << 16, u32::from(height) << 16);
    let tkhd = [&[7, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &matrix, &[w, h]].concat();
    let hdlr = [&words(&[0, 0])[..], if audio { b"soun" } else { b"vide" }, &[0; 12], b"\0"].concat();
    let media_header = if audio { bx(b"smhd", &[&words(&[0, 0])]) } else { bx(b"vmhd", &[&words(&[1, 0, 0])]) };
    let dinf = bx(b"dinf", &[&bx(b"dref", &[&words(&[0, 1]), &bx(b"url ", &[&words(&[1])])])]);
    let entry = if audio {
        let esds: &[u8] = &[
            0, 0, 0, 0, 3, 25, 0, 1, 0, 4, 17, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 2, 0x11, 0x90, 6, 1, 2,
        ];
        let fixed =
            [&[0; 6][..], &[0, 1], &[0; 8], &[0, 2, 0, 16, 0, 0, 0, 0], &(48_000_u32 << 16).to_be_bytes()].concat();
        let sinf = protection.map(|p| p.sinf(b"mp4a", rendition)).unwrap_or_default();
        bx(if protection.is_some() { b"enca" } else { b"mp4a" }, &[&fixed, &bx(b"esds", &[esds]), &sinf])
    } else {
        let fixed = [&[0; 6][..], &[0, 1], &[0; 16], &width.to_be_bytes(), &height.to_be_bytes(), &[0; 50]].concat();
        let sinf = protection.map(|p| p.sinf(b"avc1", rendition)).unwrap_or_default();
        let kind = if protection.is_some() { b"encv" } else { b"avc1" };
        bx(kind, &[&fixed, &bx(b"avcC", &[&[1, 0x64, 0, 0x1f, 0xff, 0xe1]]), &sinf])
    };
    let stbl = bx(
        b"stbl",
        &[
            &bx(b"stsd", &[&words(&[0, 1]), &entry]),
            &bx(b"stts", &[&words(&[0, 0])]),
            &bx(b"stsc", &[&words(&[0, 0])]),
            &bx(b"stsz", &[&words(&[0, 0, 0])]),
            &bx(b"stco", &[&words(&[0, 0])]),
        ],
    );
    let mdia = bx(
        b"mdia",
        &[
            &bx(b"mdhd", &[&words(&[0, 0, 0, scale, 0, 0x55c4_0000])]),
            &bx(b"hdlr", &[&hdlr]),
            &bx(b"minf", &[&media_header, &dinf, &stbl]),
        ],
    );
    let moov = bx(
        b"moov",
        &[
            &bx(b"mvhd", &[&words(&mvhd)]),
            &bx(b"trak", &[&bx(b"tkhd", &[&words(&tkhd)]), &mdia]),
            &bx(b"mvex", &[&bx(b"trex", &[&words(&[0, 1, 1, 0, 0, 0])])]),
            &protection.map(|_| protection::pssh(rendition)).unwrap_or_default(),
        ],
    );
    [bx(b"ftyp", &[b"cmf2", &[0; 4], b"iso6cmfccmf2"]), moov].concat()
}

/// A segment of two chunks.
fn segment(rendition: &str, n: u64, protection: Option<Protection>) -> Vec<u8> {
    let (start, duration, _) = place(rendition, n);
    let frame: u64 = if rendition == "audio" { 1024 } else { 1000 };
    let samples = duration / frame;
    let half = samples / 2;
    let styp = bx(b"styp", &[b"cmfs", &[0; 4], b"cmffcmfs"]);
    let prft = bx(b"prft", &[&words(&[0x0100_0000, 1, 0, 0, 0, 0])]);
    let first = chunk(rendition, n, start, half, frame, (true, protection));
    let second = chunk(rendition, n, start + half * frame, samples - half, frame, (false, protection));
    [styp, prft, first, second].concat()
}

fn chunk(rendition: &str, n: u64, start: u64, samples: u64, frame: u64, how: (bool, Option<Protection>)) -> Vec<u8> {
    let (first, protection) = how;
    let audio = rendition == "audio";
    let mut data = Vec::new();
    let mut runs = Vec::new();
    for i in 0..samples {
        let key = audio || (first && i == 0);
        let size = if audio { 20 } else { 40 + n as u32 % 7 };
        runs.push([size, if key { 0x0200_0000 } else { 0x0101_0000 }]);
        if audio {
            data.extend(std::iter::repeat_n(n as u8, size as usize));
        } else {
            data.extend_from_slice(&(size - 4).to_be_bytes());
            data.push(if key { 0x65 } else { 0x41 });
            data.extend(std::iter::repeat_n(n as u8, size as usize - 5));
        }
    }
    // Duration in tfhd; size and flags in trun.
    let tfhd = bx(b"tfhd", &[&words(&[0x0002_0008, 1, frame as u32])]);
    let tfdt = bx(b"tfdt", &[&words(&[0x0100_0000]), &start.to_be_bytes()]);
    let sizes: Vec<u32> = runs.iter().map(|[size, _]| *size).collect();
    let before = 8 + 16 + 8 + tfhd.len() + tfdt.len() + 8 + 12 + runs.len() * 8;
    let senc = protection.map(|p| p.senc(rendition, start, &sizes, before)).unwrap_or_default();
    let moof_length = before + senc.len();
    let trun =
        bx(b"trun", &[&words(&[0x0100_0601, runs.len() as u32, moof_length as u32 + 8]), &words(&runs.concat())]);
    let moof = bx(b"moof", &[&bx(b"mfhd", &[&words(&[0, n as u32])]), &bx(b"traf", &[&tfhd, &tfdt, &trun, &senc])]);
    assert_eq!(moof.len(), moof_length);
    [moof, bx(b"mdat", &[&data])].concat()
}

//! Manifests read back by independent readers: quick-m3u8 for HLS, dash-mpd-core for DASH.

use std::time::Duration;

use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::tag::KnownTag;
use quick_m3u8::tag::hls::Tag;
use quick_m3u8::{HlsLine, Reader};

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    pub version: u64,
    pub target: u64,
    pub media_sequence: u64,
    pub discontinuity_sequence: u64,
    pub ended: bool,
    pub segments: Vec<Segment>,
}

/// A segment with all that applies to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    pub uri: String,
    pub duration: f64,
    /// Seconds since the start of the month; the made-up channels live in one.
    pub time: f64,
    pub discontinuity: bool,
    pub gap: bool,
    pub map: String,
    pub iframe_bytes: Option<u64>,
}

impl List {
    pub fn duration(&self) -> f64 {
        self.segments.iter().map(|s| s.duration).sum()
    }

    pub fn end(&self) -> u64 {
        self.media_sequence + self.segments.len() as u64
    }

    pub fn get(&self, number: u64) -> Option<&Segment> {
        self.segments.get(usize::try_from(number.checked_sub(self.media_sequence)?).ok()?)
    }
}

pub fn hls_list(text: &str) -> List {
    assert!(text.starts_with("#EXTM3U\n"), "STANDARDS 1.3");
    let mut list = List::default();
    let mut next = Segment::default();
    let options = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
    let mut reader = Reader::from_str(text, options);
    while let Some(line) = reader.read_line().expect("a line quick-m3u8 understands") {
        let tag = match line {
            HlsLine::KnownTag(KnownTag::Hls(tag)) => tag,
            HlsLine::Uri(uri) => {
                let map = next.map.clone();
                list.segments.push(Segment { uri: uri.into_owned(), ..std::mem::take(&mut next) });
                next.map = map;
                continue;
            }
            other => panic!("unexpected line {other:?}"),
        };
        match tag {
            Tag::M3u(_) | Tag::IndependentSegments(_) | Tag::IFramesOnly(_) => {}
            Tag::Version(t) => list.version = t.version(),
            Tag::Targetduration(t) => list.target = t.target_duration(),
            Tag::MediaSequence(t) => list.media_sequence = t.media_sequence(),
            Tag::DiscontinuitySequence(t) => list.discontinuity_sequence = t.discontinuity_sequence(),
            Tag::Endlist(_) => list.ended = true,
            Tag::Inf(t) => next.duration = t.duration(),
            Tag::Byterange(t) => {
                assert_eq!(t.offset(), Some(0));
                next.iframe_bytes = Some(t.length());
            }
            Tag::Discontinuity(_) => next.discontinuity = true,
            Tag::Gap(_) => next.gap = true,
            Tag::Map(t) => next.map = t.uri().to_owned(),
            Tag::ProgramDateTime(t) => {
                let t = t.program_date_time();
                let minutes =
                    (f64::from(t.date_mday) * 24.0 + f64::from(t.time_hour)) * 60.0 + f64::from(t.time_minute);
                next.time = minutes * 60.0 + t.time_second;
            }
            other => panic!("unexpected tag {other:?}"),
        }
    }
    list
}

/// An MPD, cut down to what may and may not change.
#[derive(Clone, Debug, PartialEq)]
pub struct Mpd {
    pub published: String,
    pub update_period: Option<Duration>,
    /// Everything but `publishTime`.
    pub content: String,
    pub periods: Vec<Period>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    pub id: String,
    pub start: Duration,
    pub duration: Option<Duration>,
    pub sets: Vec<Set>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// All that never changes: ids, template, representations.
    pub fixed: String,
    pub offset: u64,
    pub timescale: u64,
    pub representations: Vec<String>,
    pub start_number: u64,
    /// Start, duration and repeats of each `S`.
    pub timeline: Vec<(u64, u64, u64)>,
}

impl Set {
    /// Number, start and duration of each segment.
    pub fn segments(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let each = self.timeline.iter().flat_map(|&(t, d, r)| (0..=r).map(move |i| (t + i * d, d)));
        each.zip(self.start_number..).map(|((t, d), n)| (n, t, d))
    }
}

pub fn dash(text: &str) -> Mpd {
    let mpd = dash_mpd_core::parse(text).expect("an MPD dash-mpd-core understands");
    assert_eq!(mpd.mpdtype.as_deref(), Some("dynamic"));
    assert!(text.contains(" availabilityStartTime=\"1970-01-01T00:00:00Z\""), "STANDARDS 2.2");
    assert!(mpd.minBufferTime.is_some() && mpd.profiles.is_some(), "STANDARDS 2.1");
    assert!(mpd.UTCTiming.iter().any(|t| t.schemeIdUri == "urn:mpeg:dash:utc:http-iso:2014"), "STANDARDS 2.3");
    assert!(mpd.timeShiftBufferDepth > mpd.suggestedPresentationDelay, "STANDARDS 2.12");
    let published = text.split("publishTime=\"").nth(1).and_then(|t| t.split('"').next()).unwrap().to_owned();
    let periods = mpd.periods.iter().map(|p| Period {
        id: p.id.clone().unwrap(),
        start: p.start.unwrap(),
        duration: p.duration,
        sets: p.adaptations.iter().map(set).collect(),
    });
    Mpd {
        content: text.replace(&published, ""),
        published,
        update_period: mpd.minimumUpdatePeriod,
        periods: periods.collect(),
    }
}

fn set(set: &dash_mpd_core::AdaptationSet) -> Set {
    assert!(set.id.is_some(), "STANDARDS 2.6");
    assert_eq!(set.segmentAlignment, Some(true), "STANDARDS 2.21");
    let template = set.SegmentTemplate.as_ref().unwrap();
    let media = template.media.as_deref().unwrap();
    assert!(media.contains("$Number$") && !media.contains("$Time$"), "STANDARDS 2.8");
    assert!(template.duration.is_none() && template.eptDelta.is_none(), "STANDARDS 2.7");
    let mut at = None;
    let timeline = template.SegmentTimeline.as_ref().unwrap().segments.iter().map(|s| {
        assert!(s.n.is_none(), "STANDARDS 2.7");
        let start = s.t.or(at).expect("the first S has its time");
        let repeats = u64::try_from(s.r.unwrap_or(0)).unwrap();
        at = Some(start + s.d * (repeats + 1));
        (start, s.d, repeats)
    });
    Set {
        timeline: timeline.collect(),
        fixed: format!(
            "{:?} {:?} {:?} {:?} {:?} {:?}",
            set.id,
            set.mimeType,
            template.initialization,
            template.timescale,
            template.presentationTimeOffset,
            set.representations
        ),
        offset: template.presentationTimeOffset.unwrap(),
        timescale: template.timescale.unwrap(),
        representations: set.representations.iter().map(|r| r.id.clone().unwrap()).collect(),
        start_number: template.startNumber.unwrap(),
    }
}

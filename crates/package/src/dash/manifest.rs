//! The MPD: one Period for each run of segments, one adaptation set for each kind and timescale.
//!
//! Attributes of a Period, its sets and its representations are fixed when it appears (STANDARDS 2.6), so `@bandwidth`
//! is the nominal bit rate, not a measured one. `publishTime` is the end of the newest segment: it moves when the
//! content does, and two origins with the same segments write the same bytes.
//!
//! When the channel has ended, `minimumUpdatePeriod` is gone and the last Period says its duration; the type stays
//! `dynamic`, so that a player's clock and live edge hold until the end (STANDARDS 2.5).
//!
//! `LeapSecondInformation` says that nothing is to be added to `availabilityStartTime`: media time counts UTC days of
//! 86,400 s, and no leap second is announced (STANDARDS 2.4).

use std::io;
use std::time::Duration;

use millstream_media::grid::FrameRate;
use millstream_media::protection::Signalling;
use millstream_media::time::UtcTime;
use millstream_media::track::{Track, TrackMedia};
use millstream_window::{Presentation, PresentationPeriod, Timing, Window};
use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::low_latency::LowLatency;
use super::timeline::timeline;

/// What a manifest needs to know besides the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MpdOptions<'a> {
    /// URL, absolute or relative to the manifest, that answers GET with the server's time in ISO 8601 (`http-iso`) and
    /// HEAD with an exact `Date` (`http-head`).
    pub time_url: &'a str,
}

pub(super) type Xml = Writer<Vec<u8>>;

/// The manifest at `/live/CHANNEL/manifest.mpd`. `None` while the window has nothing to show.
pub fn mpd(window: &Window, options: &MpdOptions<'_>) -> Option<String> {
    let mut presentation = window.presentation()?;
    let low_latency = LowLatency::of(window, &presentation);
    if let Some(low_latency) = &low_latency {
        low_latency.arrange(&mut presentation)?;
    }
    let mut xml = Writer::new_with_indent(Vec::with_capacity(4096), b' ', 2);
    // Writing to a Vec cannot fail.
    write(&mut xml, window, &presentation, low_latency.as_ref(), options).ok()?;
    String::from_utf8(xml.into_inner()).ok()
}

fn write(
    xml: &mut Xml,
    window: &Window,
    p: &Presentation<'_>,
    low_latency: Option<&LowLatency>,
    options: &MpdOptions<'_>,
) -> io::Result<()> {
    let Timings { segment, longest, depth } = Timings::of(window, &p.timing);
    // The last update, which only takes minimumUpdatePeriod away, is one too.
    let published = match low_latency {
        Some(low_latency) => low_latency.published(p, depth),
        None if p.ended => p.newest_end + Duration::from_millis(1),
        None => p.newest_end,
    };
    let profiles = if low_latency.is_some() { LOW_LATENCY_PROFILES } else { PROFILES };
    let buffer = low_latency.map_or(segment, LowLatency::min_buffer);
    xml.get_mut().extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let update_period = seconds(segment);
    let mut mpd = xml.create_element("MPD").with_attributes([
        ("xmlns", "urn:mpeg:dash:schema:mpd:2011"),
        ("profiles", profiles),
        ("type", "dynamic"),
        ("availabilityStartTime", "1970-01-01T00:00:00Z"),
        ("publishTime", published.to_iso8601().as_str()),
    ]);
    if !p.ended {
        mpd = mpd.with_attribute(("minimumUpdatePeriod", update_period.as_str()));
    }
    mpd.with_attributes([
        ("minBufferTime", seconds(buffer).as_str()),
        ("timeShiftBufferDepth", seconds(depth).as_str()),
        ("suggestedPresentationDelay", seconds(segment * 3).as_str()),
        ("maxSegmentDuration", seconds(longest).as_str()),
    ])
    .write_inner_content(|xml| {
        if let Some(low_latency) = low_latency {
            low_latency.write_service(xml)?;
        }
        let page = Page { window, low_latency, options };
        for (i, period) in p.periods.iter().enumerate() {
            write_period(xml, &page, period, p.periods.get(i + 1), p.ended)?;
        }
        for scheme in [TIME_SCHEME, "urn:mpeg:dash:utc:http-head:2014"] {
            descriptor(xml, "UTCTiming", scheme, options.time_url)?;
        }
        xml.create_element("LeapSecondInformation")
            .with_attribute(("availabilityStartLeapOffset", "0"))
            .write_empty()?;
        Ok(())
    })?;
    xml.get_mut().push(b'\n');
    Ok(())
}

const PROFILES: &str = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019";
/// STANDARDS 2.20.
const LOW_LATENCY_PROFILES: &str = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019,\
     http://www.dashif.org/guidelines/low-latency-live-v5";
/// The first way to the server's time (STANDARDS 2.3).
pub(super) const TIME_SCHEME: &str = "urn:mpeg:dash:utc:http-iso:2014";

/// What is the same for all Periods.
struct Page<'a> {
    window: &'a Window,
    low_latency: Option<&'a LowLatency>,
    options: &'a MpdOptions<'a>,
}

struct Timings {
    segment: Duration,
    longest: Duration,
    depth: Duration,
}

impl Timings {
    fn of(window: &Window, timing: &Timing) -> Self {
        Timings {
            segment: timing.segment_duration(),
            longest: timing.max_segment_duration(),
            depth: window.config().list_length(timing),
        }
    }
}

/// A Period ends where the next one begins; where a hole lies between, and at the end of the channel, it says its
/// duration.
fn write_period(
    xml: &mut Xml,
    page: &Page<'_>,
    period: &PresentationPeriod<'_>,
    next: Option<&PresentationPeriod<'_>>,
    ended: bool,
) -> io::Result<()> {
    let hole = next.map_or(ended, |n| n.start.since(period.end) > Duration::from_millis(50));
    let mut element = xml.create_element("Period").with_attributes([
        ("id", format!("p{}", period.first).as_str()),
        ("start", seconds(period.start.since(UtcTime::EPOCH)).as_str()),
    ]);
    if hole {
        element = element.with_attribute(("duration", seconds(period.end.since(period.start)).as_str()));
    }
    element.write_inner_content(|xml| sets(period).iter().try_for_each(|set| write_set(xml, page, period, set)))?;
    Ok(())
}

/// An adaptation set: tracks of one kind and one timescale, so that one timeline describes them all.
pub(super) struct Set<'a> {
    pub id: usize,
    pub tracks: Vec<&'a Track>,
    /// Ids of the other sets of its kind, to which players may switch.
    siblings: Vec<usize>,
}

/// The sets of a period in the order of its tracks; video sets have odd ids, audio sets even ones, so that an id means
/// the same in all periods.
fn sets<'a>(period: &PresentationPeriod<'a>) -> Vec<Set<'a>> {
    let mut sets: Vec<Set<'a>> = Vec::new();
    for track in period.period.tracks().iter().map(|t| &t.track) {
        let alike = |o: &Track| o.is_video() == track.is_video() && o.timescale == track.timescale;
        match sets.iter_mut().find(|s| s.tracks.first().is_some_and(|o| alike(o))) {
            Some(set) => set.tracks.push(track),
            None => {
                let before = sets.iter().filter(|s| s.is_video() == track.is_video()).count();
                let id = 2 * before + if track.is_video() { 1 } else { 2 };
                sets.push(Set { id, tracks: vec![track], siblings: Vec::new() });
            }
        }
    }
    let ids: Vec<(usize, bool)> = sets.iter().map(|s| (s.id, s.is_video())).collect();
    for set in &mut sets {
        let video = set.is_video();
        set.siblings = ids.iter().filter(|(id, v)| *v == video && *id != set.id).map(|(id, _)| *id).collect();
    }
    sets
}

impl Set<'_> {
    pub fn is_video(&self) -> bool {
        self.tracks.first().is_some_and(|t| t.is_video())
    }
}

fn write_set(xml: &mut Xml, page: &Page<'_>, period: &PresentationPeriod<'_>, set: &Set<'_>) -> io::Result<()> {
    let video = set.is_video();
    let id = set.id.to_string();
    let mut element = xml.create_element("AdaptationSet").with_attributes([
        ("id", id.as_str()),
        ("contentType", if video { "video" } else { "audio" }),
        ("mimeType", if video { "video/mp4" } else { "audio/mp4" }),
        ("segmentAlignment", "true"),
        ("startWithSAP", "1"),
    ]);
    if video {
        let sizes = || set.tracks.iter().filter_map(|t| size(t));
        if let Some((w, h)) = sizes().map(|s| s.0).max().zip(sizes().map(|s| s.1).max()) {
            element =
                element.with_attributes([("maxWidth", w.to_string().as_str()), ("maxHeight", h.to_string().as_str())]);
        }
        let rates = set.tracks.iter().filter_map(|t| frame_rate(t));
        if let Some(rate) = rates.max_by(|a, b| a.as_f64().total_cmp(&b.as_f64())) {
            element = element.with_attribute(("maxFrameRate", fraction(rate).as_str()));
        }
    } else {
        element = element.with_attribute(("lang", "und"));
    }
    element.write_inner_content(|xml| {
        let protection = set.tracks.first().and_then(|t| period.period.track(&t.name)?.protection.as_ref());
        if let Some(protection) = protection {
            write_protection(xml, protection)?;
        }
        if !set.siblings.is_empty() {
            let ids: Vec<String> = set.siblings.iter().map(usize::to_string).collect();
            descriptor(xml, "SupplementalProperty", "urn:mpeg:dash:adaptation-set-switching:2016", &ids.join(","))?;
        }
        if let Some(low_latency) = page.low_latency {
            low_latency.write_reference_time(xml, period, set, page.options.time_url)?;
        }
        descriptor(xml, "Role", "urn:mpeg:dash:role:2011", "main")?;
        match page.low_latency {
            Some(low_latency) => low_latency.write_template(xml, period, set)?,
            None => write_template(xml, page.window, period, set)?,
        }
        set.tracks.iter().try_for_each(|track| write_representation(xml, track, page.low_latency))
    })?;
    Ok(())
}

/// `ContentProtection` (ISO/IEC 23001-7 11.2): the scheme and the key's id, then each key system.
fn write_protection(xml: &mut Xml, protection: &Signalling) -> io::Result<()> {
    xml.create_element("ContentProtection")
        .with_attributes([
            ("xmlns:cenc", "urn:mpeg:cenc:2013"),
            ("schemeIdUri", "urn:mpeg:dash:mp4protection:2011"),
            ("value", protection.scheme.as_str()),
            ("cenc:default_KID", protection.key_id.to_string().as_str()),
        ])
        .write_empty()?;
    for system in &protection.dash {
        let mut element =
            xml.create_element("ContentProtection").with_attribute(("schemeIdUri", system.scheme_id_uri.as_str()));
        if !system.value.is_empty() {
            element = element.with_attribute(("value", system.value.as_str()));
        }
        // It is XML already.
        element.write_text_content(BytesText::from_escaped(system.inner.as_str()))?;
    }
    Ok(())
}

pub(super) fn descriptor(xml: &mut Xml, element: &str, scheme: &str, value: &str) -> io::Result<()> {
    xml.create_element(element).with_attributes([("schemeIdUri", scheme), ("value", value)]).write_empty()?;
    Ok(())
}

/// The template with everything in one place (STANDARDS 2.8): one version names the init segments of all tracks.
fn write_template(xml: &mut Xml, window: &Window, period: &PresentationPeriod<'_>, set: &Set<'_>) -> io::Result<()> {
    let Some(reference) = set.tracks.first() else { return Ok(()) };
    let timeline = timeline(window, period, &reference.name);
    let init = initialization(period);
    xml.create_element("SegmentTemplate")
        .with_attributes([
            ("timescale", reference.timescale.get().to_string().as_str()),
            // Media time zero is the epoch, Period time zero is the Period's start.
            ("presentationTimeOffset", period.start.to_ticks(reference.timescale).to_string().as_str()),
            ("initialization", init.as_str()),
            ("media", "$RepresentationID$/$Number$.m4s"),
            ("startNumber", timeline.start_number.to_string().as_str()),
        ])
        .write_inner_content(|xml| {
            xml.create_element("SegmentTimeline").write_inner_content(|xml| {
                let mut due = None;
                for s in &timeline.segments {
                    let mut element = xml.create_element("S");
                    if due != Some(s.start) {
                        element = element.with_attribute(("t", s.start.to_string().as_str()));
                    }
                    element = element.with_attribute(("d", s.duration.to_string().as_str()));
                    if s.repeats > 0 {
                        element = element.with_attribute(("r", s.repeats.to_string().as_str()));
                    }
                    element.write_empty()?;
                    due = Some(s.end());
                }
                Ok(())
            })?;
            Ok(())
        })?;
    Ok(())
}

/// The init segments of a Period's tracks.
pub(super) fn initialization(period: &PresentationPeriod<'_>) -> String {
    format!("$RepresentationID$/init.mp4?v={}", period.period.init_version())
}

fn write_representation(xml: &mut Xml, track: &Track, low_latency: Option<&LowLatency>) -> io::Result<()> {
    let codecs = track.codec_string();
    let mut element = xml
        .create_element("Representation")
        .with_attributes([("id", track.name.as_str()), ("bandwidth", track.bit_rate.max(1).to_string().as_str())]);
    if !codecs.is_empty() {
        element = element.with_attribute(("codecs", codecs.as_str()));
    }
    match &track.media {
        TrackMedia::Video { width, height, frame_rate, .. } => {
            element = element
                .with_attributes([("width", width.to_string().as_str()), ("height", height.to_string().as_str())]);
            if let Some(rate) = frame_rate {
                element = element.with_attribute(("frameRate", fraction(*rate).as_str()));
            }
            match low_latency {
                Some(low_latency) => {
                    element.write_inner_content(|xml| low_latency.write_resync(xml, track))?;
                }
                None => {
                    element.write_empty()?;
                }
            }
        }
        TrackMedia::Audio { config } => {
            // ISO/IEC 23091-3: configurations 1 to 6 have as many channels as their number, 12 has eight.
            let layout = match config.channels() {
                7 => 11,
                8 => 12,
                n => n,
            };
            element
                .with_attribute(("audioSamplingRate", config.sample_rate().to_string().as_str()))
                .write_inner_content(|xml| {
                    let scheme = "urn:mpeg:mpegB:cicp:ChannelConfiguration";
                    descriptor(xml, "AudioChannelConfiguration", scheme, &layout.to_string())?;
                    low_latency.map_or(Ok(()), |low_latency| low_latency.write_resync(xml, track))
                })?;
        }
    }
    Ok(())
}

fn size(track: &Track) -> Option<(u32, u32)> {
    match &track.media {
        TrackMedia::Video { width, height, .. } => Some((*width, *height)),
        TrackMedia::Audio { .. } => None,
    }
}

fn frame_rate(track: &Track) -> Option<FrameRate> {
    match &track.media {
        TrackMedia::Video { frame_rate, .. } => *frame_rate,
        TrackMedia::Audio { .. } => None,
    }
}

fn fraction(rate: FrameRate) -> String {
    if rate.den() == 1 { rate.num().to_string() } else { format!("{}/{}", rate.num(), rate.den()) }
}

/// An xs:duration in seconds alone, since years and months have no fixed length (STANDARDS 2.14).
fn seconds(d: Duration) -> String {
    format!("PT{}S", decimal(d))
}

/// Seconds as a decimal number, exactly.
pub(super) fn decimal(d: Duration) -> String {
    let fraction = format!("{:09}", d.subsec_nanos());
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// STANDARDS 2.14.
    #[test]
    fn durations_are_in_seconds_alone() {
        for (ms, text) in [(0, "PT0S"), (2002, "PT2.002S"), (90_000, "PT90S"), (1_795_365_013_500, "PT1795365013.5S")] {
            assert_eq!(seconds(Duration::from_millis(ms)), text);
        }
    }
}

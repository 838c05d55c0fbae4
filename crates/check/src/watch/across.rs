//! What only shows when segments and renditions are laid side by side: 1.20, 1.27 to 1.29, 3.6, 3.10, CHECK-1d,
//! CHECK-1f, CHECK-3b.

use millstream_media::time::{NANOS_PER_SECOND, UtcTime};

use super::Watch;
use super::rendition::{Fact, Rendition};
use crate::hls::attributes::Attributes;
use crate::hls::keys;
use crate::hls::playlist::Multivariant;
use crate::hls::set::has_video;
use crate::text::{resolve, seconds};

/// How far a written date may be off the media time it stands for, in an epoch-locked presentation.
const DATE_NANOS: i64 = 1_000_000;

/// Media from which an average bit rate says something, in nanoseconds.
const AVERAGE_AFTER: i64 = 20 * NANOS_PER_SECOND;

/// Asks the rules about all that a run has read.
pub(super) fn check(watch: &mut Watch<'_>, url: &str, list: Option<&Multivariant>, renditions: &[Rendition]) {
    for rendition in renditions.iter().filter(|r| !r.i_frames) {
        continuity(watch, rendition);
        listed_durations(watch, rendition);
        if watch.options.epoch.is_some() {
            dates(watch, rendition);
        }
    }
    switching_set(watch, renditions);
    if let Some(list) = list {
        let media = renditions.iter().filter_map(Rendition::media);
        keys::session(list, url, media, &mut watch.findings);
        for (attributes, uri) in &list.variants {
            variant(watch, url, list, attributes, uri, renditions);
        }
    }
}

/// Length of a fact's media in nanoseconds.
fn real_duration(rendition: &Rendition, fact: &Fact) -> i64 {
    let scale = rendition.header_of(fact).map_or(1, |h| i128::from(h.timescale.max(1)));
    i64::try_from(i128::from(fact.segment.duration) * i128::from(NANOS_PER_SECOND) / scale).unwrap_or(i64::MAX)
}

/// Rule 3.6: a segment starts where the one before ended, unless a discontinuity says otherwise.
fn continuity(watch: &mut Watch<'_>, rendition: &Rendition) {
    for ((number, fact), (next_number, next)) in rendition.facts.iter().zip(rendition.facts.iter().skip(1)) {
        let end = fact.segment.start.saturating_add(fact.segment.duration);
        if *next_number == number.saturating_add(1) && !next.discontinuity && next.segment.start != end {
            let start = next.segment.start;
            let message = format!("segment {next_number} starts at {start}, the one before ends at {end}");
            watch.findings.error("3.6", &next.url, message);
        }
    }
}

/// Rule 1.20: any run of `EXTINF` is within one frame of the real duration.
fn listed_durations(watch: &mut Watch<'_>, rendition: &Rendition) {
    let Some(header) = rendition.header() else { return };
    let frame_ticks = rendition.facts.values().flat_map(|f| f.segment.sample_durations.last()).max().copied();
    let frame = i64::from(frame_ticks.unwrap_or(0)) * NANOS_PER_SECOND / i64::from(header.timescale.max(1));
    // The deviation of a run is the difference of two of these sums.
    let (mut sum, mut least, mut most) = (0_i64, 0_i64, 0_i64);
    let mut before = None;
    for (number, fact) in &rendition.facts {
        if before.is_some_and(|b: u64| b.saturating_add(1) != *number) {
            (sum, least, most) = (0, 0, 0);
        }
        before = Some(*number);
        sum = sum.saturating_add(fact.listed_duration.saturating_sub(real_duration(rendition, fact)));
        (least, most) = (least.min(sum), most.max(sum));
        if most.saturating_sub(least) > frame {
            let off = seconds(most.saturating_sub(least));
            watch.findings.error(
                "1.20",
                &rendition.url,
                format!("up to segment {number} EXTINF is {off} off the media"),
            );
            return;
        }
    }
}

/// CHECK-1d: dates are the media times, in an epoch-locked presentation.
fn dates(watch: &mut Watch<'_>, rendition: &Rendition) {
    for (number, fact) in &rendition.facts {
        let (Some(at), Some(header)) = (fact.date_time, rendition.header_of(fact)) else { continue };
        let nanos =
            i128::from(fact.segment.earliest) * i128::from(NANOS_PER_SECOND) / i128::from(header.timescale.max(1));
        let media = UtcTime(i64::try_from(nanos).unwrap_or(0));
        if at.0.saturating_sub(media.0).saturating_abs() > DATE_NANOS {
            let message = format!("segment {number} is dated {at}, its media time is {media}");
            watch.findings.error("CHECK-1d", &rendition.url, message);
        }
    }
}

/// CHECK-3b and 3.10: segments of video renditions have the same starts and lengths.
fn switching_set(watch: &mut Watch<'_>, renditions: &[Rendition]) {
    let mut videos = renditions.iter().filter(|r| !r.i_frames && r.is_video());
    let Some(first) = videos.next() else { return };
    for other in videos {
        let scales = first.header().map(|h| h.timescale).zip(other.header().map(|h| h.timescale));
        if scales.is_some_and(|(a, b)| a != b) {
            watch.findings.error("3.10", &other.url, format!("its timescale is not that of {}", first.url));
            continue;
        }
        let find = |start: u64| first.facts.values().find(move |f| f.segment.start == start);
        let span = first.facts.values().next().map(|f| f.segment.start)
            ..=first.facts.values().next_back().map(|f| f.segment.start);
        for (number, fact) in &other.facts {
            if !span.contains(&Some(fact.segment.start)) {
                continue;
            }
            match find(fact.segment.start) {
                None => {
                    let start = fact.segment.start;
                    let message = format!("segment {number} starts at {start}, none of {} does", first.url);
                    watch.findings.error("CHECK-3b", &fact.url, message);
                }
                Some(twin) if twin.segment.duration != fact.segment.duration => {
                    let (a, b) = (twin.segment.duration, fact.segment.duration);
                    let message = format!("segment {number} lasts {b} ticks, that of {} lasts {a}", first.url);
                    watch.findings.error("CHECK-3b", &fact.url, message);
                }
                Some(_) => {}
            }
        }
    }
}

/// What a variant says of its renditions: 1.28 (size, frame rate), 1.29, CHECK-1f.
fn variant(
    watch: &mut Watch<'_>,
    url: &str,
    list: &Multivariant,
    attributes: &Attributes,
    uri: &str,
    renditions: &[Rendition],
) {
    let by_url = |uri: &str| renditions.iter().find(|r| r.url == resolve(url, uri));
    let Some(main) = by_url(uri) else { return };
    let audio_group = attributes.get("AUDIO");
    let audio: Vec<&Rendition> = list
        .media
        .iter()
        .filter(|m| m.get("TYPE") == Some("AUDIO") && audio_group.is_some() && m.get("GROUP-ID") == audio_group)
        .filter_map(|m| by_url(m.get("URI")?))
        .collect();
    codecs(watch, url, attributes, uri, main, &audio);
    if has_video(attributes)
        && let Some(header) = main.header()
    {
        let size = format!("{}x{}", header.size.0, header.size.1);
        if attributes.get("RESOLUTION").is_some_and(|r| r != size) {
            let said = attributes.get("RESOLUTION").unwrap_or_default();
            watch.findings.error("1.28", url, format!("variant {uri}: RESOLUTION={said}, the header has {size}"));
        }
        let ticks: Vec<u32> = main.facts.values().flat_map(|f| f.segment.sample_durations.clone()).collect();
        if let (Some(said), Some(least), Some(most)) =
            (attributes.get("FRAME-RATE").and_then(|r| r.parse::<f64>().ok()), ticks.iter().min(), ticks.iter().max())
            && least == most
        {
            let real = f64::from(header.timescale) / f64::from(*least);
            if (real - said).abs() > 0.01 {
                watch.findings.error(
                    "1.28",
                    url,
                    format!("variant {uri}: FRAME-RATE={said}, the samples have {real:.3}"),
                );
            }
        }
    }
    rates(watch, url, attributes, uri, main, &audio);
}

fn codecs(
    watch: &mut Watch<'_>,
    url: &str,
    attributes: &Attributes,
    uri: &str,
    main: &Rendition,
    audio: &[&Rendition],
) {
    let listed: Vec<String> =
        attributes.get("CODECS").unwrap_or_default().split(',').map(|c| c.trim().to_ascii_lowercase()).collect();
    for rendition in audio.iter().copied().chain([main]) {
        if let Some(header) = rendition.header()
            && !listed.contains(&header.codec.to_ascii_lowercase())
        {
            let message = format!("variant {uri}: CODECS lacks {} of {}", header.codec, rendition.url);
            watch.findings.error("1.29", url, message);
        }
    }
}

/// CHECK-1f with Apple's tolerances: peak below 125 % of BANDWIDTH, average below 110 % of AVERAGE-BANDWIDTH.
fn rates(watch: &mut Watch<'_>, url: &str, attributes: &Attributes, uri: &str, main: &Rendition, audio: &[&Rendition]) {
    let target = main.media().and_then(|m| m.target_duration).unwrap_or(1);
    let target = i64::try_from(target).unwrap_or(1).saturating_mul(NANOS_PER_SECOND);
    let most = |rates: Vec<Option<u64>>| rates.into_iter().flatten().max().unwrap_or(0);
    let loudest = most(audio.iter().map(|a| peak_rate(a, target)).collect());
    let peak = peak_rate(main, target).unwrap_or(0).saturating_add(loudest);
    if let Some(said) = attributes.integer("BANDWIDTH")
        && peak.saturating_mul(100) > said.saturating_mul(125)
    {
        let message = format!("variant {uri}: the peak is {peak} bit/s, more than 125 % of BANDWIDTH={said}");
        watch.findings.error("CHECK-1f", url, message);
    }
    let Some(video_average) = average_rate(main) else { return };
    let average = video_average.saturating_add(most(audio.iter().map(|a| average_rate(a)).collect()));
    if let Some(said) = attributes.integer("AVERAGE-BANDWIDTH")
        && average.saturating_mul(100) > said.saturating_mul(110)
    {
        let message = format!("variant {uri}: the average is {average} bit/s, more than 110 % of {said}");
        watch.findings.error("CHECK-1f", url, message);
    }
}

fn bits_per_second(bytes: u64, nanos: i64) -> u64 {
    let nanos = u128::try_from(nanos.max(1)).unwrap_or(1);
    u64::try_from(u128::from(bytes) * 8 * u128::from(NANOS_PER_SECOND.unsigned_abs()) / nanos).unwrap_or(u64::MAX)
}

/// The highest rate of any contiguous run that lasts 0.5 to 1.5 target durations plus half a second (1.27).
fn peak_rate(rendition: &Rendition, target: i64) -> Option<u64> {
    let (least, most) = (target / 2, target.saturating_add(target / 2).saturating_add(NANOS_PER_SECOND / 2));
    let facts: Vec<(&u64, &Fact)> = rendition.facts.iter().collect();
    let mut peak = None;
    for from in 0..facts.len() {
        let (mut bytes, mut nanos) = (0, 0);
        for (offset, (number, fact)) in facts.iter().skip(from).enumerate() {
            if facts.get(from).is_none_or(|(first, _)| **number != first.saturating_add(offset as u64)) {
                break;
            }
            bytes += fact.size;
            nanos = real_duration(rendition, fact).saturating_add(nanos);
            if nanos > most {
                break;
            }
            if nanos >= least {
                peak = peak.max(Some(bits_per_second(bytes, nanos)));
            }
        }
    }
    peak
}

fn average_rate(rendition: &Rendition) -> Option<u64> {
    let nanos: i64 = rendition.facts.values().map(|f| real_duration(rendition, f)).fold(0, i64::saturating_add);
    let bytes: u64 = rendition.facts.values().map(|f| f.size).sum();
    (nanos >= AVERAGE_AFTER).then(|| bits_per_second(bytes, nanos))
}

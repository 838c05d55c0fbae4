//! The multivariant playlist (STANDARDS 1C): the renditions of the newest period.

use std::fmt::{self, Write};

use millstream_media::track::{Track, TrackMedia};
use millstream_window::{PeriodTrack, Rates, Window};

/// The first variant is where players without a measurement begin; Apple wants one of about this many bit/s.
const FIRST_VARIANT_BITS: u64 = 2_500_000;

/// The multivariant playlist. `None` without a session or before its first period.
///
/// `BANDWIDTH` is the measured peak over the listed segments, but never less than the tracks' nominal bit rates, so that
/// a dark or silent start does not look cheap; `AVERAGE-BANDWIDTH` likewise with the measured average
/// (STANDARDS 1.27, 1.28). The variant nearest below 2.5 Mbit/s comes first, the others in the ladder's order.
pub fn multivariant(window: &Window) -> Option<String> {
    let period = window.current_period().filter(|_| is_offered(window))?;
    let (video, audio): (Vec<_>, Vec<_>) = period.tracks().iter().partition(|t| t.track.is_video());
    // No feature here needs an EXT-X-VERSION above 1, which is what its absence says (STANDARDS 1.4).
    let mut out = String::from("#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    session_keys(&mut out, period.tracks());
    if video.is_empty() {
        for track in audio {
            variant(&mut out, window, track, &[], "");
        }
        return Some(out);
    }
    for (i, track) in audio.iter().enumerate() {
        audio_rendition(&mut out, &track.track, i == 0);
    }
    // On all variants, or on none where all are SDR (STANDARDS 1.28).
    let ranges: Vec<_> = video.iter().map(|t| video_range(&t.track)).collect();
    let says = ranges.iter().any(|r| *r != "SDR");
    let range_of = |track: &Track| if says { format!(",VIDEO-RANGE={}", video_range(track)) } else { String::new() };
    for track in in_order(window, &video) {
        variant(&mut out, window, track, &audio, &range_of(&track.track));
    }
    for track in video {
        iframe_variant(&mut out, window, track, &range_of(&track.track));
    }
    Some(out)
}

/// Whether the newest period can be offered in HLS: not where it is encrypted in a way that HLS players do not take
/// (STANDARDS 1.51).
pub fn is_offered(window: &Window) -> bool {
    let tracks = window.current_period().map_or(&[][..], |period| period.tracks());
    !tracks.iter().filter_map(|t| t.protection.as_ref()).any(|protection| protection.hls.is_empty())
}

/// The keys of all tracks, so that a player can ask for them before it has a media playlist (STANDARDS 1.51).
fn session_keys(out: &mut String, tracks: &[PeriodTrack]) {
    let mut told: Vec<&String> = Vec::new();
    for key in tracks.iter().filter_map(|t| t.protection.as_ref()).flat_map(|p| &p.hls_session) {
        if !told.contains(&key) {
            let _ = writeln!(out, "#EXT-X-SESSION-KEY:{key}");
            told.push(key);
        }
    }
}

fn in_order<'a>(window: &Window, tracks: &[&'a PeriodTrack]) -> Vec<&'a PeriodTrack> {
    let mut ordered = tracks.to_vec();
    let rate = |t: &PeriodTrack| bandwidth(window, &t.track).0;
    let below = |(_, t): &(usize, &&PeriodTrack)| rate(t) <= FIRST_VARIANT_BITS;
    let first = tracks.iter().enumerate().filter(below).max_by_key(|(_, t)| rate(t));
    if let Some((i, _)) = first.or_else(|| tracks.iter().enumerate().min_by_key(|(_, t)| rate(t))) {
        let first = ordered.remove(i);
        ordered.insert(0, first);
    }
    ordered
}

fn audio_rendition(out: &mut String, track: &Track, default: bool) {
    let TrackMedia::Audio { config } = &track.media else { return };
    let (name, channels) = (&track.name, config.channels());
    let default = if default { "YES" } else { "NO" };
    let _ = writeln!(
        out,
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{name}\",LANGUAGE=\"und\",DEFAULT={default},AUTOSELECT=YES,\
         CHANNELS=\"{channels}\",URI=\"{name}/index.m3u8\""
    );
}

/// A variant: one track, and the audio group it plays with. Its rates are those with the dearest audio rendition.
fn variant(out: &mut String, window: &Window, track: &PeriodTrack, audio: &[&PeriodTrack], range: &str) {
    let dearest = |f: fn((u64, u64)) -> u64| audio.iter().map(|t| f(bandwidth(window, &t.track))).max().unwrap_or(0);
    let (peak, average) = bandwidth(window, &track.track);
    let (peak, average) = (peak + dearest(|r| r.0), average + dearest(|r| r.1));
    let tracks = std::iter::once(track).chain(audio.iter().copied());
    let _ = write!(out, "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}{}", Codecs::of(tracks));
    if let TrackMedia::Video { width, height, frame_rate, .. } = &track.track.media {
        let _ = write!(out, ",RESOLUTION={width}x{height}");
        if let Some(rate) = frame_rate {
            let _ = write!(out, ",FRAME-RATE={:.3}", rate.as_f64());
        }
        out.push_str(range);
        if !audio.is_empty() {
            out.push_str(",AUDIO=\"audio\"");
        }
        out.push_str(",CLOSED-CAPTIONS=NONE");
    }
    let _ = writeln!(out, "\n{}/index.m3u8", track.track.name);
}

fn iframe_variant(out: &mut String, window: &Window, track: &PeriodTrack, range: &str) {
    let TrackMedia::Video { width, height, .. } = &track.track.media else { return };
    let (name, nominal) = (&track.track.name, u64::from(track.track.bit_rate).max(1));
    let Rates { iframe_peak, iframe_average, .. } =
        window.rates(name).unwrap_or(Rates { iframe_peak: nominal, iframe_average: nominal, ..Rates::default() });
    let _ = writeln!(
        out,
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={}{},RESOLUTION={width}x{height}{range},\
         URI=\"{name}/iframes.m3u8\"",
        iframe_peak.max(1),
        iframe_average.max(1),
        Codecs::of(std::iter::once(track)),
    );
}

/// By the transfer characteristics of ISO/IEC 23091-2: 16 is PQ, 18 is HLG.
fn video_range(track: &Track) -> &'static str {
    let TrackMedia::Video { config, .. } = &track.media else { return "SDR" };
    match config.picture_info().colour.map(|c| c.transfer) {
        Some(16) => "PQ",
        Some(18) => "HLG",
        _ => "SDR",
    }
}

/// Peak and average in bit/s.
fn bandwidth(window: &Window, track: &Track) -> (u64, u64) {
    let nominal = u64::from(track.bit_rate).max(1);
    let measured = window.rates(&track.name).unwrap_or_default();
    (measured.peak.max(nominal), measured.average.max(nominal))
}

/// The `CODECS` attribute: every format once, video first (STANDARDS 1.29). Nothing if a codec has no string.
struct Codecs(Vec<String>);

impl Codecs {
    fn of<'a>(tracks: impl Iterator<Item = &'a PeriodTrack>) -> Self {
        let mut all: Vec<String> = Vec::new();
        for codec in tracks.map(|t| t.track.codec_string()) {
            if !codec.is_empty() && !all.contains(&codec) {
                all.push(codec);
            }
        }
        Codecs(all)
    }
}

impl fmt::Display for Codecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ",CODECS=\"{}\"", self.0.join(",")) }
    }
}

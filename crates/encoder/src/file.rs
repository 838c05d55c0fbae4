//! A file that is imported: what it holds, or why it cannot be.

pub mod outline;
pub mod timeline;

use std::fs::File;
use std::os::unix::fs::FileExt;

use millstream_encode_wire::message::{FileAudio, FileFacts, FileVideo};

use crate::libav::{Demuxer, Kind, Stream, codec_of};

/// Containers that are lists of other files, which an import does not open.
const LISTS: [&str; 5] = ["hls", "concat", "dash", "sdp", "rtsp"];
/// Sound that begins before the picture by less than this is cut, so that the picture begins on the grid, in nanoseconds.
const EARLY_SOUND: i64 = 100_000_000;
/// The length of a picture where the file says no rate, in nanoseconds.
const UNKNOWN_PICTURE: i64 = 40_000_000;

/// An open file and what is taken of it.
pub struct Opened {
    /// For reading on.
    pub demuxer: Demuxer,
    /// The video track.
    pub video: Option<Stream>,
    /// The audio track.
    pub audio: Option<Stream>,
    /// The file's own time that is zero of media time, in nanoseconds.
    pub origin: i64,
    /// For the server.
    pub facts: FileFacts,
}

/// Opens a file.
///
/// # Errors
/// Why it cannot be imported: cause and mend.
pub fn open(file: File) -> Result<Opened, String> {
    let size = file.metadata().map(|m| m.len()).unwrap_or(0);
    if size == 0 {
        return Err("the file is empty; choose one with media in it".to_owned());
    }
    let look = file.try_clone().map_err(|e| format!("the file cannot be read: {e}"))?;
    let read_at = |at: u64, into: &mut [u8]| look.read_at(into, at).unwrap_or(0);
    let mut demuxer = match Demuxer::open(file) {
        Ok(demuxer) => demuxer,
        Err(error) => {
            let known = outline::fault(size, read_at);
            return Err(known.unwrap_or_else(|| {
                format!("the file is no media that this FFmpeg reads, or its beginning is damaged ({error}); check that it plays")
            }));
        }
    };
    let container = demuxer.container();
    if container.split(',').any(|name| LISTS.contains(&name)) {
        return Err(format!("the file is a list of other files ({container}); import a media file"));
    }
    let found = demuxer.best(Kind::Video);
    let video = found.clone().filter(|v| !v.is_still);
    let audio = demuxer.best(Kind::Audio);
    if video.is_none() && audio.is_none() {
        let still = if found.is_some() { " but a still picture" } else { "" };
        return Err(format!("the file ({container}) has no video and no audio{still}; choose one that has"));
    }
    let mut notes = Vec::new();
    for (what, stream) in [("video", &video), ("audio", &audio)] {
        let Some(stream) = stream else { continue };
        if stream.is_encrypted {
            return Err(format!(
                "the file's {what} is encrypted (DRM); import the original, or a copy without protection"
            ));
        }
        if !stream.is_decodable {
            let name = codec_of(&stream.codec).unwrap_or_else(|| stream.codec.clone());
            return Err(format!(
                "the file's {what} is {name}, for which this FFmpeg has no decoder; convert it to H.264 and AAC first"
            ));
        }
    }
    if video.as_ref().is_some_and(|v| v.is_hdr) {
        notes.push("the picture is HDR and is shown as SDR without tone mapping: its colours look pale".to_owned());
    }
    notes.extend(left_out(&demuxer, video.is_some(), audio.is_some()));
    let taken: Vec<i32> = [&video, &audio].into_iter().flatten().map(|s| s.index).collect();
    demuxer.take_only(&taken);
    let origin = origin(video.as_ref(), audio.as_ref());
    // Matroska and MP4 count their length from zero, wherever the first unit lies.
    let from_zero = ["matroska", "mov"].iter().any(|name| container.contains(name));
    let before = if from_zero { origin.max(0) } else { 0 };
    let facts = FileFacts {
        container,
        duration: demuxer.duration().and_then(|d| u64::try_from(d - before).ok()).filter(|d| *d > 0),
        video: video.as_ref().map(video_facts),
        audio: audio.as_ref().map(|a| FileAudio {
            codec: a.codec.clone(),
            sample_rate: a.sample_rate,
            channels: a.channels,
        }),
        notes,
    };
    Ok(Opened { demuxer, video, audio, origin, facts })
}

impl Opened {
    /// The length of a picture in nanoseconds.
    pub fn picture_nanos(&self) -> i64 {
        self.video.as_ref().map_or(UNKNOWN_PICTURE, picture_nanos)
    }
}

fn picture_nanos(video: &Stream) -> i64 {
    let rate = video.mean_rate.or(video.grid_rate).filter(|(num, _)| *num > 0);
    rate.map_or(UNKNOWN_PICTURE, |(num, den)| (i64::from(den) * 1_000_000_000 / i64::from(num)).max(1_000_000))
}

/// Tracks beside those that are taken.
fn left_out(demuxer: &Demuxer, video: bool, audio: bool) -> Vec<String> {
    let (videos, audios) = (demuxer.count(Kind::Video), demuxer.count(Kind::Audio));
    let others = demuxer.streams().saturating_sub(videos + audios);
    [
        (videos.saturating_sub(video.into()), "video"),
        (audios.saturating_sub(audio.into()), "audio"),
        (others, "subtitle or data"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what} track{} left out", if count == 1 { " is" } else { "s are" }))
    .collect()
}

fn video_facts(video: &Stream) -> FileVideo {
    let (num, den) = video.pixel_aspect;
    let (width, height, pixel_aspect) = if video.quarter_turns % 2 == 1 {
        (video.height, video.width, (den, num))
    } else {
        (video.width, video.height, (num, den))
    };
    let (mean_rate, grid_rate) = (video.mean_rate, video.grid_rate);
    FileVideo { codec: video.codec.clone(), width, height, pixel_aspect, mean_rate, grid_rate }
}

/// The zero of media time: the first picture, or as many whole pictures earlier as sound comes before it.
fn origin(video: Option<&Stream>, audio: Option<&Stream>) -> i64 {
    let sound = audio.and_then(|a| a.start);
    let Some(video) = video else { return sound.unwrap_or(0) };
    let Some(picture) = video.start else { return sound.unwrap_or(0) };
    let early = sound.map_or(0, |s| picture.saturating_sub(s));
    if early < EARLY_SOUND {
        return picture;
    }
    let length = picture_nanos(video);
    picture.saturating_sub((early + length - 1) / length * length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(start: i64, rate: (u32, u32)) -> Stream {
        Stream {
            index: 0,
            codec: "h264".into(),
            is_decodable: true,
            is_encrypted: false,
            is_still: false,
            start: Some(start),
            width: 1920,
            height: 1080,
            pixel_aspect: (4, 3),
            quarter_turns: 0,
            mean_rate: Some(rate),
            grid_rate: Some(rate),
            is_hdr: false,
            sample_rate: 0,
            channels: 0,
        }
    }

    #[test]
    fn the_first_picture_lies_on_the_grid_and_no_sound_before_it_is_lost() {
        let ms = 1_000_000;
        let video = stream(500 * ms, (25, 1));
        for (sound, expected) in [(None, 500), (Some(500), 500), (Some(450), 500), (Some(600), 500), (Some(0), -20)] {
            let audio = sound.map(|s: i64| stream(s * ms, (1, 1)));
            let got = origin(Some(&video), audio.as_ref());
            assert_eq!(got, if sound == Some(0) { -20 * ms } else { expected * ms }, "{sound:?}");
        }
        assert_eq!(origin(None, Some(&stream(7, (1, 1)))), 7);
    }

    #[test]
    fn a_turned_picture_is_as_it_is_shown() {
        let facts = video_facts(&Stream { quarter_turns: 3, ..stream(0, (30, 1)) });
        assert_eq!((facts.width, facts.height, facts.pixel_aspect), (1080, 1920, (3, 4)));
    }
}

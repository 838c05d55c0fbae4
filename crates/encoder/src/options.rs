//! How a rendition of the ladder becomes an encoder's settings. Pure.
//!
//! For all encoders: constant size and rate, closed GOPs of one segment, key frames where they are forced, no B-frames,
//! VBV with a maximum of 1.1 times the bit rate and a buffer of one second, parameter sets outside the stream. For
//! libx264 the whole delay is [`X264_LOOKAHEAD`] frames plus one for each thread beyond the first.

use millstream_encode_wire::message::{VideoCodec, VideoRendition};
use millstream_media::grid::SegmentGrid;

use crate::libav::VideoEncoderSetup;

/// Frames libx264 and libx265 look ahead for rate control. Without scene cuts and B-frames a few of them gain nothing that
/// shows (structural similarity of 720p30 at 2.5 Mb/s, veryfast, equal within 0.001 for 0, 2 and 4), and each is a frame
/// of delay.
pub const X264_LOOKAHEAD: u32 = 0;

/// Macroblocks per second that one encoder thread is given. A fixed number, not the machine's cores: with the same
/// number of threads libx264 makes the same bytes everywhere.
const MACROBLOCKS_PER_THREAD: u64 = 150_000;

/// Most threads for one encoder.
const MAX_THREADS: u64 = 8;

/// The settings of a rendition, or what is wrong with it (cause and mend).
pub fn setup(rendition: &VideoRendition, grid: SegmentGrid) -> Result<VideoEncoderSetup, String> {
    let name = &rendition.name;
    let threads = threads(rendition, grid);
    let encoder = rendition.encoder.as_str();
    if family(encoder) != Some(rendition.codec) {
        return Err(format!(
            "rendition {name}: {encoder:?} is not known as an encoder for {:?}; use one of {}",
            rendition.codec,
            known(rendition.codec)
        ));
    }
    if !rendition.width.is_multiple_of(2) || !rendition.height.is_multiple_of(2) {
        return Err(format!("rendition {name}: width and height must be even"));
    }
    let preset = rendition.preset.clone();
    let options: Vec<(&'static str, String)> = match encoder {
        "libx264" => {
            let x264 = format!(
                "scenecut=0:rc-lookahead={X264_LOOKAHEAD}:sync-lookahead=0:sliced-threads=0:bframes=0:\
                 open-gop=0:force-cfr=1:nal-hrd=none:aud=0:repeat-headers=0"
            );
            vec![("preset", preset), ("forced-idr", "1".into()), ("a53cc", "0".into()), ("x264-params", x264)]
        }
        "libx265" => {
            let x265 = format!(
                "keyint=-1:min-keyint=1:scenecut=0:rc-lookahead={X264_LOOKAHEAD}:bframes=0:open-gop=0:aud=0:\
                 repeat-headers=0:info=0:hrd=0:frame-threads=1:pools={threads}:log-level=none"
            );
            vec![("preset", preset), ("forced-idr", "1".into()), ("x265-params", x265)]
        }
        "libsvtav1" => {
            let svt = format!("pred-struct=1:rc=2:scd=0:enable-overlays=0:lp={threads}");
            vec![("preset", preset), ("svtav1-params", svt)]
        }
        "h264_nvenc" | "hevc_nvenc" | "av1_nvenc" => vec![
            ("preset", preset),
            ("forced-idr", "1".into()),
            ("no-scenecut", "1".into()),
            ("rc", "vbr".into()),
            ("zerolatency", "1".into()),
            ("delay", "0".into()),
        ],
        "h264_qsv" | "hevc_qsv" | "av1_qsv" => {
            vec![("preset", preset), ("forced_idr", "1".into()), ("async_depth", "1".into())]
        }
        _ => {
            return Err(format!(
                "rendition {name}: {encoder} needs pictures in graphics memory, which this version does not make; use \
                 one of {}",
                known(rendition.codec)
            ));
        }
    };
    Ok(VideoEncoderSetup {
        encoder: encoder.to_owned(),
        width: rendition.width,
        height: rendition.height,
        rate: (grid.rate().num(), grid.rate().den()),
        bit_rate: rendition.bit_rate,
        max_rate: (u64::from(rendition.bit_rate) * 11 / 10).min(u64::from(u32::MAX)) as u32,
        buffer: rendition.bit_rate,
        gop: grid.frames_per_segment(),
        threads,
        options,
    })
}

/// Whether the encoder makes a key frame where it is told to. One that does not counts its GOPs from its first frame,
/// and is therefore started anew at the first boundary.
pub fn forces_keys(encoder: &str) -> bool {
    encoder != "libsvtav1"
}

/// What the encoder makes.
fn family(encoder: &str) -> Option<VideoCodec> {
    match encoder {
        "libx264" | "h264_nvenc" | "h264_qsv" | "h264_vaapi" => Some(VideoCodec::H264),
        "libx265" | "hevc_nvenc" | "hevc_qsv" | "hevc_vaapi" => Some(VideoCodec::Hevc),
        "libsvtav1" | "av1_nvenc" | "av1_qsv" => Some(VideoCodec::Av1),
        _ => None,
    }
}

/// The encoders that can be used for a codec.
pub fn known(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "libx264, h264_nvenc, h264_qsv",
        VideoCodec::Hevc => "libx265, hevc_nvenc, hevc_qsv",
        VideoCodec::Av1 => "libsvtav1, av1_nvenc, av1_qsv",
    }
}

/// Threads by the work there is: 1 up to 720p30, 2 for 1080p30, 4 for 1080p60, 7 for 2160p30.
fn threads(rendition: &VideoRendition, grid: SegmentGrid) -> u32 {
    let blocks = u64::from(rendition.width.div_ceil(16)) * u64::from(rendition.height.div_ceil(16));
    let per_second = blocks * u64::from(grid.rate().num()) / u64::from(grid.rate().den());
    per_second.div_ceil(MACROBLOCKS_PER_THREAD).clamp(1, MAX_THREADS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_media::grid::FrameRate;
    use millstream_media::track::RenditionName;

    fn rendition(encoder: &str, codec: VideoCodec, width: u32, height: u32) -> VideoRendition {
        VideoRendition {
            name: RenditionName::new("r").unwrap(),
            codec,
            encoder: encoder.into(),
            width,
            height,
            bit_rate: 3_000_000,
            preset: "veryfast".into(),
        }
    }

    fn grid(fps: u32) -> SegmentGrid {
        SegmentGrid::with_segment_millis(FrameRate::new(fps, 1).unwrap(), 2000)
    }

    #[test]
    fn threads_follow_the_work_not_the_machine() {
        for (width, height, fps, expected) in
            [(1280, 720, 30, 1), (1920, 1080, 30, 2), (1920, 1080, 60, 4), (3840, 2160, 30, 7), (3840, 2160, 60, 8)]
        {
            let got = setup(&rendition("libx264", VideoCodec::H264, width, height), grid(fps)).unwrap();
            assert_eq!(got.threads, expected, "{height}p{fps}");
        }
    }

    #[test]
    fn the_buffer_holds_one_second_and_the_maximum_is_a_tenth_above() {
        let got = setup(&rendition("libx264", VideoCodec::H264, 1280, 720), grid(30)).unwrap();
        assert_eq!((got.bit_rate, got.max_rate, got.buffer, got.gop), (3_000_000, 3_300_000, 3_000_000, 60));
    }

    #[test]
    fn an_encoder_of_another_codec_or_unknown_is_refused_with_the_mend() {
        for (encoder, codec) in
            [("libx265", VideoCodec::H264), ("nonsense", VideoCodec::Hevc), ("h264_vaapi", VideoCodec::H264)]
        {
            let error = setup(&rendition(encoder, codec, 640, 360), grid(30)).unwrap_err();
            assert!(error.contains("use one of"), "{error}");
        }
    }
}

//! CPU of the worker against the `ffmpeg` command with the same x264 settings, as ratios of interleaved runs.
//!
//! `cargo build --release -p millstream-encoder && cargo run --release -p millstream-encoder --example ladder_cpu [RUNS]`
//!
//! 720p30 in, 720p + 480p + 360p veryfast and one AAC out, 20 s of media. The command is run twice: scaled as anybody
//! would write it (each rendition from the source, bicubic), and in the worker's own way (cascaded, bilinear).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement")]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/harness/contribution.rs"]
mod contribution;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use bytes::{Bytes, BytesMut};
use millstream_encode_wire::frame;
use millstream_encode_wire::message::{AudioRendition, Ladder, ToWorker, VideoCodec, VideoRendition};
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::RenditionName;

/// When the contribution begins.
pub const T0: UtcTime = UtcTime(1_795_365_013_337_000_000);
const SECONDS: u32 = 20;
const RENDITIONS: [(&str, u32, u32, u32); 3] =
    [("720p", 1280, 720, 3_000_000), ("480p", 854, 480, 1_400_000), ("360p", 640, 360, 800_000)];

/// The `ffmpeg` command's output.
pub fn ffmpeg_with(arguments: &[&str], _input: &[u8]) -> Vec<u8> {
    Command::new("ffmpeg").args(["-nostdin", "-loglevel", "error"]).args(arguments).output().unwrap().stdout
}

fn main() {
    let runs: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(3);
    let directory = std::env::temp_dir().join(format!("ladder-cpu-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("in.flv");
    // A picture with detail and noise, as cameras give.
    let picture = format!("testsrc2=size=1280x720:rate=30:duration={SECONDS},noise=alls=12:allf=t");
    let tone = contribution::tone(48_000, f64::from(SECONDS));
    let sources = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone];
    let codecs =
        "-c:v libx264 -preset veryfast -b:v 6M -maxrate 6M -bufsize 6M -g 60 -bf 2 -pix_fmt yuv420p -c:a aac -f flv -";
    let arguments: Vec<&str> = sources.into_iter().chain(codecs.split(' ')).collect();
    let media = ffmpeg_with(&arguments, &[]);
    std::fs::write(&file, &media).unwrap();
    let messages = contribution::read_flv(&media);
    let input = file.to_str().unwrap();
    let (mut ours, mut plain, mut cascaded) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        ours.push(cpu_of(|| worker(&messages)));
        plain.push(cpu_of(|| command(input, "[0:v]split=3[a][b0][c0];[b0]scale=854:480[b];[c0]scale=640:360[c]")));
        let chain =
            "[0:v]split=2[a][b0];[b0]scale=854:480:flags=bilinear,split=2[b][c0];[c0]scale=640:360:flags=bilinear[c]";
        cascaded.push(cpu_of(|| command(input, chain)));
    }
    std::fs::remove_dir_all(&directory).unwrap();
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let per_second = |v: &[f64]| mean(v) / f64::from(SECONDS);
    println!("CPU seconds per media second (mean of {runs}):");
    println!("  worker                     {:.3}  {ours:.2?}", per_second(&ours));
    println!("  ffmpeg, plain filters      {:.3}  {plain:.2?}", per_second(&plain));
    println!("  ffmpeg, cascaded bilinear  {:.3}  {cascaded:.2?}", per_second(&cascaded));
    println!("ratio to plain {:.3}, to cascaded {:.3}", mean(&ours) / mean(&plain), mean(&ours) / mean(&cascaded));
}

/// CPU seconds of the children that `run` waits for.
fn cpu_of(run: impl FnOnce()) -> f64 {
    let children = || {
        // SAFETY: the call fills a plain structure, for which all zero is a value.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
            usage
        };
        let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
        seconds(usage.ru_utime) + seconds(usage.ru_stime)
    };
    let before = children();
    run();
    children() - before
}

fn command(input: &str, filters: &str) {
    let mut arguments =
        vec!["-nostdin", "-loglevel", "error", "-threads", "1", "-i", input, "-filter_complex", filters];
    let mut rates = Vec::new();
    for (_, _, _, rate) in RENDITIONS {
        rates.push((rate.to_string(), (rate / 10 * 11).to_string()));
    }
    let x264 = "scenecut=0:rc-lookahead=0:sync-lookahead=0:sliced-threads=0:bframes=0:open-gop=0:force-cfr=1";
    for (label, (rate, most)) in ["[a]", "[b]", "[c]"].into_iter().zip(&rates) {
        arguments.extend(["-map", label, "-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-g", "60"]);
        arguments.extend(["-forced-idr", "1", "-b:v", rate, "-maxrate", most, "-bufsize", rate, "-x264-params", x264]);
        arguments.extend(["-f", "h264", "-y", "/dev/null"]);
    }
    arguments.extend(["-map", "0:a", "-c:a", "aac", "-b:a", "128k", "-f", "adts", "-y", "/dev/null"]);
    assert!(Command::new("ffmpeg").args(&arguments).status().unwrap().success());
}

fn worker(messages: &[contribution::Message]) {
    let program = std::env::current_exe().unwrap().parent().unwrap().with_file_name("millstream-encoder");
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(program).stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
    let grid = SegmentGrid::with_segment_millis(FrameRate::new(30, 1).unwrap(), 2000);
    let video = RENDITIONS.map(|(name, width, height, bit_rate)| VideoRendition {
        name: RenditionName::new(name).unwrap(),
        codec: VideoCodec::H264,
        encoder: "libx264".into(),
        width,
        height,
        bit_rate,
        preset: "veryfast".into(),
    });
    let audio = AudioRendition { name: RenditionName::new("audio").unwrap(), bit_rate: 128_000, channels: 2 };
    let first_frame = grid.nearest_frame(T0);
    let start = ToWorker::Start {
        version: millstream_encode_wire::VERSION,
        grid,
        ladder: Ladder { video: video.to_vec(), audio: Some(audio) },
        first_frame,
        first_audio: grid.frame_time(first_frame).to_ticks(Timescale::AUDIO_48K).div_ceil(1024) * 1024,
        resume: Vec::new(),
        slate_text: String::new(),
    };
    let mut wire = BytesMut::new();
    let all = std::iter::once((start, Bytes::new())).chain(messages.iter().cloned());
    for (message, payload) in all.chain([(ToWorker::Finish, Bytes::new())]) {
        frame::encode(&message, &payload, &mut wire).unwrap();
    }
    let mut writing = ours.try_clone().unwrap();
    let writer = std::thread::spawn(move || writing.write_all(&wire).unwrap());
    let mut received = Vec::new();
    ours.read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success() && received.len() > 1_000_000, "{} bytes", received.len());
}

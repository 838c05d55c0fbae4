//! What ffprobe and ffmpeg make of init and segments: an independent demuxer and decoder.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

/// One packet as ffprobe sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// Presentation time, in ticks of the stream's time base.
    pub pts: i64,
    /// Decode time.
    pub dts: i64,
    /// Duration.
    pub duration: i64,
    /// A key frame.
    pub key: bool,
}

/// The packets of a file, and the first stream's properties.
pub fn packets(file: &[u8]) -> (Vec<Packet>, Value) {
    let out = run("ffprobe", &["-v", "error", "-show_packets", "-show_streams", "-of", "json", "-i", "pipe:0"], file);
    assert!(out.1.is_empty(), "ffprobe complains: {}", out.1);
    let parsed: Value = serde_json::from_slice(&out.0).unwrap();
    let number = |p: &Value, name: &str| p[name].as_i64().unwrap_or(i64::MIN);
    // The demuxer of ffmpeg 5.1 gives no duration for the last packet of some chunks.
    let all = parsed["packets"].as_array().into_iter().flatten();
    let known = all.filter_map(|p| p["duration"].as_i64()).min().unwrap_or(0);
    let list = parsed["packets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| Packet {
            pts: number(p, "pts"),
            dts: number(p, "dts"),
            duration: p["duration"].as_i64().unwrap_or(known),
            key: p["flags"].as_str().is_some_and(|f| f.starts_with('K')),
        })
        .collect();
    (list, parsed["streams"][0].clone())
}

/// Decodes a file to the end and gives the number of frames that came out.
///
/// # Panics
/// If the decoder says anything.
pub fn decoded_frames(file: &[u8]) -> usize {
    let (out, complaints) = run(
        "ffmpeg",
        &["-nostdin", "-v", "warning", "-xerror", "-i", "pipe:0", "-fps_mode", "passthrough", "-f", "framecrc", "-"],
        file,
    );
    assert!(complaints.is_empty(), "ffmpeg complains: {complaints}");
    String::from_utf8_lossy(&out).lines().filter(|l| !l.starts_with('#')).count()
}

/// Frames of the first video track that ffmpeg decrypts with this key and decodes. It reads from a pipe: of a file that it
/// can seek in, ffmpeg 5.1 reads all fragments first and then takes the subsamples of the last one for all.
///
/// # Panics
/// If it says anything.
pub fn decrypted_frames(file: &[u8], key: &str) -> usize {
    let before = ["-nostdin", "-v", "error", "-xerror", "-decryption_key", key, "-i", "pipe:0", "-map", "0:v:0"];
    let after = ["-fps_mode", "passthrough", "-f", "framecrc", "-"];
    let (out, complaints) = run("ffmpeg", &[&before[..], &after].concat(), file);
    assert!(complaints.is_empty(), "ffmpeg complains: {complaints}");
    String::from_utf8_lossy(&out).lines().filter(|l| !l.starts_with('#')).count()
}

/// Pictures of a file, scaled to one grey value each: to see what is shown without comparing pixels.
pub fn brightness(file: &[u8]) -> Vec<u8> {
    let filter = ["-vf", "scale=1:1:flags=area,format=gray", "-f", "rawvideo", "-"];
    let mut arguments = vec!["-nostdin", "-v", "error", "-i", "pipe:0", "-fps_mode", "passthrough"];
    arguments.extend(filter);
    run("ffmpeg", &arguments, file).0
}

/// Pictures of a file as 64 by 36 grey pixels each: to see which picture is shown.
pub fn thumbnails(file: &[u8]) -> Vec<Vec<u8>> {
    let filter = ["-vf", "scale=64:36:flags=area,format=gray", "-f", "rawvideo", "-"];
    let mut arguments = vec!["-nostdin", "-v", "error", "-i", "pipe:0", "-fps_mode", "passthrough"];
    arguments.extend(filter);
    run("ffmpeg", &arguments, file).0.chunks_exact(64 * 36).map(<[u8]>::to_vec).collect()
}

/// Loudness of the audio of a file: the mean volume in dB.
pub fn mean_volume(file: &[u8]) -> f64 {
    let (_, text) =
        run("ffmpeg", &["-nostdin", "-v", "info", "-i", "pipe:0", "-af", "volumedetect", "-f", "null", "-"], file);
    let value = text.lines().find_map(|l| l.split("mean_volume: ").nth(1)?.split(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no volume in: {text}"))
}

/// Init and segments one after the other, as a player appends them.
pub fn concatenate(init: &[u8], segments: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = init.to_vec();
    for segment in segments {
        out.extend_from_slice(segment.as_ref());
    }
    out
}

/// Runs a program with input; gives standard output and standard error.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> (Vec<u8>, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}; run scripts/setup"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A thread feeds it, so that neither pipe can fill up and stop both. Its reader may end early.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    (out.stdout, String::from_utf8_lossy(&out.stderr).into_owned())
}

//! ffmpeg as a broadcaster: a moving picture and a tone over RTMP, in real time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process;
use crate::server::Server;
use crate::wait::within;

/// What is published.
#[derive(Clone, Debug)]
pub struct Source {
    /// Width and height in pixels; `None` for no video.
    pub size: Option<(u32, u32)>,
    /// Frames per second, as ffmpeg takes it.
    pub rate: String,
    /// Frames between two key frames.
    pub gop: u32,
    /// B-frames between two others.
    pub b_frames: u32,
    /// Video bit rate in kbit/s.
    pub kbps: u32,
    /// Samples per second and channels; `None` for no audio.
    pub audio: Option<(u32, u32)>,
    /// A filter on the picture, before it is encoded.
    pub filter: Option<String>,
    /// Pixel format, as ffmpeg names it.
    pub pixels: &'static str,
    /// Further options of the encoder.
    pub encoder: Vec<String>,
    /// Ends by itself after so many seconds.
    pub seconds: Option<f64>,
    /// Adds this to all timestamps, in seconds (a contribution that is stamped with UTC).
    pub timestamp_offset: Option<f64>,
    /// As fast as the encoder goes, not in real time.
    pub fast: bool,
}

impl Source {
    /// Small and cheap: 320x180 at 30 frames a second, a key frame each second, with a tone.
    pub fn small() -> Self {
        Source {
            size: Some((320, 180)),
            rate: "30".to_owned(),
            gop: 30,
            b_frames: 0,
            kbps: 300,
            audio: Some((48_000, 2)),
            filter: None,
            pixels: "yuv420p",
            encoder: Vec::new(),
            seconds: None,
            timestamp_offset: None,
            fast: false,
        }
    }

    /// What OBS sends: 1280x720 at 30 frames a second, 2 s between key frames, B-frames.
    pub fn hd() -> Self {
        Source { size: Some((1280, 720)), gop: 60, b_frames: 2, kbps: 2500, ..Source::small() }
    }

    /// The ffmpeg command line.
    pub fn arguments(&self, url: &str) -> Vec<String> {
        let mut out: Vec<String> = ["-nostdin", "-hide_banner", "-loglevel", "warning"].map(str::to_owned).into();
        let mut add = |arguments: &[&str]| out.extend(arguments.iter().map(|a| (*a).to_owned()));
        let pace: &[&str] = if self.fast { &[] } else { &["-re"] };
        if let Some((width, height)) = self.size {
            add(pace);
            add(&["-f", "lavfi", "-i", &format!("testsrc2=size={width}x{height}:rate={}", self.rate)]);
        }
        if let Some((samples, _)) = self.audio {
            add(pace);
            add(&["-f", "lavfi", "-i", &format!("sine=frequency=440:beep_factor=4:sample_rate={samples}")]);
        }
        if let Some(seconds) = self.seconds {
            add(&["-t", &seconds.to_string()]);
        }
        if self.size.is_some() {
            let filter = self.filter.as_deref().map_or(String::new(), |f| format!("{f},"));
            add(&["-vf", &format!("{filter}format={}", self.pixels), "-c:v", "libx264", "-preset", "ultrafast"]);
            let rate = format!("{}k", self.kbps);
            add(&["-b:v", &rate, "-maxrate", &rate, "-bufsize", &rate, "-sc_threshold", "0"]);
            add(&[
                "-g",
                &self.gop.to_string(),
                "-keyint_min",
                &self.gop.to_string(),
                "-bf",
                &self.b_frames.to_string(),
            ]);
            // Two threads at most: several of these run beside the program that is tested.
            add(&["-threads", "2"]);
            out.extend(self.encoder.iter().cloned());
        }
        let mut add = |arguments: &[&str]| out.extend(arguments.iter().map(|a| (*a).to_owned()));
        if let Some((samples, channels)) = self.audio {
            let (samples, channels) = (samples.to_string(), channels.to_string());
            add(&["-c:a", "aac", "-b:a", "96k", "-ar", &samples, "-ac", &channels]);
        }
        if let Some(offset) = self.timestamp_offset {
            add(&["-copyts", "-output_ts_offset", &format!("{offset:.3}")]);
        }
        add(&["-flush_packets", "1", "-f", "flv", "-flvflags", "no_duration_filesize", url]);
        out
    }
}

/// A running broadcaster. Ends with the test.
pub struct Publisher {
    child: Child,
    log: PathBuf,
}

impl Publisher {
    /// Starts publishing to a server under a key.
    pub fn start(server: &Server, key: &str, source: &Source) -> Self {
        Self::to(server, &server.publish_url(key), source)
    }

    /// Starts publishing to a URL.
    pub fn to(server: &Server, url: &str, source: &Source) -> Self {
        Self::run(server, &source.arguments(url))
    }

    /// Publishes a recording as it is, in real time, once.
    pub fn replay(server: &Server, key: &str, recording: &Path) -> Self {
        let path = recording.to_str().unwrap();
        let fixed = ["-nostdin", "-v", "warning", "-re", "-i", path, "-c", "copy", "-f", "flv"];
        let arguments: Vec<String> = fixed.into_iter().map(str::to_owned).chain([server.publish_url(key)]).collect();
        Self::run(server, &arguments)
    }

    /// Runs ffmpeg with any arguments.
    pub fn run(server: &Server, arguments: &[String]) -> Self {
        let log = tempfile::Builder::new()
            .prefix("publisher-")
            .suffix(".log")
            .tempfile_in(server.folder())
            .unwrap()
            .keep()
            .unwrap()
            .1;
        let file = File::options().append(true).open(&log).unwrap();
        let child = Command::new("ffmpeg")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("ffmpeg is not installed; run scripts/setup");
        Publisher { child, log }
    }

    /// What ffmpeg has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends as OBS does on "stop": FCUnpublish, deleteStream.
    pub fn stop(mut self) {
        process::signal(self.child.id(), "INT");
        within(Duration::from_secs(5), || self.child.try_wait().unwrap());
    }

    /// SIGKILL: the connection breaks without a word.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for it to end by itself. Gives whether it ended well.
    pub fn wait(&mut self, limit: Duration) -> bool {
        let status = within(limit, || self.child.try_wait().unwrap());
        let Some(status) = status else { panic!("ffmpeg did not end within {limit:?}:\n{}", self.log()) };
        status.success()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- a publisher's log ----\n{}", self.log());
        }
    }
}

/// Records sources of `seconds` each, one after the other in one FLV file with continuous time: a contribution whose
/// parameters change in the middle, with a new sequence header each time. `folder` takes the parts.
pub fn record(folder: &Path, file: &Path, sources: &[Source], seconds: f64) {
    let mut out = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let part = folder.join(format!("part{index}.flv"));
        let offset = index as f64 * seconds;
        let source = Source { seconds: Some(seconds), fast: true, timestamp_offset: Some(offset), ..source.clone() };
        let status = Command::new("ffmpeg").args(source.arguments(part.to_str().unwrap())).status().unwrap();
        assert!(status.success(), "ffmpeg could not record part {index}");
        let bytes = std::fs::read(part).unwrap();
        // The file's own header is 9 bytes, the first (empty) tag's size 4.
        out.extend_from_slice(if index == 0 { &bytes } else { &bytes[13..] });
    }
    std::fs::write(file, out).unwrap();
}

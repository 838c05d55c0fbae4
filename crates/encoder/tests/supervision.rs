//! The real worker under the real supervisor: killed and stopped in the middle, the output goes on without a gap.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod harness;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::contribution::{Message, usual};
use harness::{T0, grid, ladder};
use millstream_encode::process::{Connection, Launch, WorkerProcess};
use millstream_encode::{Encoder, EncoderEvent, EncoderHandle, supervisor};
use millstream_encode_wire::message::ToWorker;
use millstream_media::codec::{AacConfig, AudioConfig, AvcConfig, VideoConfig};
use millstream_media::time::{Clock, MonoTime, UtcTime};
use millstream_media::unit::{AccessUnit, Contribution, Sample};
use tokio::sync::mpsc::Receiver;

struct SystemClock(Instant);

impl Clock for SystemClock {
    fn utc(&self) -> UtcTime {
        T0
    }
    fn mono(&self) -> MonoTime {
        MonoTime(self.0.elapsed())
    }
}

/// Starts the real worker and remembers its process.
#[derive(Clone)]
struct Remembered(Arc<Mutex<Vec<u32>>>);

impl Launch for Remembered {
    fn launch(&mut self) -> std::io::Result<Connection> {
        let path = PathBuf::from(env!("CARGO_BIN_EXE_millstream-encoder"));
        let connection = WorkerProcess { path, memory_mib: 2048 }.launch()?;
        self.0.lock().unwrap().push(connection.process.as_ref().and_then(tokio::process::Child::id).unwrap());
        Ok(connection)
    }
}

impl Remembered {
    fn signal(&self, signal: i32) {
        let pid = *self.0.lock().unwrap().last().unwrap() as i32;
        // SAFETY: a signal to the process that this test started.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }
}

fn part((message, payload): Message) -> Contribution {
    let unit =
        |t: millstream_encode_wire::message::UnitTimes, data| AccessUnit { pts: t.pts, dts: t.dts, key: t.key, data };
    match message {
        ToWorker::VideoConfig { .. } => Contribution::VideoConfig(VideoConfig::Avc(AvcConfig::parse(payload).unwrap())),
        ToWorker::AudioConfig { .. } => Contribution::AudioConfig(AudioConfig::Aac(AacConfig::parse(payload).unwrap())),
        ToWorker::Video(times) => Contribution::Video(unit(times, payload)),
        ToWorker::Audio(times) => Contribution::Audio(unit(times, payload)),
        _ => unreachable!(),
    }
}

#[derive(Default)]
struct Seen {
    samples: BTreeMap<String, Vec<Sample>>,
    started: Vec<String>,
    restarts: usize,
    other: Vec<EncoderEvent>,
}

impl Seen {
    fn take(&mut self, event: EncoderEvent) {
        match event {
            EncoderEvent::Sample { rendition, sample } => {
                self.samples.entry(rendition.to_string()).or_default().push(sample);
            }
            EncoderEvent::RenditionStarted { track, .. } => self.started.push(track.name.to_string()),
            EncoderEvent::Restarted { .. } => self.restarts += 1,
            other => self.other.push(other),
        }
    }

    async fn until(&mut self, events: &mut Receiver<EncoderEvent>, done: impl Fn(&Seen) -> bool) {
        let wait = async {
            while !done(self) {
                self.take(events.recv().await.expect("the encoder goes on"));
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("in time");
    }

    fn count(&self, name: &str) -> usize {
        self.samples.get(name).map_or(0, Vec::len)
    }

    /// Without gap, without repetition, all renditions to the same end, an IDR on every boundary.
    fn check(&self, frames: usize) {
        let grid = grid(30, 1);
        let first = grid.frame_ticks(grid.nearest_frame(T0));
        for name in ["180p", "90p", "audio"] {
            let samples = &self.samples[name];
            let gaps = samples.windows(2).filter(|w| w[1].dts != w[0].dts + u64::from(w[0].duration)).count();
            assert_eq!(gaps, 0, "{name}");
            if name != "audio" {
                assert_eq!(samples[0].dts, first);
                assert!(samples.len().abs_diff(frames) <= 2, "{name}: {} frames", samples.len());
                assert!(samples.iter().all(|s| s.key || !grid.is_boundary(s.dts / 1000)));
            }
        }
        assert_eq!(self.count("180p"), self.count("90p"));
        assert_eq!(self.started.len(), 3, "a new worker with the same configuration is no new rendition");
    }
}

fn encoder() -> (EncoderHandle, Receiver<EncoderEvent>, Remembered) {
    let grid = grid(30, 1);
    let launch = Remembered(Arc::default());
    let config = supervisor::Config::new(grid, ladder(), grid.nearest_frame(T0), "Back in a moment".into());
    let clock = Arc::new(SystemClock(start_of_test()));
    let (handle, events) = Encoder::spawn_with(config, launch.clone(), clock);
    (handle, events, launch)
}

#[allow(clippy::disallowed_methods, reason = "the test's clock")]
fn start_of_test() -> Instant {
    Instant::now()
}

async fn feed(handle: &EncoderHandle, media: &[Message]) {
    for message in media {
        handle.send(part(message.clone())).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_worker_is_replaced_without_a_gap() {
    let (handle, mut events, worker) = encoder();
    let media = usual(6.0);
    let mut seen = Seen::default();
    for (third, enough) in media.chunks(media.len() / 3 + 1).zip([40, 100, 160]) {
        feed(&handle, third).await;
        seen.until(&mut events, |s| s.count("180p") >= enough).await;
        let killed = start_of_test();
        worker.signal(libc::SIGKILL);
        let restarts = seen.restarts + 1;
        seen.until(&mut events, |s| s.restarts == restarts).await;
        assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    }
    handle.finish().await.unwrap();
    seen.until(&mut events, |s| s.other.contains(&EncoderEvent::Finished)).await;
    seen.check(180);
    assert!(events.recv().await.is_none(), "nothing follows the end");
}

#[tokio::test]
async fn a_worker_that_hangs_is_replaced() {
    let (handle, mut events, worker) = encoder();
    let media = usual(4.0);
    let mut seen = Seen::default();
    feed(&handle, &media[..media.len() / 2]).await;
    seen.until(&mut events, |s| s.count("180p") >= 40).await;
    worker.signal(libc::SIGSTOP);
    feed(&handle, &media[media.len() / 2..]).await;
    let stopped = start_of_test();
    seen.until(&mut events, |s| s.restarts == 1).await;
    assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
    handle.finish().await.unwrap();
    seen.until(&mut events, |s| s.other.contains(&EncoderEvent::Finished)).await;
    seen.check(120);
}

#[tokio::test]
async fn a_worker_that_is_not_there_is_said_and_tried_again() {
    let grid = grid(30, 1);
    let config = supervisor::Config::new(grid, ladder(), 1, String::new());
    let launch = WorkerProcess { path: "/nonexistent/millstream-encoder".into(), memory_mib: 100 };
    let (_handle, mut events) = Encoder::spawn_with(config, launch, Arc::new(SystemClock(start_of_test())));
    let first = events.recv().await.unwrap();
    assert!(matches!(&first, EncoderEvent::Warning(text) if text.contains("/nonexistent/")), "{first:?}");
    // Once for the first death, then not for each try: the channel is told when it is hopeless.
    loop {
        match events.recv().await.unwrap() {
            EncoderEvent::Warning(text) => assert!(text.contains("/nonexistent/"), "{text}"),
            EncoderEvent::Unable { reason, starts } => {
                assert!(reason.contains("/nonexistent/") && starts >= 3, "{reason} after {starts}");
                break;
            }
            other => assert!(matches!(other, EncoderEvent::Restarted { .. }), "{other:?}"),
        }
    }
}

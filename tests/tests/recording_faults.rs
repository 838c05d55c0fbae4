//! Recordings while their store fails: viewers see nothing of it, and what was finished is there afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Not as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use millstream_tests::client::{get, get_json};
use millstream_tests::faults::{Fault, Proxy};
use millstream_tests::random::Random;
use millstream_tests::s3::{BUCKET, S3};
use millstream_tests::wait::within;
use millstream_tests::{Channel, Deadline, Publisher, Server, Source, Viewer, wait_for};
use serde_json::Value;

const UP: Duration = Duration::from_secs(30);
/// Longest time between two segments of a viewer's list: two segments of 1 s, and the machine's own hiccups.
const STEADY: Duration = Duration::from_secs(3);

/// What a viewer saw live: bytes by rendition and number, and how long the list stood still at most.
struct Seen {
    viewer: Viewer,
    bytes: BTreeMap<(String, u64), Bytes>,
    newest: u64,
    changed: Deadline,
    longest: Duration,
}

impl Seen {
    fn begin(server: &Server) -> Self {
        let mut viewer = server.viewer("demo");
        viewer.wait_listed(2, UP);
        let changed = Deadline::after(STEADY);
        Seen { viewer, bytes: BTreeMap::new(), newest: 0, changed, longest: Duration::ZERO }
    }

    /// Reads what is listed now.
    fn look(&mut self) {
        for rendition in self.viewer.renditions() {
            let Some(media) = self.viewer.media(&rendition.name) else { continue };
            for segment in media.segments {
                let key = (rendition.name.clone(), segment.number);
                if !self.bytes.contains_key(&key)
                    && let Some(bytes) = self.viewer.bytes(&format!("{}/{}", rendition.name, segment.uri))
                {
                    self.bytes.insert(key, bytes);
                }
                if segment.number > self.newest {
                    self.newest = segment.number;
                    self.longest = self.longest.max(self.changed.elapsed());
                    self.changed = Deadline::after(STEADY);
                }
            }
        }
    }

    fn look_for(&mut self, span: Duration) {
        let until = Deadline::after(span);
        wait_for("time to pass", span + UP, || {
            self.look();
            until.passed().then_some(())
        });
    }
}

fn assets(server: &Server) -> Vec<Value> {
    let listed = get_json(&server.url("/api/v1/assets?channel=demo")).unwrap_or(Value::Null);
    listed["assets"].as_array().cloned().unwrap_or_default()
}

/// Name of the one recording, when it has ended. Waits between retries double up to 10 s.
fn wait_ended(server: &Server) -> String {
    let mut all = Vec::new();
    let ended = within(Duration::from_secs(60), || {
        all = assets(server);
        let [one] = &all[..] else { return None };
        (one["state"] == "ended").then(|| one["id"].as_str().unwrap().to_owned())
    });
    ended.unwrap_or_else(|| panic!("not one ended recording: {all:?}"))
}

/// Everything that was seen live is in the recording, as it was. Gives its media playlists.
fn everything_is_there(server: &Server, id: &str, seen: &BTreeMap<(String, u64), Bytes>) -> Vec<String> {
    assert!(seen.len() > 10, "{} segments were seen", seen.len());
    let mut lists = BTreeMap::new();
    for ((rendition, number), bytes) in seen {
        let base = format!("/vod/{id}/{rendition}");
        let list = lists.entry(rendition.clone()).or_insert_with(|| {
            // A list may be two seconds old.
            wait_for("the finished list", Duration::from_secs(10), || {
                let list = get(&server.url(&format!("{base}/index.m3u8")))?;
                let text = String::from_utf8(list.body.to_vec()).unwrap();
                text.contains("#EXT-X-ENDLIST").then_some(text)
            })
        });
        assert!(list.lines().any(|l| l.ends_with(&format!("{number}.m4s"))), "{rendition}/{number} is not in\n{list}");
        let kept = get(&server.url(&format!("{base}/{number}.m4s"))).expect("an answer");
        assert!(kept.status == 200 && kept.body == *bytes, "{rendition}/{number} is not what was served live");
    }
    lists.into_values().collect()
}

/// A server that records on S3 behind a proxy.
fn on_s3(s3: &S3, proxy: &Proxy) -> Server {
    let channel = Channel::passthrough("demo").set("segment_seconds = 1").set("reconnect_seconds = 1");
    let archive = format!(
        "[archive]\nurl = \"s3://{BUCKET}/e2e\"\nendpoint = \"{}\"\nregion = \"us-east-1\"\naddressing = \"path\"\n",
        proxy.url()
    );
    let keys = [("AWS_ACCESS_KEY_ID", &s3.key[..]), ("AWS_SECRET_ACCESS_KEY", &s3.secret)];
    Server::start_in(&[channel], &archive, &keys)
}

#[test]
fn viewers_see_nothing_of_a_store_that_fails_in_every_way() {
    let s3 = S3::start();
    let proxy = Proxy::start(&s3.address);
    let server = on_s3(&s3, &proxy);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut seen = Seen::begin(&server);
    let faults =
        [Fault::Down, Fault::Status(503), Fault::Status(500), Fault::Status(403), Fault::Silent, Fault::Cut(20)];
    for fault in faults {
        let before = proxy.failed();
        proxy.set(fault);
        seen.look_for(Duration::from_secs(5));
        assert!(proxy.failed() > before, "{fault:?}: the store was not asked");
        proxy.set(Fault::None);
        seen.look_for(Duration::from_secs(2));
    }
    assert!(seen.longest < STEADY, "the live list stood still for {:?}", seen.longest);
    publisher.stop();
    seen.look_for(Duration::from_secs(2));
    let id = wait_ended(&server);
    let lists = everything_is_there(&server, &id, &seen.bytes);
    assert!(lists.iter().all(|l| !l.contains("EXT-X-GAP")), "{lists:#?}");
    let log = server.log();
    assert!(log.contains("the key may not do this"), "403 is not told:\n{log}");
    assert!(!log.contains(&s3.secret), "the secret is in the log");
}

#[test]
fn a_server_killed_while_its_store_is_down_loses_nothing_finished() {
    let s3 = S3::start();
    let proxy = Proxy::start(&s3.address);
    let mut server = on_s3(&s3, &proxy);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut seen = Seen::begin(&server);
    proxy.set(Fault::Down);
    seen.look_for(Duration::from_secs(6));
    let finished = seen.bytes.clone();
    // What was listed a segment's time ago is in the spool.
    seen.look_for(Duration::from_secs(1));
    server.kill();
    drop(publisher);
    server.start_again();
    proxy.set(Fault::None);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut after = Seen::begin(&server);
    after.look_for(Duration::from_secs(4));
    publisher.stop();
    let id = wait_ended(&server);
    let mut all = finished;
    all.extend(after.bytes);
    // Gaps there may be: of what was not finished when the server was killed.
    let lists = everything_is_there(&server, &id, &all);
    assert!(lists.iter().all(|l| l.matches("EXT-X-GAP").count() <= 1), "{lists:#?}");
}

/// A file system of a few megabytes at `/mnt` in a namespace of its own; the test reaches it through `/proc`. Ends with
/// the test.
struct SmallDisk {
    holder: Child,
    folder: PathBuf,
}

impl SmallDisk {
    fn new(bytes: u64) -> Self {
        let script = format!("mount -t tmpfs -o size={bytes} none /mnt && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(
            line.trim(),
            "mounted",
            "a small file system cannot be mounted in a namespace (user namespaces are off?)"
        );
        let folder = PathBuf::from(format!("/proc/{}/root/mnt", holder.id()));
        SmallDisk { holder, folder }
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.folder.join("ballast")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.folder.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_finished_is_lost_when_there_is_room_again() {
    let disk = SmallDisk::new(16 << 20);
    let channel = Channel::passthrough("demo").set("segment_seconds = 1").set("reconnect_seconds = 1");
    let pid = disk.holder.id().to_string();
    let launcher = ["nsenter", "--user", "--mount", "--preserve-credentials", "--target", &pid];
    let server = Server::start_by(&launcher, &[channel], "[archive]\nurl = \"file:///mnt/store\"\n", &[]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut seen = Seen::begin(&server);
    seen.look_for(Duration::from_secs(2));
    disk.fill();
    seen.look_for(Duration::from_secs(8));
    let log = server.log();
    assert!(log.contains("disk is full"), "{log}");
    disk.make_room();
    seen.look_for(Duration::from_secs(3));
    assert!(seen.longest < STEADY, "the live list stood still for {:?}", seen.longest);
    publisher.stop();
    seen.look_for(Duration::from_secs(2));
    let id = wait_ended(&server);
    let lists = everything_is_there(&server, &id, &seen.bytes);
    assert!(lists.iter().all(|l| !l.contains("EXT-X-GAP")), "{lists:#?}");
}

/// Media playlists in an asset's folder.
fn lists_of(asset: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(asset).unwrap().flatten().map(|e| e.path().join("index.m3u8"));
    folders.filter(|list| list.is_file()).collect()
}

/// `MILLSTREAM_KILLS=100` for the long run (docs/vod.md).
#[test]
#[allow(clippy::disallowed_methods, reason = "the long run is asked for by the environment")]
fn a_recording_plays_after_each_kill() {
    let kills = std::env::var("MILLSTREAM_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(3);
    let mut random = Random::seeded(20_261_123);
    let channel = Channel::passthrough("demo").set("segment_seconds = 1");
    let mut server = Server::start(&[channel]);
    let mut seen = BTreeMap::new();
    let (mut id, mut played, mut lost) = (String::new(), 0, 0);
    for round in 0..kills {
        let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
        let mut live = Seen::begin(&server);
        live.look_for(Duration::from_millis(random.between(200, 2500)));
        let newest = live.newest;
        server.kill();
        drop(publisher);
        seen.append(&mut live.bytes);
        let vod = server.folder().join("data/store/vod");
        let names: Vec<String> =
            std::fs::read_dir(&vod).unwrap().flatten().map(|e| e.file_name().into_string().unwrap()).collect();
        let [one] = &names[..] else { panic!("kill {round}: {names:?}") };
        id.clone_from(one);
        // Loss: at most the segment that was just finished. It is not asked for after the next kill either.
        let is_lost = |(rendition, number): &(String, u64), bytes: &Bytes| {
            let file = vod.join(one).join(rendition).join(format!("{number}.m4s"));
            *number >= newest && std::fs::read(&file).is_ok_and(|stored| stored == *bytes).not()
        };
        let before = seen.len();
        seen.retain(|key, bytes| !is_lost(key, bytes));
        lost += before - seen.len();
        for (rendition, number) in seen.keys().filter(|(_, n)| *n < newest) {
            let file = vod.join(one).join(rendition).join(format!("{number}.m4s"));
            assert!(
                std::fs::read(&file).is_ok_and(|b| b == seen[&(rendition.clone(), *number)]),
                "kill {round}: {file:?}"
            );
        }
        // What the store lists plays as it lies; without an end mark ffmpeg would wait for more.
        for list in lists_of(&vod.join(one)) {
            let text = std::fs::read_to_string(&list).unwrap();
            let whole = list.with_file_name("as-listed.m3u8");
            std::fs::write(&whole, text + "#EXT-X-ENDLIST\n").unwrap();
            let probed = Command::new("ffmpeg")
                .args(["-v", "error", "-xerror", "-nostdin", "-i"])
                .arg(&whole)
                .args(["-f", "null", "-"])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&probed.stderr);
            assert!(probed.status.success(), "kill {round}: {list:?}: {said}");
            std::fs::remove_file(whole).unwrap();
            played += 1;
        }
        server.start_again();
    }
    assert!(played > 0, "no list was ever there");
    println!("{kills} kills: {} segments kept, {lost} lost in the moment they were finished", seen.len());
    let list = get(&server.url(&format!("/vod/{id}/index.m3u8"))).unwrap();
    assert_eq!(list.status, 200);
}

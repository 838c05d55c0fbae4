//! What a recording and its rewind hold in memory after a day: counted by the allocator, on a clock that is stopped.
//!
//! A binary of its own, for it counts everything that is allocated.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use millstream_archive::asset::TrackInfo;
use millstream_archive::catalog;
use millstream_archive::delivery::VodDelivery;
use millstream_archive::recorder::Settings;
use millstream_archive::recording::{Handle, Options, Recording};
use millstream_archive::rewind::{Channel as Rewound, List, Rewind};
use millstream_archive::running::Running;
use millstream_delivery::shift::Shift;
use millstream_media::cmaf::init_segment;
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::segment::Chunk;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use support::{Channel, FIRST, TestClock, asset, name, store};

/// Counts what is allocated.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is done by the system's allocator; here it is only counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A store that keeps documents and forgets media.
#[derive(Debug, Default)]
struct NoMedia(InMemory);

impl fmt::Display for NoMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoMedia")
    }
}

#[async_trait::async_trait]
impl ObjectStore for NoMedia {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if path.as_ref().ends_with(".m4s") {
            return Ok(PutResult { e_tag: None, version: None, extensions: Default::default() });
        }
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, o: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, o).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

const HOUR: u64 = 1800;

/// A segment's chunk that claims the bytes of a ladder's segment; what it holds does not matter here.
fn chunk(grid: &SegmentGrid, track: &millstream_media::track::Track, number: u64, bytes: &Bytes) -> Chunk {
    let scale = track.timescale;
    let (start, next) = if track.is_video() {
        (grid.video_start(number), grid.video_start(number + 1))
    } else {
        (grid.audio_start(number, scale), grid.audio_start(number + 1, scale))
    };
    let (segment, duration, bytes) = (number, next - start, bytes.clone());
    Chunk { segment, part: 0, independent: true, start, duration, samples: 60, first_sample_end: 40, bytes }
}

/// Feeds hours of segments, as fast as the recorder takes them, on a clock that goes on by the media's time.
async fn feed(handle: &Handle, channel: &Channel, from: u64, hours: u64, bytes: &Bytes) {
    let grid = SegmentGrid::with_segment_millis(FrameRate::new(30, 1).unwrap(), 2000);
    for number in from..from + hours * HOUR {
        for track in &channel.tracks {
            handle.put_segment(&track.name, number, false, &[chunk(&grid, track, number, bytes)]).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Bytes that this process holds, without those of the store.
async fn held(inner: &NoMedia) -> usize {
    let stored: u64 = inner.0.list(None).try_fold(0, async |sum, o| Ok(sum + o.size)).await.unwrap();
    LIVE.load(Relaxed) - usize::try_from(stored).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_recording_of_a_day_and_its_rewind_hold_a_stated_number_of_bytes() {
    let channel = Channel::new(&[("1080p", 40_000), ("720p", 30_000), ("540p", 20_000), ("360p", 10_000)]);
    let tracks = channel.tracks.len();
    let inner = Arc::new(NoMedia::default());
    let store = store(inner.clone(), TestClock::start());
    let running = Running::default();
    // Pages once a minute instead of every ten seconds: what is held is the same.
    let settings = Settings { publish_every: Duration::from_secs(60), ..Settings::default() };
    let options = Options { settings, running: running.clone(), ..Options::default() };
    let (handle, recording) = Recording::begin(store.clone(), options, asset());
    catalog::note(&store, "demo", &asset().id).await.unwrap();
    let task = tokio::spawn(recording.run());
    let with_init = channel.tracks.iter().map(|t| (TrackInfo::of(t), init_segment(t))).collect();
    handle.line_up(FIRST, "0a", with_init).unwrap();
    let bytes = Bytes::from(vec![0; 2000]);

    feed(&handle, &channel, FIRST, 1, &bytes).await;
    let first = held(&inner).await;
    feed(&handle, &channel, FIRST + HOUR, 23, &bytes).await;
    let day = held(&inner).await;
    let rows = 24 * HOUR;
    let each = (day - first) as u64 / (23 * HOUR) / tracks as u64;
    assert!(each <= 56, "{each} bytes for each segment of a rendition");
    assert!(day - first < 12_000_000, "{} bytes more after a day than after an hour", day - first);
    println!("recording: {} kB after an hour, {} kB after a day: {each} bytes per segment", first / 1000, day / 1000);

    let vod = VodDelivery::new(store.clone());
    let rewind = Rewind::new(store.clone(), running, vod);
    let past = Rewound {
        name: "demo".to_owned(),
        dvr: Duration::from_secs(24 * 3600),
        tail: None,
        list: Duration::from_secs(60),
    };
    let shift = Shift::parse(Some("dvr")).unwrap();
    PEAK.store(LIVE.load(Relaxed), Relaxed);
    let before = LIVE.load(Relaxed);
    let list = rewind.list(&past, &List::Media(name("1080p"), false), &shift, "").await.unwrap();
    assert!(list.matches(".m4s").count() as u64 > rows - 60, "{} segments", list.matches(".m4s").count());
    let length = list.len();
    drop(list);
    let cache = LIVE.load(Relaxed) - before;
    let peak = PEAK.load(Relaxed) - before;
    assert!(cache < 10_000_000, "{cache} bytes of index pages and lists");
    assert!(peak < 28_000_000, "{peak} bytes while a list is written");
    println!(
        "rewind: {} kB of cache, {} kB while a list of {} kB is written",
        cache / 1000,
        peak / 1000,
        length / 1000
    );
    drop(rewind.list(&past, &List::Media(name("360p"), false), &shift, "").await.unwrap());
    let again = LIVE.load(Relaxed) - before;
    assert!(again <= cache + 100_000, "a second list holds no more: {again} bytes after {cache}");
    drop(handle);
    task.await.unwrap();
}

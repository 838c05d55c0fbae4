//! The shell: one task and one kept-alive HTTP/1.1 connection for each lane of a viewer, on one thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Error, ErrorKind, Result};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::chunks::Chunks;
use crate::connection::{Connection, Network, Pace, Target};
use crate::playlist::{self, Playlist, Resource};
use crate::report::Report;
use crate::tally::Tally;
use crate::viewer::{Action, Answer, Kind, Now, Rules, Viewer};
use crate::wire::Response;

/// Longest playlist kept, in bytes.
const MAX_PLAYLIST_BYTES: usize = 4 << 20;

/// Parsed playlists held; at the bound all are forgotten.
const MAX_PARSED: usize = 256;

/// Redirections followed for one request.
const MAX_REDIRECTS: usize = 5;

/// Causes of broken connections told apart.
const MAX_CAUSES: usize = 32;

/// Longest wait for a response.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A run.
#[derive(Debug, Clone)]
pub struct Options {
    /// An `http:` or `https:` URL of a multivariant playlist, a media playlist or an MPD.
    pub url: String,
    /// How many viewers.
    pub viewers: u32,
    /// From the first join to the end.
    pub duration: Duration,
    /// Time over which they join.
    pub ramp: Duration,
    /// How they behave.
    pub rules: Rules,
    /// What one viewer reads at most, in bit/s.
    pub bandwidth: Option<u64>,
    /// Addresses of this machine to connect from, in turn; empty lets the system choose.
    pub from: Vec<Ipv4Addr>,
    /// Trust every certificate.
    pub insecure: bool,
}

/// The crowd at one moment.
#[derive(Debug)]
pub struct Moment<'a> {
    /// Since the run began.
    pub elapsed: Duration,
    /// Viewers that play now.
    pub playing: usize,
    /// Viewers that stall now.
    pub stalled: usize,
    /// Everything so far.
    pub tally: &'a Tally,
}

/// By hash of the body and URL of the playlist.
type Parsed = HashMap<(u64, String), Option<Arc<Playlist>>>;

struct Shared {
    begun: Instant,
    tally: RefCell<Tally>,
    parsed: RefCell<Parsed>,
    network: Network,
    bandwidth: Option<u64>,
}

/// A viewer and what its lanes share.
struct Seat {
    viewer: RefCell<Viewer>,
    pace: Pace,
    lanes: Cell<usize>,
}

impl Shared {
    #[allow(clippy::disallowed_methods, reason = "the crowd's clock")]
    fn now(&self) -> Now {
        let utc = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.begun.elapsed(), utc_ms: i64::try_from(utc.as_millis()).unwrap_or(i64::MAX) }
    }

    /// Parsed once for each distinct body.
    fn parse(&self, url: &str, body: &[u8]) -> Option<Arc<Playlist>> {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let base = url.split('?').next().unwrap_or(url);
        let mut parsed = self.parsed.borrow_mut();
        if parsed.len() >= MAX_PARSED {
            parsed.clear();
        }
        let read = || playlist::parse(std::str::from_utf8(body).ok()?, base).map(Arc::new);
        parsed.entry((hasher.finish(), base.to_owned())).or_insert_with(read).clone()
    }

    fn broke(&self, error: &Error) {
        let mut tally = self.tally.borrow_mut();
        let cause = error.to_string();
        if tally.broken.len() < MAX_CAUSES || tally.broken.contains_key(&cause) {
            *tally.broken.entry(cause).or_default() += 1;
        }
    }
}

/// Runs the crowd; `progress` is called each second.
///
/// # Errors
/// If no runtime can be made, or TLS cannot be set up.
#[allow(clippy::disallowed_methods, reason = "the crowd's clock")]
pub fn run(options: &Options, mut progress: impl FnMut(&Moment<'_>)) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let shared = Rc::new(Shared {
        begun: Instant::now(),
        tally: RefCell::default(),
        parsed: RefCell::default(),
        network: Network::new(options.insecure, options.from.clone())?,
        bandwidth: options.bandwidth,
    });
    let (cpu, memory) = (cpu_time(), resident_bytes());
    let mut seats: Vec<Rc<Seat>> = Vec::new();
    local.block_on(&runtime, async {
        let mut second = Duration::from_secs(1);
        loop {
            let now = shared.now();
            let share = now.mono.as_secs_f64() / options.ramp.as_secs_f64().max(0.001);
            let due = (f64::from(options.viewers) * share.min(1.0)).ceil() as usize;
            while seats.len() < due {
                let viewer = RefCell::new(Viewer::new(&options.url, options.rules, now));
                let seat = Rc::new(Seat { viewer, pace: Pace::default(), lanes: Cell::new(1) });
                shared.tally.borrow_mut().joined += 1;
                tokio::task::spawn_local(follow(Rc::clone(&seat), 0, Rc::clone(&shared)));
                seats.push(seat);
            }
            if now.mono >= second {
                let is: Vec<_> = seats.iter().map(|s| s.viewer.borrow().is()).collect();
                progress(&Moment {
                    elapsed: now.mono,
                    playing: is.iter().filter(|i| i.0).count(),
                    stalled: is.iter().filter(|i| i.1).count(),
                    tally: &shared.tally.borrow(),
                });
                second += Duration::from_secs(1);
            }
            if now.mono >= options.duration {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let now = shared.now();
    let mut tally = shared.tally.borrow().clone();
    let grown = resident_bytes().saturating_sub(memory);
    for seat in seats {
        seat.viewer.borrow_mut().leave(now, &mut tally);
    }
    Ok(Report { tally, elapsed: now.mono, cpu: cpu_time().saturating_sub(cpu), memory: grown })
}

async fn follow(seat: Rc<Seat>, lane: usize, shared: Rc<Shared>) {
    let mut connection: Option<Connection> = None;
    loop {
        let action = seat.viewer.borrow_mut().next(lane, shared.now(), &mut shared.tally.borrow_mut());
        match action {
            Action::Done => return,
            Action::Wait(until) => {
                let wait = until.saturating_sub(shared.now().mono);
                if wait.is_zero() {
                    continue;
                }
                tokio::time::sleep(wait).await;
            }
            Action::Get(at, kind) => {
                let begun = shared.now().mono;
                let fetch = Fetch { seat: &seat, shared: &shared, lane, kind };
                let got = tokio::time::timeout(TIMEOUT, fetch.get(&mut connection, &at)).await;
                let got = got.unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, "no response within 20 s")));
                let now = shared.now();
                let took = now.mono.saturating_sub(begun);
                let answer = match got {
                    Ok(got) => {
                        let reads = kind.is_text() && got.status == 200;
                        let playlist = if reads { shared.parse(&got.url, &got.body) } else { None };
                        let waited = got.first.saturating_sub(begun);
                        Answer { status: got.status, bytes: got.bytes, took, waited, playlist }
                    }
                    Err(error) => {
                        connection = None;
                        shared.broke(&error);
                        Answer { status: 0, bytes: 0, took, waited: took, playlist: None }
                    }
                };
                seat.viewer.borrow_mut().answered(lane, now, answer, &mut shared.tally.borrow_mut());
                let lanes = seat.viewer.borrow().lanes();
                if lanes > seat.lanes.get() {
                    seat.lanes.set(lanes);
                    tokio::task::spawn_local(boxed(Rc::clone(&seat), 1, Rc::clone(&shared)));
                }
            }
        }
    }
}

/// The second lane is begun by the first.
fn boxed(seat: Rc<Seat>, lane: usize, shared: Rc<Shared>) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(follow(seat, lane, shared))
}

struct Fetch<'a> {
    seat: &'a Seat,
    shared: &'a Shared,
    lane: usize,
    kind: Kind,
}

struct Got {
    status: u16,
    bytes: u64,
    body: Vec<u8>,
    /// When the first byte came.
    first: Duration,
    /// Where it came from in the end.
    url: String,
}

impl Fetch<'_> {
    async fn get(&self, connection: &mut Option<Connection>, at: &Resource) -> Result<Got> {
        let mut url = at.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let target =
                Target::of(&url).ok_or_else(|| Error::new(ErrorKind::InvalidInput, "only http: and https: URLs"))?;
            let (response, got) = self.exchange(connection, &target, at.range).await?;
            match response.location {
                Some(to) if matches!(response.status, 301 | 302 | 303 | 307 | 308) => url = playlist::join(&url, &to),
                _ => return Ok(Got { url, ..got }),
            }
        }
        Err(Error::new(ErrorKind::InvalidData, "too many redirections"))
    }

    async fn exchange(
        &self,
        connection: &mut Option<Connection>,
        target: &Target,
        range: Option<(u64, u64)>,
    ) -> Result<(Response, Got)> {
        let network = &self.shared.network;
        let range = range.map(|(first, last)| format!("Range: bytes={first}-{last}\r\n")).unwrap_or_default();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: millstream-load\r\nAccept: */*\r\n{range}\r\n",
            target.path, target.authority
        );
        let mut kept = connection.take().filter(|c| c.target.0 == target.tls && c.target.1 == target.authority);
        loop {
            let was_kept = kept.is_some();
            let mut open = match kept.take() {
                Some(open) => open,
                None => {
                    self.shared.tally.borrow_mut().connections += 1;
                    network.connect(target).await?
                }
            };
            let mut response = Response::default();
            let got = match network.write(&mut open, request.as_bytes()).await {
                Ok(()) => self.read(&mut open, &mut response).await,
                Err(error) => Err(error),
            };
            match got {
                // The server closed it while it idled: that is its right, and no error (RFC 9112 9.3.1).
                Err(_) if was_kept && response.is_untouched() => self.shared.tally.borrow_mut().reconnects += 1,
                Err(error) => return Err(error),
                Ok(got) => {
                    if response.keep_alive {
                        *connection = Some(open);
                    }
                    return Ok((response, got));
                }
            }
        }
    }

    async fn read(&self, open: &mut Connection, response: &mut Response) -> Result<Got> {
        let (shared, seat) = (self.shared, self.seat);
        let most = Pace::most(shared.bandwidth);
        let mut got = Got { status: 0, bytes: 0, body: Vec::new(), first: Duration::ZERO, url: String::new() };
        let mut chunks = (self.kind == Kind::ChunkedSegment).then(Chunks::default);
        let (mut counted, mut since) = (0, None);
        loop {
            let (mut done, mut whole) = (Ok(false), false);
            let read = shared.network.read(open, most, |bytes| {
                done = response.push(bytes, &mut |piece| {
                    if self.kind.is_text() {
                        got.body.extend_from_slice(piece);
                    } else if let Some(chunks) = chunks.as_mut() {
                        whole |= chunks.push(piece);
                    }
                });
            });
            let count = read.await?;
            let mut now = shared.now();
            if got.first.is_zero() {
                got.first = now.mono;
            }
            let since = since.get_or_insert(now.mono);
            if let Some(bandwidth) = shared.bandwidth {
                let free = seat.pace.took(count, bandwidth, now.mono);
                tokio::time::sleep(free.saturating_sub(now.mono)).await;
                now = shared.now();
            }
            if let (true, Some(chunks), 200..=299) = (whole, &chunks, response.status) {
                let (bytes, took) = (response.bytes - counted, now.mono.saturating_sub(*since));
                let tally = &mut shared.tally.borrow_mut();
                seat.viewer.borrow_mut().chunks(self.lane, now, chunks.whole, bytes, took, tally);
                counted = response.bytes;
            }
            if whole {
                *since = now.mono;
            }
            if got.body.len() > MAX_PLAYLIST_BYTES {
                return Err(Error::new(ErrorKind::InvalidData, "the playlist is longer than 4 MiB"));
            }
            let done = if count == 0 { response.closed().map(|()| true) } else { done };
            if done.map_err(|e| Error::new(ErrorKind::InvalidData, e))? {
                (got.status, got.bytes) = (response.status, response.bytes);
                return Ok(got);
            }
        }
    }
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Memory of this process, as the system counts it; 0 where it does not say.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

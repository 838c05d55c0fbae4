//! The shell: one task and one kept-alive HTTP/1.1 connection for each lane, on one thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Error, ErrorKind, Result};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::playlist::{self, Playlist};
use crate::tally::Tally;
use crate::viewer::{Action, Answer, Kind, Now, Rules, Viewer};

/// Longest playlist kept, in bytes.
const MAX_PLAYLIST_BYTES: usize = 4 << 20;

/// Longest response head, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Parsed playlists held; at the bound all are forgotten.
const MAX_PARSED: usize = 256;

/// Longest wait for a response.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A run.
#[derive(Debug, Clone)]
pub struct Options {
    /// An `http:` URL of a multivariant or media playlist.
    pub url: String,
    /// How many viewers.
    pub viewers: u32,
    /// From the first join to the end.
    pub duration: Duration,
    /// Time over which they join.
    pub ramp: Duration,
    /// How they behave.
    pub rules: Rules,
}

/// By hash of the body and URL of the playlist.
type Parsed = HashMap<(u64, String), Option<Arc<Playlist>>>;

struct Shared {
    begun: Instant,
    tally: RefCell<Tally>,
    parsed: RefCell<Parsed>,
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
}

/// Runs the crowd; `progress` is called each second.
///
/// # Errors
/// If no runtime can be made.
#[allow(clippy::disallowed_methods, reason = "the crowd's clock")]
pub fn run(options: &Options, mut progress: impl FnMut(&Tally, Duration)) -> Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let shared = Rc::new(Shared { begun: Instant::now(), tally: RefCell::default(), parsed: RefCell::default() });
    let mut viewers = Vec::new();
    local.block_on(&runtime, async {
        let mut second = Duration::from_secs(1);
        loop {
            let now = shared.now();
            let share = now.mono.as_secs_f64() / options.ramp.as_secs_f64().max(0.001);
            let due = (f64::from(options.viewers) * share.min(1.0)).ceil() as usize;
            while viewers.len() < due {
                let viewer = Rc::new(RefCell::new(Viewer::new(&options.url, options.rules, now)));
                shared.tally.borrow_mut().joined += 1;
                for lane in 0..2 {
                    tokio::task::spawn_local(follow(viewer.clone(), lane, shared.clone()));
                }
                viewers.push(viewer);
            }
            if now.mono >= second {
                progress(&shared.tally.borrow(), now.mono);
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
    for viewer in viewers {
        viewer.borrow_mut().leave(now, &mut tally);
    }
    Ok(tally)
}

async fn follow(viewer: Rc<RefCell<Viewer>>, lane: usize, shared: Rc<Shared>) {
    let mut connection: Option<(String, TcpStream)> = None;
    loop {
        let action = viewer.borrow_mut().next(lane, shared.now(), &mut shared.tally.borrow_mut());
        match action {
            Action::Done => return,
            Action::Wait(until) => {
                let wait = until.saturating_sub(shared.now().mono).max(Duration::from_millis(1));
                tokio::time::sleep(wait).await;
            }
            Action::Get(url, kind) => {
                let begun = shared.now().mono;
                let keep = matches!(kind, Kind::Playlist | Kind::BlockingPlaylist);
                let got = tokio::time::timeout(TIMEOUT, get(&mut connection, &url, keep)).await;
                let (status, bytes, body) = got.unwrap_or(Err(ErrorKind::TimedOut.into())).unwrap_or_else(|_| {
                    connection = None;
                    (0, 0, Vec::new())
                });
                let now = shared.now();
                let playlist = if keep && status == 200 { shared.parse(&url, &body) } else { None };
                let answer = Answer { status, bytes, took: now.mono.saturating_sub(begun), playlist };
                viewer.borrow_mut().answered(lane, now, answer, &mut shared.tally.borrow_mut());
            }
        }
    }
}

/// Status, body bytes, and the body if it is to be kept.
async fn get(connection: &mut Option<(String, TcpStream)>, url: &str, keep: bool) -> Result<(u16, u64, Vec<u8>)> {
    let bad = |what: &'static str| Error::new(ErrorKind::InvalidData, what);
    let rest = url.strip_prefix("http://").ok_or_else(|| bad("only http: URLs"))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let mut stream = match connection.take() {
        Some((to, stream)) if to == host => stream,
        _ => {
            let stream = if host.contains(':') {
                TcpStream::connect(host).await?
            } else {
                TcpStream::connect((host, 80)).await?
            };
            stream.set_nodelay(true)?;
            stream
        }
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: millstream-load\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut held = Vec::new();
    let (status, mut left, head, close) = loop {
        if stream.read_buf(&mut held).await? == 0 || held.len() > MAX_HEAD_BYTES + MAX_PLAYLIST_BYTES {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&held).map_err(|_| bad("no HTTP response"))? {
            httparse::Status::Partial if held.len() > MAX_HEAD_BYTES => return Err(bad("the head is too long")),
            httparse::Status::Partial => {}
            httparse::Status::Complete(head) => {
                let field = |name: &str| {
                    let found = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
                    found.and_then(|h| std::str::from_utf8(h.value).ok()).map(str::trim)
                };
                let chunked = field("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
                let length = field("content-length").and_then(|v| v.parse::<u64>().ok());
                let close = field("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
                if !chunked && length.is_none() {
                    return Err(bad("neither a length nor chunks"));
                }
                break (response.code.unwrap_or(0), length.filter(|_| !chunked), head, close);
            }
        }
    };
    held.drain(..head);
    let mut body = Vec::new();
    let mut bytes = 0u64;
    let mut chunk_left = 0u64;
    loop {
        // Whatever of the body is at hand is counted and, unless it is a playlist, dropped.
        if let Some(left) = left.as_mut() {
            let take = usize::try_from(*left).unwrap_or(usize::MAX).min(held.len());
            if keep {
                body.extend(held.drain(..take));
            } else {
                held.drain(..take);
            }
            *left -= take as u64;
            bytes += take as u64;
            if *left == 0 {
                break;
            }
        } else if chunk_left > 2 {
            let take = usize::try_from(chunk_left - 2).unwrap_or(usize::MAX).min(held.len());
            if keep {
                body.extend(held.drain(..take));
            } else {
                held.drain(..take);
            }
            chunk_left -= take as u64;
            bytes += take as u64;
        } else if chunk_left > 0 {
            let take = (chunk_left as usize).min(held.len());
            held.drain(..take);
            chunk_left -= take as u64;
        } else if let Ok(httparse::Status::Complete((at, size))) = httparse::parse_chunk_size(&held) {
            if size == 0 {
                if held.len() >= at + 2 {
                    break;
                }
            } else {
                held.drain(..at);
                chunk_left = size.saturating_add(2);
            }
        }
        if body.len() > MAX_PLAYLIST_BYTES {
            return Err(bad("the playlist is too long"));
        }
        let stuck = chunk_left == 0 && httparse::parse_chunk_size(&held).is_ok_and(|s| s.is_complete());
        if (held.is_empty() || (left.is_none() && chunk_left == 0 && !stuck)) && stream.read_buf(&mut held).await? == 0
        {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    if !close {
        *connection = Some((host.to_owned(), stream));
    }
    Ok((status, bytes, body))
}

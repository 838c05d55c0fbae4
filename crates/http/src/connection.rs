//! A connection whose requests for media are answered the short way.
//!
//! While it is idle it has no buffer: bytes are received into one that belongs to the thread, and an answer that the
//! socket takes at once leaves nothing behind. What takes longer (an answer that comes later, a client that reads
//! slowly) is kept until it is done, within bounds: a head of [`MAX_HEAD`] bytes, the pieces of one answer, which are
//! shared, and time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, header};
use millstream_delivery::answer::{Later, Reply};
use millstream_delivery::body::Body;
use millstream_media::time::MonoTime;
use millstream_telemetry::RequestKind;
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep};

use crate::front::{Lane, Peer};
use crate::full;
use crate::head::{self, Asked, Begin, MAX_HEAD, Refusal};
use crate::reply::{self, Framing};
use crate::seats::Seat;
use crate::sending::{Sending, Socket, chunk, send_now};
use crate::wakes::Call;

/// A body of at most so many bytes is put behind its head, in the thread's buffer: copying it costs less than a vectored
/// write does (docs/decisions/0013-http-front.md).
const TOGETHER: usize = 4096;
/// Requests answered in a row before others of the thread have their turn.
const IN_A_ROW: u32 = 32;
/// Time that a client has to read the last answer before the connection is closed under it.
const LINGER: Duration = Duration::from_secs(2);
/// Longest time that a file may take whose reader goes on reading.
const FILE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// The date of answers is made again after this time.
const DATE_LIFE: Duration = Duration::from_millis(250);

/// What a thread's connections share.
struct Scratch {
    received: Box<[u8]>,
    request: Request<()>,
    head: Vec<u8>,
    date: String,
    dated: Option<MonoTime>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        received: vec![0; MAX_HEAD].into_boxed_slice(),
        request: Request::new(()),
        head: Vec::with_capacity(1024),
        date: String::new(),
        dated: None,
    });
}

enum State {
    /// Waits for a request, or the rest of its head.
    Idle,
    /// Waits for an answer that comes later.
    Waiting {
        later: Later,
        asked: Asked,
        kind: RequestKind,
        since: MonoTime,
        /// What wakes the connection when the answer is there.
        call: Option<Arc<Call>>,
    },
    Sending(Box<Sending>),
    /// Everything was said; the client may still be reading.
    Closing {
        shut: bool,
    },
    /// The full server has it.
    Full(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// How a step ended.
enum Step {
    /// The state changed.
    On,
    /// The connection is over.
    Over,
}

/// A connection, to be spawned as a task of its own.
pub struct Connection<S> {
    /// Gone once the full server has it.
    stream: Option<S>,
    lane: Arc<Lane>,
    peer: Peer,
    /// Fires at the deadline or before; then it is set again.
    timer: Pin<Box<Sleep>>,
    armed: Option<MonoTime>,
    deadline: Option<MonoTime>,
    /// Received and not yet answered: part of a head, or requests sent ahead. At most two heads' bytes.
    carry: Vec<u8>,
    /// Bytes of `carry` that are known not to end a head.
    looked: usize,
    state: State,
    seat: Option<Seat>,
}

impl<S: Socket> Connection<S> {
    /// A connection that was just accepted.
    pub fn new(stream: S, peer: Peer, lane: Arc<Lane>, seat: Seat) -> Self {
        let deadline = Some(lane.site.clock.mono() + lane.limits.head_timeout);
        Connection {
            stream: Some(stream),
            timer: Box::pin(sleep(lane.limits.head_timeout)),
            armed: None,
            deadline,
            lane,
            peer,
            carry: Vec::new(),
            looked: 0,
            state: State::Idle,
            seat: Some(seat),
        }
    }

    /// Receives once into the thread's buffer and answers as much as is there.
    fn idle(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Step> {
        if !self.carry.is_empty() && head::may_end(&self.carry, self.looked) {
            let carry = std::mem::take(&mut self.carry);
            let step = self.begin(cx, scratch, &carry);
            self.keep(carry, step.0);
            if let Some(step) = step.1 {
                return Poll::Ready(step);
            }
        }
        self.looked = self.carry.len();
        let mut buffer = std::mem::take(&mut scratch.received);
        let received = self.receive(cx, &mut buffer);
        let step = match received {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_) | Ok(0)) => Poll::Ready(Step::Over),
            Poll::Ready(Ok(n)) => {
                let bytes = buffer.get(..n).unwrap_or_default();
                if self.carry.is_empty() {
                    let (used, step) = self.begin(cx, scratch, bytes);
                    self.carry.extend_from_slice(bytes.get(used..).unwrap_or_default());
                    self.looked = 0;
                    Poll::Ready(step.unwrap_or(Step::On))
                } else {
                    self.carry.extend_from_slice(bytes);
                    Poll::Ready(Step::On)
                }
            }
        };
        scratch.received = buffer;
        step
    }

    /// Takes `used` bytes off the front of what was received.
    fn keep(&mut self, mut carry: Vec<u8>, used: usize) {
        carry.drain(..used.min(carry.len()));
        self.looked = 0;
        self.carry = if carry.is_empty() { Vec::new() } else { carry };
    }

    fn receive(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(0)) };
        let mut buffer = ReadBuf::new(into);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Answers the request that `bytes` begins with. Gives the bytes used up, and a step if one was taken.
    fn begin(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, bytes: &[u8]) -> (usize, Option<Step>) {
        let asked = match head::read(bytes, &mut scratch.request) {
            Begin::Partial => return (0, None),
            Begin::Other => {
                self.hand_over(Bytes::copy_from_slice(bytes));
                return (bytes.len(), Some(Step::On));
            }
            Begin::Refused(refusal) => return (bytes.len(), Some(self.refuse(refusal))),
            Begin::Media(asked) => asked,
        };
        let since = self.lane.site.clock.mono();
        let answer = self.lane.site.media.answer(&scratch.request, self.peer);
        let step = match answer.reply {
            Reply::Ready(response) => self.respond(cx, scratch, response, asked, answer.kind, since),
            Reply::Later(later) => {
                self.lane.busy.begin();
                self.deadline = None;
                self.state = State::Waiting { later, asked, kind: answer.kind, since, call: None };
                Step::On
            }
        };
        (asked.length, Some(step))
    }

    /// Gives the connection to the full server, with the bytes that were received.
    fn hand_over(&mut self, said: Bytes) {
        if let (Some(stream), Some(seat)) = (self.stream.take(), self.seat.take()) {
            let served = full::serve(Arc::clone(&self.lane), stream, said, self.peer, seat);
            self.deadline = None;
            self.state = State::Full(Box::pin(served));
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Step {
        tracing::debug!(peer = %self.peer.address, error = %refusal, "an HTTP request is refused");
        let now = self.lane.site.clock.mono();
        self.lane.site.metrics.answered(RequestKind::Other, refusal.status(), Duration::ZERO);
        self.lane.busy.begin();
        self.send(Sending {
            queue: VecDeque::from([Bytes::from_static(refusal.answer())]),
            rest: None,
            framing: Framing::Empty,
            keep_alive: false,
            until: now + self.lane.limits.answer_timeout,
            taken: now,
        })
    }

    /// Sends a response: at once, as far as the socket takes it.
    fn respond(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        mut response: Response<Body>,
        asked: Asked,
        kind: RequestKind,
        since: MonoTime,
    ) -> Step {
        let now = self.lane.site.clock.mono();
        let metrics = &self.lane.site.metrics;
        metrics.answered(kind, response.status().as_u16(), now.since(since));
        if let Some(length) = response.body().exact_len().filter(|_| !asked.head_only) {
            metrics.sent(kind, length);
        }
        if scratch.dated.is_none_or(|then| now.since(then) >= DATE_LIFE) {
            let utc = u64::try_from(self.lane.site.clock.utc().0).unwrap_or_default();
            scratch.date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_nanos(utc));
            scratch.dated = Some(now);
        }
        let keep_alive = asked.keep_alive && !self.lane.is_stopping();
        if S::IS_TLS
            && let Some(http3) = &self.lane.alt_svc
        {
            response.headers_mut().insert(header::ALT_SVC, http3.clone());
        }
        scratch.head.clear();
        let framing = reply::write_head(&mut scratch.head, &response, asked, keep_alive, scratch.date.as_bytes());
        let keep_alive = keep_alive && framing != Framing::Close;
        let mut pieces = match framing {
            Framing::Empty => VecDeque::new(),
            _ => response.body_mut().take_pieces(),
        };
        let unfinished = framing != Framing::Empty && response.body().is_unfinished();
        // A file of any size takes as long as its reader, who must only go on reading.
        let is_file = unfinished && framing == Framing::Length;
        if framing == Framing::Chunks {
            pieces = pieces.into_iter().flat_map(chunk).collect();
        }
        if framing == Framing::Length && pieces.iter().map(Bytes::len).sum::<usize>() <= TOGETHER {
            pieces.drain(..).for_each(|piece| scratch.head.extend_from_slice(&piece));
        }
        let mut written = 0;
        let sent = match &mut self.stream {
            Some(stream) if !unfinished => send_now(cx, stream, &scratch.head, &mut written, &mut pieces),
            _ => Poll::Pending,
        };
        match sent {
            Poll::Ready(Ok(())) => self.after(keep_alive, now),
            Poll::Ready(Err(_)) => Step::Over,
            Poll::Pending => {
                if let Some(left) = scratch.head.get(written..).filter(|left| !left.is_empty()) {
                    pieces.push_front(Bytes::copy_from_slice(left));
                }
                self.lane.busy.begin();
                let longest = if is_file { FILE_TIMEOUT } else { self.lane.limits.answer_timeout };
                let until = since + longest;
                let rest = unfinished.then(|| std::mem::take(response.body_mut()));
                self.send(Sending { queue: pieces, rest, framing, keep_alive, until, taken: now })
            }
        }
    }

    /// Begins to send what the socket does not take at once. Who calls it has said that the connection is busy.
    fn send(&mut self, sending: Sending) -> Step {
        self.deadline = Some((sending.taken + self.lane.limits.stall_timeout).min(sending.until));
        self.state = State::Sending(Box::new(sending));
        Step::On
    }

    /// What comes after an answer that was sent whole.
    fn after(&mut self, keep_alive: bool, now: MonoTime) -> Step {
        if keep_alive {
            self.deadline = Some(now + self.lane.limits.head_timeout);
            self.state = State::Idle;
        } else {
            self.deadline = Some(now + LINGER);
            self.state = State::Closing { shut: false };
        }
        Step::On
    }

    /// Waits for an answer; meanwhile the client may go.
    fn wait(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Step> {
        let State::Waiting { later, asked, kind, since, call } = &mut self.state else { return Poll::Ready(Step::On) };
        let (asked, kind, since) = (*asked, *kind, *since);
        let waker = Waker::from(Arc::clone(Call::keep(call, &self.lane.wakes, cx.waker())));
        if let Poll::Ready(response) = later.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.lane.busy.end();
            self.state = State::Idle;
            return Poll::Ready(self.respond(cx, scratch, response, asked, kind, since));
        }
        match self.watch(cx, scratch) {
            Poll::Ready(step) => {
                self.lane.busy.end();
                self.state = State::Idle;
                Poll::Ready(step)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when the client went away. Requests that it sends ahead are kept, within a bound.
    fn watch(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Step> {
        while self.carry.len() < MAX_HEAD {
            match ready!(self.receive(cx, &mut scratch.received)) {
                Err(_) | Ok(0) => return Poll::Ready(Step::Over),
                Ok(n) => self.carry.extend_from_slice(scratch.received.get(..n).unwrap_or_default()),
            }
        }
        Poll::Pending
    }

    fn sending(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Step> {
        let State::Sending(sending) = &mut self.state else { return Poll::Ready(Step::On) };
        let Some(stream) = &mut self.stream else { return Poll::Ready(Step::Over) };
        let before = sending.unsent();
        let outcome = sending.poll(cx, stream);
        let left = sending.unsent();
        let now = self.lane.site.clock.mono();
        let waits_for_us = left == 0 && sending.rest.is_some();
        if left != before || waits_for_us {
            sending.taken = now;
        }
        match outcome {
            Poll::Ready(Ok(())) => {
                let keep_alive = sending.keep_alive;
                self.lane.busy.end();
                Poll::Ready(self.after(keep_alive, now))
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(peer = %self.peer.address, %error, "an HTTP answer ends early");
                if sending.rest.is_some() || sending.framing == Framing::Close {
                    stream.abort_at_close();
                }
                self.lane.busy.end();
                self.state = State::Idle;
                Poll::Ready(Step::Over)
            }
            Poll::Pending => {
                let stalls = sending.taken + self.lane.limits.stall_timeout;
                self.deadline = Some(if waits_for_us { sending.until } else { stalls.min(sending.until) });
                if !waits_for_us {
                    return Poll::Pending;
                }
                ready!(self.watch(cx, scratch));
                self.lane.busy.end();
                self.state = State::Idle;
                Poll::Ready(Step::Over)
            }
        }
    }

    /// Says that nothing follows, and waits for the client's end: closing at once would throw away what it has not read.
    fn closing(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Step> {
        let State::Closing { shut } = &mut self.state else { return Poll::Ready(Step::On) };
        let Some(stream) = &mut self.stream else { return Poll::Ready(Step::Over) };
        if !*shut {
            if ready!(Pin::new(stream).poll_shutdown(cx)).is_err() {
                return Poll::Ready(Step::Over);
            }
            *shut = true;
        }
        while let Ok(1..) = ready!(self.receive(cx, &mut scratch.received)) {}
        Poll::Ready(Step::Over)
    }

    /// Ready when the deadline has passed.
    fn late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.armed.is_some() && self.timer.is_elapsed() {
                self.armed = None;
            }
            let Some(deadline) = self.deadline else { return Poll::Pending };
            // Usually it fires before the deadline, which has moved on since; that is cheaper than moving it each time.
            if self.armed.is_some_and(|armed| armed <= deadline) {
                return Poll::Pending;
            }
            let left = deadline.since(self.lane.site.clock.mono());
            if left.is_zero() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(Instant::now() + left);
            self.armed = Some(deadline);
            ready!(self.timer.as_mut().poll(cx));
        }
    }
}

impl<S: Socket> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..IN_A_ROW {
            let step = match &mut this.state {
                State::Full(served) => return served.as_mut().poll(cx),
                State::Idle => SCRATCH.with_borrow_mut(|scratch| this.idle(cx, scratch)),
                State::Waiting { .. } => SCRATCH.with_borrow_mut(|scratch| this.wait(cx, scratch)),
                State::Sending(_) => SCRATCH.with_borrow_mut(|scratch| this.sending(cx, scratch)),
                State::Closing { .. } => SCRATCH.with_borrow_mut(|scratch| this.closing(cx, scratch)),
            };
            match step {
                Poll::Ready(Step::On) => {}
                Poll::Ready(Step::Over) => return Poll::Ready(()),
                Poll::Pending => {
                    ready!(this.late(cx));
                    tracing::debug!(peer = %this.peer.address, "an HTTP client is let go: it says nothing, or takes nothing");
                    return Poll::Ready(());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        if matches!(self.state, State::Waiting { .. } | State::Sending(_)) {
            self.lane.busy.end();
        }
    }
}

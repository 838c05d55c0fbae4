//! A segment in the making, sent while it is made: what low-latency DASH asks for (STANDARDS 2.15).
//!
//! It has a name of its own, `NUMBER.ll.m4s`, which only the MPD gives. HLS players ask for `NUMBER.m4s`, of which
//! nothing is sent before it is whole (STANDARDS 1.44). Once it is whole both names have the same bytes.
//!
//! A body holds a place in the segment, no bytes: each chunk is taken from the window when the connection has room for
//! it. Who reads so slowly that the segment has left the window is broken off.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use millstream_delivery::answer::Answer;
use millstream_delivery::body::{Body, BrokenOff, Rest};
use millstream_delivery::respond::{self, CacheLife, Entity};
use millstream_media::track::RenditionName;
use millstream_telemetry::RequestKind;
use millstream_window::Window;
use tokio::time::{Instant, timeout_at};

use crate::channel::{ChannelOrigin, Look};
use crate::waits::Place;

/// How far a segment is, seen from a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The chunk at this place.
    Chunk(Bytes),
    /// The segment is whole, and this is its end.
    End,
    /// It is none that is made now, or is made next, or is held.
    Gone,
}

/// What stands under a name at this moment.
enum Found {
    /// All of it.
    Whole,
    /// Its first chunk, and perhaps more.
    Begun(Bytes),
    /// Too early, or too late.
    Nothing,
}

/// The answer to a GET or HEAD of a segment that may be in the making.
pub fn answer(channel: Arc<ChannelOrigin>, request: &Request<()>, rendition: RenditionName, number: u64) -> Answer {
    let kind = RequestKind::Segment;
    let (audio, patience) = channel.with_window(|window| (is_audio(window, &rendition), patience(window)));
    let place = Open { channel, rendition, number, next: 0, patience };
    match place.look() {
        Look::Found(found) => Answer::ready(kind, place.found(found, request, audio)),
        Look::Full => Answer::ready(kind, respond::unavailable("too many requests wait\n")),
        Look::Wait(first) => {
            let mut head = Request::new(());
            head.method_mut().clone_from(request.method());
            head.headers_mut().clone_from(request.headers());
            Answer::later(kind, place.hold(first, head, audio))
        }
    }
}

/// A place in a segment that is open, or about to be.
struct Open {
    channel: Arc<ChannelOrigin>,
    rendition: RenditionName,
    number: u64,
    /// Chunks already taken.
    next: u32,
    /// How long the next chunk is waited for.
    patience: Duration,
}

impl Open {
    fn look(&self) -> Look<Found> {
        self.channel.look_or_wait(&self.rendition, self.number, 0, |window| find(window, &self.rendition, self.number))
    }

    /// Waits for the first chunk.
    async fn hold(self, first: Place, request: Request<()>, audio: bool) -> Response<Body> {
        let until = Instant::now() + self.patience;
        let mut wait = first;
        loop {
            if timeout_at(until, wait.passed()).await.is_err() {
                return none();
            }
            match self.look() {
                Look::Found(found) => return self.found(found, &request, audio),
                Look::Full => return respond::unavailable("too many requests wait\n"),
                Look::Wait(again) => wait = again,
            }
        }
    }

    fn found(self, found: Found, request: &Request<()>, audio: bool) -> Response<Body> {
        match found {
            Found::Whole => whole(&self, request),
            Found::Begun(first) => self.begun(request.method(), first, audio),
            Found::Nothing => none(),
        }
    }

    /// A response without a length: the first chunk, then each further one, those that are there at once. Caches may keep
    /// it like the whole segment, since one that was broken off has no end that they could take for it (RFC 9112 8). A
    /// range is ignored, as RFC 9110 14.2 allows.
    fn begun(mut self, method: &Method, first: Bytes, audio: bool) -> Response<Body> {
        let content_type = if audio { "audio/mp4" } else { "video/mp4" };
        let etag = HeaderValue::from_static("");
        let head = Entity { pieces: Vec::new(), gzip: None, etag, content_type, cache: CacheLife::Immutable };
        let mut response = respond::entity(&Method::GET, &HeaderMap::new(), &head);
        for unknown in [header::ETAG, header::CONTENT_LENGTH, header::ACCEPT_RANGES] {
            response.headers_mut().remove(unknown);
        }
        if method != Method::HEAD {
            self.next = 1;
            *response.body_mut() = Body::unfinished(vec![first], self.rest());
        }
        response
    }

    fn rest(self) -> Rest {
        Box::pin(stream::unfold(Some(self), |place| async move {
            let mut place = place?;
            match place.chunk().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(place))),
                Ok(None) => None,
                Err(broken) => Some((Err(broken), None)),
            }
        }))
    }

    /// The next chunk; none at the end of the segment.
    async fn chunk(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        let until = Instant::now() + self.patience;
        loop {
            let (rendition, number, next) = (&self.rendition, self.number, self.next);
            match self.channel.look_or_wait(rendition, number, next, |window| step(window, rendition, number, next)) {
                Look::Found(Step::Chunk(bytes)) => {
                    self.next += 1;
                    return Ok(Some(bytes));
                }
                Look::Found(Step::End) => return Ok(None),
                Look::Found(Step::Gone) | Look::Full => return Err(BrokenOff::GivenUp),
                Look::Wait(wait) => {
                    if timeout_at(until, wait.passed()).await.is_err() {
                        return Err(BrokenOff::GivenUp);
                    }
                }
            }
        }
    }
}

fn whole(place: &Open, request: &Request<()>) -> Response<Body> {
    place
        .channel
        .segment(&place.rendition, place.number)
        .map_or_else(none, |entity| respond::entity(request.method(), request.headers(), &entity))
}

fn none() -> Response<Body> {
    respond::not_found("no such segment, not yet or no longer\n")
}

/// Who waits for a chunk waits for a segment's length and a second at most: a player may ask when the segment before has
/// just begun, if the encoder is late.
fn patience(window: &Window) -> Duration {
    window.timing().map_or(Duration::ZERO, |timing| timing.segment_duration()) + Duration::from_secs(1)
}

fn is_audio(window: &Window, rendition: &RenditionName) -> bool {
    window.renditions().any(|track| track.name == *rendition && !track.is_video())
}

/// `None` if it is about to begin.
fn find(window: &Window, rendition: &RenditionName, number: u64) -> Option<Found> {
    if let Some((open, chunks)) = window.open_segment(rendition)
        && open == number
        && window.timing().is_some_and(|timing| timing.part_target().is_some())
    {
        return chunks.first().map(|chunk| Found::Begun(chunk.bytes.clone()));
    }
    if window.segment(rendition, number).is_some() {
        return Some(Found::Whole);
    }
    (!is_coming(window, rendition, number)).then_some(Found::Nothing)
}

/// Whether a segment is the next one to be made, or the one after it: a player that goes by the clock may ask for it
/// before the encoder has finished the one before.
fn is_coming(window: &Window, rendition: &RenditionName, number: u64) -> bool {
    let makes_parts = !window.is_ended() && window.timing().is_some_and(|timing| timing.part_target().is_some());
    let next = window.progress(rendition).map(|progress| progress.next);
    makes_parts && next.is_some_and(|next| number == next || Some(number) == next.checked_add(1))
}

/// `None` if the chunk at this place is still to come.
fn step(window: &Window, rendition: &RenditionName, number: u64, next: u32) -> Option<Step> {
    let at = usize::try_from(next).ok()?;
    if let Some((_, chunks)) = window.open_segment(rendition).filter(|(open, _)| *open == number) {
        return chunks.get(at).map(|chunk| Step::Chunk(chunk.bytes.clone()));
    }
    Some(match window.segment(rendition, number) {
        Some(segment) => segment.chunks.get(at).map_or(Step::End, |chunk| Step::Chunk(chunk.bytes.clone())),
        None => Step::Gone,
    })
}

//! CMAF ingest over HTTP: `PUT` or `POST /ingest/CHANNEL/…` (DASH-IF Live Media Ingest, interface 1; STANDARDS 4.1 to 4.8).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::put;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body::Body as _;
use millstream_control::api::PeerAddr;
use millstream_ingest::cmaf::body::{self, Item, Splitter};
use millstream_ingest::cmaf::path::{self, Object as Named};
use millstream_media::track::RenditionName;
use millstream_package::contributed::{Refusal, Taken};
use tokio::sync::{oneshot, watch};

use crate::channel::contributed::{Object, Upload};
use crate::channel::gate::{Gate, LetIn, UploadRefusal};

/// Bytes of one fragment.
const MAX_FRAGMENT: usize = 32 << 20;
/// Time in which an encoder must send something.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long, and for how many bytes, a refusal waits for the rest of a body.
const REST_WITHIN: Duration = Duration::from_secs(2);
const MAX_REST: usize = 8 << 20;
/// What a channel's page says of tracks of text and of metadata.
const SPARSE_UNUSED: &str =
    "tracks of text and of timed metadata are taken and not used: subtitles and SCTE-35 do not come through yet";
/// Time in which the channel must take something.
const CHANNEL_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Ingest {
    gate: Arc<Gate>,
    stopping: watch::Receiver<bool>,
}

/// The routes. Uploads end when `stopping` says true.
pub fn router(gate: Arc<Gate>, stopping: watch::Receiver<bool>) -> Router {
    let methods = put(upload).post(upload).delete(nothing_to_delete);
    Router::new().route("/ingest/{channel}/{*object}", methods).with_state(Ingest { gate, stopping })
}

/// An answer that is no success: a line that says why.
struct Failed(StatusCode, String);

impl From<UploadRefusal> for Failed {
    fn from(refusal: UploadRefusal) -> Self {
        let status = match refusal {
            UploadRefusal::NoChannel | UploadRefusal::Stopped => StatusCode::NOT_FOUND,
            UploadRefusal::NoKey => StatusCode::UNAUTHORIZED,
            UploadRefusal::BadKey => StatusCode::FORBIDDEN,
            UploadRefusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        Failed(status, refusal.to_string())
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::NoHeader(_) => StatusCode::PRECONDITION_FAILED,
            Refusal::Broken { .. } | Refusal::TooManyTracks | Refusal::Ahead { .. } => StatusCode::BAD_REQUEST,
            Refusal::Unsuitable { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        };
        Failed(status, refusal.to_string())
    }
}

impl From<body::Error> for Failed {
    fn from(error: body::Error) -> Self {
        let status = match error {
            body::Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            body::Error::Box(_) | body::Error::Size(_) | body::Error::CutOff => StatusCode::BAD_REQUEST,
        };
        Failed(status, error.to_string())
    }
}

impl Failed {
    fn into_response(self) -> Response {
        let Failed(status, why) = self;
        let mut response = (status, [(header::CACHE_CONTROL, "no-store")], format!("{why}\n")).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"ingest\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Removing what has left an encoder's own window means nothing here: how long media stays is the channel's business.
async fn nothing_to_delete(
    State(ingest): State<Ingest>,
    Path((channel, object)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (head, _) = request.into_parts();
    match let_in(&ingest, &channel, &object, &head).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(failed) => failed.into_response(),
    }
}

async fn upload(
    State(ingest): State<Ingest>,
    Path((channel, object)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (head, mut body) = request.into_parts();
    match take(&ingest, &channel, &object, &head, &mut body).await {
        Ok(()) => (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response(),
        Err(failed) => {
            tracing::debug!(channel, object, status = failed.0.as_u16(), why = failed.1, "upload refused");
            // An answer before the end of what is being sent makes some clients of HTTP/2 miss it. Who expects leave
            // to send (RFC 9110 section 10.1.1) sends nothing yet: to read would be to give it.
            if !head.headers.contains_key(header::EXPECT) {
                let rest = std::mem::take(&mut body);
                let _ = tokio::time::timeout(REST_WITHIN, to_bytes(rest, MAX_REST)).await;
            }
            failed.into_response()
        }
    }
}

/// The way in, what the path names, and whose address it is.
async fn let_in(
    ingest: &Ingest,
    channel: &str,
    object: &str,
    head: &Parts,
) -> Result<(LetIn, Named, SocketAddr), Failed> {
    let Some(PeerAddr(peer)) = head.extensions.get::<PeerAddr>().copied() else {
        return Err(Failed(StatusCode::INTERNAL_SERVER_ERROR, "the connection has no address".to_owned()));
    };
    let (user, key) = credentials(&head.headers)?;
    let encoder = encoder(&head.headers);
    let let_in = ingest.gate.upload(channel, user.as_deref(), key.as_deref(), encoder.as_deref(), peer).await?;
    let named = path::parse(object).map_err(|error| Failed(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok((let_in, named, peer))
}

async fn take(ingest: &Ingest, channel: &str, object: &str, head: &Parts, body: &mut Body) -> Result<(), Failed> {
    let (uploader, named, peer) = let_in(ingest, channel, object, head).await?;
    let (encoder, key) = (encoder(&head.headers), uploader.key.clone());
    media_type(&head.headers, &named)?;
    let mut sending = Sending { uploader, stopping: ingest.stopping.clone(), body };
    match named {
        Named::Track(track) => {
            let make = |object, answer| Upload {
                remote: peer,
                encoder: encoder.clone(),
                key: key.clone(),
                track: track.clone(),
                object,
                answer,
            };
            sending.track(&track, make).await
        }
        Named::Manifest => sending.unused().await,
        Named::Sparse => {
            ingest.gate.warn(channel, SPARSE_UNUSED);
            sending.unused().await
        }
    }
}

/// What the encoder calls itself, as it may be shown.
fn encoder(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    let shown: String = agent.chars().filter(|c| !c.is_control()).take(64).collect();
    (!shown.is_empty()).then_some(shown)
}

/// User and password, or a bearer token.
fn credentials(headers: &HeaderMap) -> Result<(Option<String>, Option<String>), Failed> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok((None, None)) };
    let odd = || Failed(StatusCode::FORBIDDEN, "Authorization is neither Basic nor Bearer".to_owned());
    let value = value.to_str().map_err(|_| odd())?;
    let (scheme, rest) = value.split_once(' ').ok_or_else(odd)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok((None, Some(rest.trim().to_owned())));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(odd());
    }
    let decoded = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(odd)?;
    let (user, password) = decoded.split_once(':').ok_or_else(odd)?;
    Ok((Some(user.to_owned()), Some(password.to_owned())))
}

/// Refuses what says of itself that it is something else (STANDARDS 4.7).
fn media_type(headers: &HeaderMap, named: &Named) -> Result<(), Failed> {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return Ok(()) };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let fits = match named {
        Named::Track(_) | Named::Sparse => {
            kind.starts_with("video/") || kind.starts_with("audio/") || kind == "application/mp4"
        }
        Named::Manifest => kind.contains("xml") || kind.contains("mpegurl"),
    };
    // What curl and ffmpeg say of anything.
    if fits || matches!(kind.as_str(), "" | "application/octet-stream" | "application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(Failed(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("{kind} is not what this object is; send video/mp4 or audio/mp4"),
    ))
}

struct Sending<'a> {
    uploader: LetIn,
    stopping: watch::Receiver<bool>,
    body: &'a mut Body,
}

impl Sending<'_> {
    /// A track's header or media, as it comes.
    async fn track(
        &mut self,
        track: &RenditionName,
        make: impl Fn(Object, oneshot::Sender<Result<Taken, Refusal>>) -> Upload + Send + Sync,
    ) -> Result<(), Failed> {
        let mut splitter = Splitter::new(MAX_FRAGMENT);
        let mut any = false;
        while let Some(data) = self.next().await? {
            splitter.push(&data)?;
            while let Some(item) = splitter.poll() {
                any = true;
                let object = match item {
                    Item::Header(bytes) => Object::Header(bytes),
                    Item::Fragment { bytes, starts } => Object::Fragment { bytes, starts },
                };
                Self::send(&self.uploader, &make, object).await?;
            }
        }
        splitter.finish()?;
        // An empty body asks whether we are there (STANDARDS 4.2).
        if any {
            Self::send(&self.uploader, &make, Object::End).await?;
            tracing::trace!(%track, "upload taken");
        }
        Ok(())
    }

    /// Reads what is not used, within the bounds of what is.
    async fn unused(&mut self) -> Result<(), Failed> {
        let mut bytes = 0_usize;
        while let Some(data) = self.next().await? {
            bytes = bytes.saturating_add(data.len());
            if bytes > MAX_FRAGMENT {
                return Err(body::Error::TooLarge { most: MAX_FRAGMENT }.into());
            }
        }
        Ok(())
    }

    async fn send(
        uploader: &LetIn,
        make: &(impl Fn(Object, oneshot::Sender<Result<Taken, Refusal>>) -> Upload + Send + Sync),
        object: Object,
    ) -> Result<(), Failed> {
        let unavailable = || Failed::from(UploadRefusal::Unavailable);
        let (answer, answered) = oneshot::channel();
        let asked = async {
            uploader.uploads.send(make(object, answer)).await.map_err(|_| unavailable())?;
            answered.await.map_err(|_| unavailable())?.map_err(Failed::from)
        };
        let taken = tokio::time::timeout(CHANNEL_PATIENCE, asked).await.map_err(|_| unavailable())?;
        taken.map(|_| ())
    }

    /// The next bytes of the body.
    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        let body = &mut self.body;
        let data = std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx));
        let frame = tokio::select! {
            frame = tokio::time::timeout(PATIENCE, data) => frame,
            _ = self.uploader.revoked.wait_for(|revoked| *revoked) => {
                return Err(UploadRefusal::BadKey.into());
            }
            _ = self.stopping.wait_for(|stopping| *stopping) => return Err(UploadRefusal::Unavailable.into()),
        };
        match frame {
            Err(_) => Err(Failed(StatusCode::REQUEST_TIMEOUT, format!("nothing came for {} s", PATIENCE.as_secs()))),
            Ok(None) => Ok(None),
            // Trailers are none of the body.
            Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
            Ok(Some(Err(error))) => Err(Failed(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"))),
        }
    }
}

//! The REST API under `/api/v1`: JSON in, JSON or RFC 9457 problem details out.
//!
//! It answers only callers on this machine until accounts exist ([`guard`] says how that is held), except for
//! `/api/v1/time`, which players anywhere set their clocks by.

mod assets;
mod body;
mod channels;
mod guard;
mod imports;
mod keys;
mod openapi;
mod problem;
mod server;
mod sign;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use http::{HeaderValue, StatusCode, header};
use millstream_archive::library::Library;
use millstream_media::time::{Clock, MonoTime};

pub use guard::PeerAddr;
pub use imports::router as imports_router;
pub use openapi::document as openapi_document;
pub use problem::Problem;
pub use server::time_now;
pub use sign::Signer;

use crate::registry::Registry;

/// Largest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the API works on.
#[derive(Clone)]
pub struct ApiState {
    /// The channels.
    pub registry: Arc<Registry>,
    /// Recordings, imports and clips.
    pub library: Library,
    /// For `/time` and the uptime.
    pub clock: Arc<dyn Clock>,
    /// When the server started.
    pub started: MonoTime,
    /// The bound addresses by protocol, as in `listening.json`.
    pub listening: BTreeMap<String, String>,
    /// Names besides `localhost` and IP addresses under which the API may be asked (`Host` without port).
    pub hosts: Vec<String>,
    /// The private keys that viewers' URLs and cookies are signed with.
    pub signer: Signer,
}

/// The routes under `/api/v1`. The server inserts [`PeerAddr`] as an extension of every request.
pub fn router(state: ApiState) -> Router {
    let state = Arc::new(state);
    let local = Router::new()
        .route("/channels", get(channels::list).post(channels::create))
        .route("/channels/{name}", get(channels::show).patch(channels::update).delete(channels::delete))
        .route("/channels/{name}/start", post(channels::start))
        .route("/channels/{name}/stop", post(channels::stop))
        .route("/channels/{name}/rotate-key", post(channels::rotate_key))
        .route("/channels/{name}/keys", get(keys::list).post(keys::add))
        .route("/channels/{name}/keys/{key}", delete(keys::revoke))
        .route("/channels/{name}/keys/{key}/rotate", post(keys::rotate))
        .route("/assets", get(assets::list))
        .route("/assets/{id}", get(assets::show).patch(assets::update).delete(assets::delete))
        .route("/clips", post(assets::clip))
        .route("/storage", get(assets::storage))
        .route("/sign", post(sign::sign))
        .route("/server", get(server::info))
        .route("/openapi.json", get(openapi::serve))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), guard::local_only));
    let public = Router::new().route("/time", get(server::time)).method_not_allowed_fallback(method_not_allowed);
    let api = public.merge(local).with_state(state);
    Router::new().nest("/api/v1", api)
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path; /api/v1/openapi.json lists what there is")
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method; the Allow header lists those it takes",
    )
}

/// A JSON answer that no cache keeps.
fn fresh_json(status: StatusCode, body: impl serde::Serialize) -> axum::response::Response {
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, no_store, axum::Json(body)).into_response()
}

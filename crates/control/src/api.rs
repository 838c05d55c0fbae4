//! The REST API under `/api/v1`: JSON in, JSON or RFC 9457 problem details out.
//!
//! [`endpoints`] says which role each endpoint needs, and [`guard`] holds requests against it.

mod assets;
mod body;
mod channels;
pub mod endpoints;
mod guard;
mod imports;
mod keys;
mod openapi;
mod operators;
mod problem;
mod server;
mod session;
mod sign;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use axum::routing::{delete, get, patch, post};
use http::{HeaderValue, StatusCode, header};
use millstream_archive::library::Library;
use millstream_media::time::{Clock, MonoTime};

pub use guard::{ClientAddr, ClientTls, Guard, PeerAddr};
pub use imports::router as imports_router;
pub use openapi::document as openapi_document;
pub use problem::Problem;
pub use server::time_now;
pub use sign::Signer;

use crate::operators::Operators;
use crate::operators::openid::OpenId;
use crate::registry::Registry;

/// Largest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the API works on.
#[derive(Clone)]
pub struct ApiState {
    /// The channels.
    pub registry: Arc<Registry>,
    /// Who may ask for what.
    pub operators: Arc<Operators>,
    /// Who logs people in besides this server.
    pub openid: Option<Arc<OpenId>>,
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

/// The routes under `/api/v1`, behind the guard. The server inserts [`PeerAddr`] as an extension of every request.
pub fn router(state: ApiState) -> Router {
    let guard = Guard { operators: Arc::clone(&state.operators), hosts: state.hosts.clone().into() };
    let api = Router::new()
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
        .route("/session", get(session::show).post(session::log_in).delete(session::log_out))
        .route("/session/password", post(session::password))
        .route("/session/openid", get(session::openid))
        .route("/session/openid/callback", get(session::openid_callback))
        .route("/tokens", get(operators::list_tokens).post(operators::add_token))
        .route("/tokens/{token}", delete(operators::revoke_token))
        .route("/users", get(operators::list_users).post(operators::add_user))
        .route("/users/{user}", patch(operators::change_user).delete(operators::remove_user))
        .route("/server", get(server::info))
        .route("/time", get(server::time))
        .route("/openapi.json", get(openapi::serve))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(state));
    guard.before(Router::new().nest("/api/v1", api))
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path; /api/v1/openapi.json lists what there is")
}

/// A JSON answer that no cache keeps.
fn fresh_json(status: StatusCode, body: impl serde::Serialize) -> axum::response::Response {
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, no_store, axum::Json(body)).into_response()
}

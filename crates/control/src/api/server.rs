//! What the server says about itself, and the time.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use millstream_media::time::Clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiState, fresh_json};

/// The server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ServerInfo {
    /// Version of millstream.
    #[schema(value_type = String)]
    version: &'static str,
    /// The bound addresses by protocol.
    listening: BTreeMap<String, String>,
    /// Seconds since the start.
    uptime_seconds: u64,
}

/// The server's version, addresses and uptime.
#[utoipa::path(get, path = "/api/v1/server", tag = "server", responses((status = 200, body = ServerInfo)))]
pub(super) async fn info(State(state): State<Arc<ApiState>>) -> Response {
    let info = ServerInfo {
        version: env!("CARGO_PKG_VERSION"),
        listening: state.listening.clone(),
        uptime_seconds: state.clock.mono().since(state.started).as_secs(),
    };
    fresh_json(StatusCode::OK, info)
}

/// The time now as ISO 8601 text, for players' clocks (`urn:mpeg:dash:utc:http-iso:2014`). Anybody may ask.
#[utoipa::path(
    get,
    path = "/api/v1/time",
    tag = "server",
    responses((status = 200, body = String, content_type = "text/plain", example = "2026-11-22T19:13:55.123Z"))
)]
pub(super) async fn time(State(state): State<Arc<ApiState>>) -> Response {
    time_now(state.clock.as_ref())
}

/// The server's time for players' clocks, on whichever node they ask: manifests name the path on the host they came from.
pub fn time_now(clock: &dyn Clock) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Date")),
    ];
    (HEADERS, clock.utc().to_iso8601()).into_response()
}

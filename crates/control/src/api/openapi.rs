//! The API's own description.

use axum::response::Response;
use http::StatusCode;
use utoipa::OpenApi;

use super::{channels, fresh_json, server};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "millstream",
        description = "Channels of a millstream server. Errors are RFC 9457 problem details. Only callers on the \
                       server's own machine are answered, except at /api/v1/time."
    ),
    tags((name = "channels", description = "What is broadcast"), (name = "server", description = "The server itself")),
    paths(
        channels::list, channels::create, channels::show, channels::update, channels::delete, channels::start,
        channels::stop, channels::rotate_key, server::info, server::time, serve
    ),
    components(schemas(channels::NewKey))
)]
struct Api;

/// The OpenAPI document, as pretty JSON.
pub fn document() -> String {
    Api::openapi().to_pretty_json().unwrap_or_default()
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "server", responses((status = 200, body = Object)))]
pub(super) async fn serve() -> Response {
    fresh_json(StatusCode::OK, Api::openapi())
}

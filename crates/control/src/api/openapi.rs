//! The API's own description.

use axum::response::Response;
use http::StatusCode;
use utoipa::OpenApi;

use super::{assets, channels, fresh_json, imports, keys, operators, server, session, sign};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "millstream",
        description = "Channels and recordings of a millstream server. Errors are RFC 9457 problem details. Requests present a \
                       token, as `Authorization: Bearer mst_…`, or the cookie of a console session; which role each needs is in \
                       roles.md. While there are no operators, only callers on the server's own machine are answered."
    ),
    tags((name = "channels", description = "What is broadcast"), (name = "assets", description = "What was recorded"), (name = "imports", description = "Files that become assets"), (name = "access", description = "Who may watch"), (name = "operators", description = "Who may use this API"), (name = "server", description = "The server itself")),
    paths(
        channels::list, channels::create, channels::show, channels::update, channels::delete, channels::start,
        channels::stop, channels::rotate_key, keys::list, keys::add, keys::revoke, keys::rotate,
        assets::list, assets::show, assets::update, assets::delete, assets::clip, assets::storage,
        imports::list, imports::create, imports::show, imports::cancel, imports::offset, imports::append, sign::sign,
        session::show, session::log_in, session::log_out, session::password, session::openid, session::openid_callback,
        operators::list_tokens, operators::add_token, operators::revoke_token, operators::list_users, operators::add_user, operators::change_user,
        operators::remove_user, server::info, server::time, serve
    ),
    components(schemas(channels::NewKey, keys::NewKeyBody, keys::RotateBody))
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

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");

    #[test]
    fn the_reference_document_is_current() {
        let written = std::fs::read_to_string(PATH).unwrap_or_default();
        assert!(
            written == format!("{}\n", document()),
            "run `cargo test -p millstream-control -- --ignored write_reference`"
        );
    }

    #[test]
    #[ignore = "writes the document"]
    fn write_reference() {
        std::fs::write(PATH, format!("{}\n", document())).unwrap();
    }

    #[test]
    fn every_reference_in_it_leads_somewhere() {
        let text = document();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for part in text.split("\"$ref\": \"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(value.pointer(pointer).is_some(), "{pointer}");
        }
        assert_eq!(value["paths"].as_object().unwrap().len(), 27);
    }
}

//! Channels over HTTP: create, list, show, change, delete, start, stop, rotate the key.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use millstream_access::StreamKey;
use millstream_access::publisher::KeyName;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{JsonBody, OptionalJsonBody};
use super::problem::Problem;
use super::{ApiState, fresh_json};
use crate::channel::{ChannelConfig, ChannelName, ConfigError};
use crate::operators::Caller;
use crate::registry::{Channel, ChannelView, RegistryError, Streams};

/// All channels.
#[derive(Serialize, ToSchema)]
pub(super) struct ChannelList {
    /// By name.
    channels: Vec<ChannelView>,
}

/// A channel with its new stream key.
#[derive(Serialize, ToSchema)]
pub(super) struct ChannelWithKey {
    /// The channel.
    #[serde(flatten)]
    channel: ChannelView,
    /// The stream key, shown this once.
    stream_key: String,
    /// The passphrase of the key's SRT contributions, if it has one, shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    srt_passphrase: Option<String>,
}

/// The key for a channel.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body in the OpenAPI document")]
pub(super) struct NewKey {
    /// A key of your own; made at random where it is left out.
    #[schema(min_length = 8, max_length = 128)]
    stream_key: Option<String>,
}

impl ChannelWithKey {
    fn new(channel: &Channel, key: &StreamKey) -> Self {
        let srt = channel.key(&KeyName::default_key()).and_then(|key| key.key.srt.as_ref());
        ChannelWithKey {
            channel: channel.view(),
            stream_key: key.expose().to_owned(),
            srt_passphrase: srt.map(|srt| srt.passphrase.expose().to_owned()),
        }
    }
}

/// Every channel of the caller's, with its status and settings.
#[utoipa::path(get, path = "/api/v1/channels", tag = "channels", responses((status = 200, body = ChannelList)))]
pub(super) async fn list(State(state): State<Arc<ApiState>>, caller: Caller) -> Response {
    let channels = state.registry.channels();
    let own = channels.iter().filter(|c| caller.grant.covers(Some(c.config.name.as_str())));
    let channels = own.map(|c| c.view()).collect();
    fresh_json(StatusCode::OK, ChannelList { channels })
}

/// Creates a channel. The answer holds its stream key; it is not shown again. `protection` is for admins.
#[utoipa::path(
    post, path = "/api/v1/channels", tag = "channels", request_body = ChannelConfig,
    responses(
        (status = 201, body = ChannelWithKey, headers(("Location" = String, description = "the channel's path"))),
        (status = 403, description = "not the caller's to set", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the name or the key is taken", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "settings that cannot be accepted", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let config = ChannelConfig::from_json(body).map_err(RegistryError::Config)?;
    caller.owns(Some(config.name.as_str()))?;
    if config.protection.is_some() {
        caller.may_protect()?;
    }
    let (channel, key) = state.registry.create(config).await?;
    let mut response = fresh_json(StatusCode::CREATED, ChannelWithKey::new(&channel, &key));
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/channels/{}", channel.config.name)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// One channel's status and settings.
#[utoipa::path(
    get, path = "/api/v1/channels/{name}", tag = "channels", params(("name" = String, Path, description = "the channel")),
    responses(
        (status = 200, body = ChannelView),
        (status = 404, description = "no such channel", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(State(state): State<Arc<ApiState>>, Named(name): Named) -> Result<Response, Problem> {
    match state.registry.channels().get(&name) {
        Some(channel) => Ok(fresh_json(StatusCode::OK, channel.view())),
        None => Err(RegistryError::NotFound { name }.into()),
    }
}

/// Changes settings (JSON merge patch, RFC 7396): what is named is replaced, `null` restores the default. `protection` is
/// for admins.
#[utoipa::path(
    patch, path = "/api/v1/channels/{name}", tag = "channels",
    params(
        ("name" = String, Path, description = "the channel"),
        ("If-Match" = Option<String>, Header, description = "change only the settings of this `revision`"),
    ),
    request_body(content = Object, description = "the settings to change"),
    responses(
        (status = 200, body = ChannelView),
        (status = 403, description = "not the caller's to change", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such channel", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "defined in the configuration file", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "not at this revision", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "settings that cannot be accepted", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn update(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Named(name): Named,
    headers: HeaderMap,
    JsonBody(patch): JsonBody,
) -> Result<Response, Problem> {
    if patch.get("protection").is_some() {
        caller.may_protect()?;
    }
    let channel = state.registry.patch(&name, &patch, if_match(&headers)).await?;
    Ok(fresh_json(StatusCode::OK, channel.view()))
}

/// Deletes a channel and cuts off who publishes to it.
#[utoipa::path(
    delete, path = "/api/v1/channels/{name}", tag = "channels",
    params(
        ("name" = String, Path, description = "the channel"),
        ("If-Match" = Option<String>, Header, description = "delete only at this `revision`"),
    ),
    responses(
        (status = 204, description = "deleted"),
        (status = 404, description = "no such channel", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "defined in the configuration file", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(state): State<Arc<ApiState>>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    state.registry.delete(&name, if_match(&headers)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Lets a channel go on air.
#[utoipa::path(
    post, path = "/api/v1/channels/{name}/start", tag = "channels",
    params(("name" = String, Path, description = "the channel")),
    responses(
        (status = 200, body = ChannelView),
        (status = 404, description = "no such channel", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn start(State(state): State<Arc<ApiState>>, Named(name): Named) -> Result<Response, Problem> {
    let channel = state.registry.set_enabled(&name, true).await?;
    Ok(fresh_json(StatusCode::OK, channel.view()))
}

/// Takes a channel off air and refuses publishers until it is started again.
#[utoipa::path(
    post, path = "/api/v1/channels/{name}/stop", tag = "channels",
    params(("name" = String, Path, description = "the channel")),
    responses(
        (status = 200, body = ChannelView),
        (status = 404, description = "no such channel", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stop(State(state): State<Arc<ApiState>>, Named(name): Named) -> Result<Response, Problem> {
    let channel = state.registry.set_enabled(&name, false).await?;
    Ok(fresh_json(StatusCode::OK, channel.view()))
}

/// Rotates the channel's key named `default`: the old one opens nothing any more, and a stream that it let in goes on.
/// The answer holds the new one; it is not shown again.
#[utoipa::path(
    post, path = "/api/v1/channels/{name}/rotate-key", tag = "channels",
    params(("name" = String, Path, description = "the channel")),
    request_body(content = Option<NewKey>, description = "a key of your own, if you want one"),
    responses(
        (status = 200, body = ChannelWithKey),
        (status = 404, description = "no such channel", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "set in the configuration file", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a key that cannot be accepted", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rotate_key(
    State(state): State<Arc<ApiState>>,
    Named(name): Named,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, Problem> {
    let chosen = body.map(chosen_key).transpose().map_err(RegistryError::Config)?.flatten();
    let (channel, key) = state.registry.rotate_key(&name, &KeyName::default_key(), chosen, None, Streams::Keep).await?;
    Ok(fresh_json(StatusCode::OK, ChannelWithKey::new(&channel, &key)))
}

fn chosen_key(body: Value) -> Result<Option<StreamKey>, ConfigError> {
    let object = match body {
        Value::Null => return Ok(None),
        Value::Object(object) if object.keys().all(|k| k == "stream_key") => object,
        _ => return Err(ConfigError::one("", "the body holds nothing but {\"stream_key\": \"…\"}, or is left out")),
    };
    match object.get("stream_key") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(key)) => match StreamKey::from_user(key) {
            Ok(key) => Ok(Some(key)),
            Err(error) => Err(ConfigError::one("stream_key", format!("is not valid: {error}"))),
        },
        Some(_) => Err(ConfigError::one("stream_key", "is not text; give it in quotes")),
    }
}

/// The channel's name in the path. What is no channel name names no channel.
pub(super) struct Named(pub(super) ChannelName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let missing = |detail: String| Problem::new(StatusCode::NOT_FOUND, detail);
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| missing("the channel's name in the path is not readable text".into()))?;
        ChannelName::new(&text).map(Named).map_err(|error| missing(error.to_string()))
    }
}

/// The revision in `If-Match`; `*` and its absence mean any.
fn if_match(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::IF_MATCH)?.to_str().unwrap_or("unreadable").trim();
    (value != "*").then(|| value.trim_matches('"'))
}

//! The keys of a channel over HTTP: list, add, revoke, rotate.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use millstream_access::StreamKey;
use millstream_access::network::Network;
use millstream_access::passphrase::{KeyLength, KeyLengthError, Passphrase};
use millstream_access::publisher::{KeyName, MAX_ADDRESSES};
use millstream_media::time::UtcTime;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::{JsonBody, OptionalJsonBody};
use super::channels::Named;
use super::problem::Problem;
use super::{ApiState, fresh_json};
use crate::channel::{ChannelName, ConfigError};
use crate::registry::{Channel, KeyView, NewKey, NewSrt, RegistryError, Streams};

/// The keys of a channel.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyList {
    /// In the order in which they were made.
    keys: Vec<KeyView>,
}

/// A key with its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyWithSecret {
    /// The key.
    #[serde(flatten)]
    key: KeyView,
    /// The stream key itself, shown this once.
    stream_key: String,
    /// The passphrase of its SRT contributions, if it has one, shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    srt_passphrase: Option<String>,
}

/// A key to be made.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body in the OpenAPI document")]
pub(super) struct NewKeyBody {
    /// What it is to be called: 1 to 64 of `a-z`, `0-9`, `-` and `_`, starting with a letter or digit.
    name: String,
    /// A key of your own; made at random where it is left out.
    #[schema(min_length = 8, max_length = 128)]
    stream_key: Option<String>,
    /// From when on it lets nobody in; a stream that is live then goes on. It does not end where this is left out.
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// Networks it may be used from, such as `192.0.2.0/24`; anywhere where this is left out. At most 32.
    addresses: Option<Vec<String>>,
    /// A passphrase for its SRT contributions; made at random where this is left out and `srt_key_bytes` is given. Kept for
    /// the SRT listener, which comes with a later version.
    #[schema(min_length = 10, max_length = 79)]
    srt_passphrase: Option<String>,
    /// Length of the AES keys of its SRT contributions in bytes: 16, 24 or 32; 16 where a passphrase is given only.
    srt_key_bytes: Option<u64>,
}

/// How a key is rotated.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body in the OpenAPI document")]
pub(super) struct RotateBody {
    /// A key of your own; made at random where it is left out.
    #[schema(min_length = 8, max_length = 128)]
    stream_key: Option<String>,
    /// What becomes of a stream that the old key let in: `keep` or `end`.
    #[schema(default = "keep")]
    streams: Option<String>,
    /// Another passphrase for its SRT contributions; made at random where this is left out and the key has one, or
    /// `srt_key_bytes` is given.
    #[schema(min_length = 10, max_length = 79)]
    srt_passphrase: Option<String>,
    /// Length of the AES keys of its SRT contributions in bytes: 16, 24 or 32; as it was where this is left out.
    srt_key_bytes: Option<u64>,
}

/// The channel's keys, without the secrets.
#[utoipa::path(
    get, path = "/api/v1/channels/{name}/keys", tag = "channels", params(("name" = String, Path, description = "the channel")),
    responses(
        (status = 200, body = KeyList),
        (status = 404, description = "no such channel", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(state): State<Arc<ApiState>>, Named(name): Named) -> Result<Response, Problem> {
    match state.registry.channels().get(&name) {
        Some(channel) => {
            Ok(fresh_json(StatusCode::OK, KeyList { keys: channel.keys.iter().map(|key| key.view()).collect() }))
        }
        None => Err(RegistryError::NotFound { name }.into()),
    }
}

/// Gives a channel one more key. The answer holds it; it is not shown again.
#[utoipa::path(
    post, path = "/api/v1/channels/{name}/keys", tag = "channels", params(("name" = String, Path, description = "the channel")),
    request_body = NewKeyBody,
    responses(
        (status = 201, body = KeyWithSecret),
        (status = 404, description = "no such channel", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the name is taken, or the channel has 32 keys", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a key that cannot be accepted", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn add(
    State(state): State<Arc<ApiState>>,
    Named(name): Named,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let new = new_key(&body).map_err(RegistryError::Config)?;
    let key = new.name.clone();
    let (channel, secret) = state.registry.add_key(&name, new).await?;
    with_secret(StatusCode::CREATED, &channel, &key, &secret)
}

/// Takes a key back: it opens nothing any more, and a stream that it let in ends.
#[utoipa::path(
    delete, path = "/api/v1/channels/{name}/keys/{key}", tag = "channels",
    params(
        ("name" = String, Path, description = "the channel"),
        ("key" = String, Path, description = "the key's name"),
        ("streams" = Option<String>, Query, description = "what becomes of a stream that it let in: `end` or `keep` [default: end]"),
    ),
    responses(
        (status = 204, description = "revoked"),
        (status = 404, description = "no such channel or key", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "set in the configuration file", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(
    State(state): State<Arc<ApiState>>,
    OfChannel(name, key): OfChannel,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let streams = match query.as_deref() {
        None | Some("") => Streams::End,
        Some(query) => match query.strip_prefix("streams=").and_then(streams) {
            Some(streams) => streams,
            None => {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "the query is streams=end or streams=keep, or none"));
            }
        },
    };
    state.registry.revoke_key(&name, &key, streams).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Gives a key another secret; the old one opens nothing any more, and a stream that it let in goes on. The answer holds
/// the new one; it is not shown again.
#[utoipa::path(
    post, path = "/api/v1/channels/{name}/keys/{key}/rotate", tag = "channels",
    params(
        ("name" = String, Path, description = "the channel"),
        ("key" = String, Path, description = "the key's name"),
    ),
    request_body(content = Option<RotateBody>, description = "a key of your own, if you want one, and what becomes of streams"),
    responses(
        (status = 200, body = KeyWithSecret),
        (status = 404, description = "no such channel or key", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "set in the configuration file", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a key that cannot be accepted", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rotate(
    State(state): State<Arc<ApiState>>,
    OfChannel(name, key): OfChannel,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, Problem> {
    let Rotation { chosen, srt, streams } = rotation(body.as_ref()).map_err(RegistryError::Config)?;
    let (channel, secret) = state.registry.rotate_key(&name, &key, chosen, srt, streams).await?;
    with_secret(StatusCode::OK, &channel, &key, &secret)
}

fn with_secret(status: StatusCode, channel: &Channel, key: &KeyName, secret: &StreamKey) -> Result<Response, Problem> {
    match channel.key(key) {
        Some(key) => {
            let srt_passphrase = key.key.srt.as_ref().map(|srt| srt.passphrase.expose().to_owned());
            let (key, stream_key) = (key.view(), secret.expose().to_owned());
            Ok(fresh_json(status, KeyWithSecret { key, stream_key, srt_passphrase }))
        }
        None => Err(RegistryError::NoKey { name: channel.config.name.clone(), key: key.clone() }.into()),
    }
}

fn new_key(body: &Value) -> Result<NewKey, ConfigError> {
    let object = object(body, &["name", "stream_key", "expires", "addresses", "srt_passphrase", "srt_key_bytes"])?;
    let name = match text(object, "name")? {
        Some(name) => KeyName::new(name).map_err(|error| invalid("name", error))?,
        None => return Err(ConfigError::one("name", "is missing; give the key a name, such as \"studio-2\"")),
    };
    let expires = text(object, "expires")?.map(|text| {
        UtcTime::from_iso8601(text).ok_or_else(|| ConfigError::one("expires", "is no time; write 2026-11-22T20:15:00Z"))
    });
    let addresses = match object.get("addresses") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) if list.len() <= MAX_ADDRESSES => {
            list.iter().map(network).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(ConfigError::one("addresses", "is no list of at most 32 networks")),
    };
    Ok(NewKey { name, stream_key: secret(object)?, expires: expires.transpose()?, addresses, srt: srt(object)? })
}

/// What a rotation is to do.
struct Rotation {
    chosen: Option<StreamKey>,
    srt: Option<NewSrt>,
    streams: Streams,
}

fn rotation(body: Option<&Value>) -> Result<Rotation, ConfigError> {
    let Some(body) = body.filter(|body| !body.is_null()) else {
        return Ok(Rotation { chosen: None, srt: None, streams: Streams::Keep });
    };
    let object = object(body, &["stream_key", "streams", "srt_passphrase", "srt_key_bytes"])?;
    let streams = match text(object, "streams")? {
        None => Streams::Keep,
        Some(word) => streams(word).ok_or_else(|| ConfigError::one("streams", "is neither \"keep\" nor \"end\""))?,
    };
    Ok(Rotation { chosen: secret(object)?, srt: srt(object)?, streams })
}

fn srt(object: &Map<String, Value>) -> Result<Option<NewSrt>, ConfigError> {
    let passphrase = text(object, "srt_passphrase")?.map(Passphrase::new).transpose();
    let passphrase = passphrase.map_err(|error| invalid("srt_passphrase", error))?;
    let key_bytes = match object.get("srt_key_bytes") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_u64().ok_or(KeyLengthError).and_then(KeyLength::try_from)),
    };
    let key_bytes = key_bytes.transpose().map_err(|error| invalid("srt_key_bytes", error))?;
    Ok((passphrase.is_some() || key_bytes.is_some()).then_some(NewSrt { passphrase, key_bytes }))
}

fn object<'a>(body: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>, ConfigError> {
    match body {
        Value::Object(object) if object.keys().all(|key| known.contains(&key.as_str())) => Ok(object),
        _ => Err(ConfigError::one("", format!("the body is a JSON object with nothing but {}", known.join(", ")))),
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, ConfigError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ConfigError::one(key, "is not text; give it in quotes")),
    }
}

fn secret(object: &Map<String, Value>) -> Result<Option<StreamKey>, ConfigError> {
    let key = text(object, "stream_key")?.map(StreamKey::from_user);
    key.transpose().map_err(|error| invalid("stream_key", error))
}

fn network(value: &Value) -> Result<Network, ConfigError> {
    let text = value.as_str().ok_or_else(|| ConfigError::one("addresses", "holds something that is not text"))?;
    Network::parse(text).map_err(|error| invalid("addresses", error))
}

fn streams(word: &str) -> Option<Streams> {
    match word {
        "keep" => Some(Streams::Keep),
        "end" => Some(Streams::End),
        _ => None,
    }
}

fn invalid(field: &str, error: impl std::fmt::Display) -> ConfigError {
    ConfigError::one(field, format!("is not valid: {error}"))
}

/// The channel's and the key's name in the path.
pub(super) struct OfChannel(ChannelName, KeyName);

impl<S: Send + Sync> FromRequestParts<S> for OfChannel {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let missing = |detail: String| Problem::new(StatusCode::NOT_FOUND, detail);
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((channel, key)) = path.map_err(|_| missing("the path is not readable text".into()))?;
        let channel = ChannelName::new(&channel).map_err(|error| missing(error.to_string()))?;
        Ok(OfChannel(channel, KeyName::new(&key).map_err(|error| missing(error.to_string()))?))
    }
}

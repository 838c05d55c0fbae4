//! Signed URLs and cookies for viewers, over HTTP: as `aws cloudfront sign` makes them, with a private key of this server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use millstream_access::signed::sign::Terms;
use millstream_access::signed::{Hash, Policy, Signed};
use millstream_media::time::UtcTime;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::problem::Problem;
use super::{ApiState, fresh_json};
use crate::signing::{NoKey, SigningKeys, Wanted};

/// Longest time ahead that a signature may end at, in seconds: 7 days.
pub const LONGEST_SECONDS: u64 = 7 * 86_400;
/// Longest URL or resource, in bytes.
const MAX_URL: usize = 2048;
/// Signatures that are made at once; an RSA signature takes about a millisecond of a core.
const AT_ONCE: usize = 4;

/// The private keys that this server signs with.
#[derive(Clone, Debug)]
pub struct Signer {
    keys: SigningKeys,
    slots: Arc<Semaphore>,
}

impl Signer {
    /// Keys in this folder. It need not be there.
    pub fn new(folder: PathBuf) -> Self {
        Signer { keys: SigningKeys::new(folder), slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// What is to be signed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignBody {
    /// The URL; for cookies it may have wildcards.
    #[schema(max_length = 2048, example = "https://tv.example/live/news/index.m3u8")]
    url: String,
    /// When it ends: a second of the epoch, or RFC 3339. At most 7 days ahead.
    #[schema(value_type = Object, example = "2026-12-01T00:00:00Z")]
    expires: Moment,
    /// When it begins, in the same form.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    not_before: Option<Moment>,
    /// Only for viewers from these IPv4 addresses, such as `192.0.2.0/24`.
    #[serde(default)]
    ip: Option<String>,
    /// What it covers, with wildcards, instead of the URL alone.
    #[serde(default)]
    #[schema(max_length = 2048, example = "https://tv.example/live/news/*")]
    resource: Option<String>,
    /// `url` or `cookies`.
    #[serde(default)]
    #[schema(value_type = String, default = "url")]
    form: Form,
    /// `sha256`, or `sha1` for what knows no other.
    #[serde(default)]
    #[schema(value_type = String, default = "sha256")]
    hash: HashName,
    /// Which key signs; the only one there is, if neither it nor a group is named.
    #[serde(default)]
    key_pair_id: Option<String>,
    /// Which key group signs; of several keys in it the oldest, until its file is removed.
    #[serde(default)]
    key_group: Option<String>,
}

/// A time as it may be written.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Moment {
    /// A second of the epoch.
    Second(u64),
    /// RFC 3339.
    Text(String),
}

impl Moment {
    fn second(&self) -> Option<u64> {
        match self {
            Moment::Second(second) => Some(*second),
            Moment::Text(text) => u64::try_from(UtcTime::from_iso8601(text)?.as_millis() / 1000).ok(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    #[default]
    Url,
    Cookies,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HashName {
    #[default]
    Sha256,
    Sha1,
}

impl From<HashName> for Hash {
    fn from(name: HashName) -> Hash {
        match name {
            HashName::Sha256 => Hash::Sha256,
            HashName::Sha1 => Hash::Sha1,
        }
    }
}

/// A signature: a URL, or cookies.
#[derive(Serialize, ToSchema)]
pub(super) struct SignedAnswer {
    /// Which key signed.
    key_pair_id: String,
    /// When it ends, as a second of the epoch.
    expires: u64,
    /// The signed URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Names and values of the cookies; set them with `Secure`, `HttpOnly` and a `Path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<BTreeMap<String, String>>,
}

/// Signs a URL, or makes signed cookies, in CloudFront's format.
#[utoipa::path(
    post, path = "/api/v1/sign", tag = "access", request_body = SignBody,
    responses(
        (status = 200, body = SignedAnswer),
        (status = 409, description = "no such private key, or several and neither key nor group is named", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "what cannot be signed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn sign(State(state): State<Arc<ApiState>>, JsonBody(body): JsonBody) -> Result<Response, Problem> {
    let body: SignBody = serde_json::from_value(body)
        .map_err(|error| unacceptable(&format!("the body cannot be used: {error}; see /api/v1/openapi.json")))?;
    let now = u64::try_from(state.clock.utc().as_millis() / 1000).unwrap_or(0);
    let terms = terms(&body, now)?;
    let slot = Arc::clone(&state.signer.slots).acquire_owned().await.map_err(|_| away())?;
    let keys = state.signer.keys.clone();
    let signed = tokio::task::spawn_blocking(move || {
        let _until_done = slot;
        made(&keys, &body, &terms.0, terms.1)
    });
    Ok(fresh_json(StatusCode::OK, signed.await.map_err(|_| away())??))
}

/// What is signed, and when it ends.
fn terms(body: &SignBody, now: u64) -> Result<(Terms, u64), Problem> {
    if body.url.len() > MAX_URL || body.resource.as_ref().is_some_and(|resource| resource.len() > MAX_URL) {
        return Err(unacceptable(
            "the URL or the resource is longer than 2048 bytes; sign a shorter one with a wildcard",
        ));
    }
    let time = |moment: &Moment| {
        moment
            .second()
            .ok_or_else(|| unacceptable("a time is a second of the epoch or RFC 3339, such as 2026-12-01T00:00:00Z"))
    };
    let expires = time(&body.expires)?;
    if expires <= now || expires > now + LONGEST_SECONDS {
        return Err(unacceptable(
            "the end is to lie ahead, by 7 days at most; sign longer ones with `millstream sign`",
        ));
    }
    let not_before = body.not_before.as_ref().map(time).transpose()?;
    let canned = not_before.is_none() && body.ip.is_none() && body.resource.is_none() && !body.url.contains('*');
    if canned {
        return Ok((Terms::Until(expires), expires));
    }
    let resource = body.resource.clone().unwrap_or_else(|| body.url.clone());
    Ok((Terms::Custom(Policy { resource, expires, not_before, source: body.ip.clone() }), expires))
}

fn made(keys: &SigningKeys, body: &SignBody, terms: &Terms, expires: u64) -> Result<SignedAnswer, Problem> {
    let wanted = Wanted { id: body.key_pair_id.as_deref(), group: body.key_group.as_deref() };
    let (id, key) = keys.find(wanted)?;
    let random = aws_lc_rs::rand::SystemRandom::new();
    let signed = Signed::over(body.hash.into(), &body.url, terms, &id, &key, &random)
        .map_err(|error| unacceptable(&error.to_string()))?;
    let (url, cookies) = match body.form {
        Form::Url => (Some(signed.url(&body.url)), None),
        Form::Cookies => (None, Some(signed.cookies().into_iter().collect())),
    };
    Ok(SignedAnswer { key_pair_id: id, expires, url, cookies })
}

impl From<NoKey> for Problem {
    fn from(error: NoKey) -> Self {
        let status = match &error {
            NoKey::Name(_) => StatusCode::UNPROCESSABLE_ENTITY,
            NoKey::Empty | NoKey::Id | NoKey::Group | NoKey::Several | NoKey::Unusable(_) => StatusCode::CONFLICT,
        };
        Problem::new(status, error.to_string())
    }
}

fn unacceptable(detail: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

fn away() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "nothing could be signed; try again")
}

//! Assets over HTTP: recordings, imports and clips are listed, shown, renamed, clipped and deleted.
//!
//! - [`query`]: what a list is asked for.
//! - [`body`]: what a clip and a title are asked for.
//! - [`view`]: the JSON of an asset.

mod body;
mod query;
mod view;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, RawQuery, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use millstream_archive::AssetId;
use millstream_archive::asset::Asset;
use millstream_archive::clip::ClipError;
use millstream_archive::library::{ClipOf, LibraryError};
use millstream_archive::store::StoreError;
use serde_json::Value;

use super::body::JsonBody;
use super::problem::Problem;
use super::{ApiState, fresh_json};
use crate::operators::Caller;

pub(super) use body::{NewClipBody, TitleBody};
pub(super) use view::{AssetDeleted, AssetList, AssetView, Storage};

/// Recordings, imports and clips, the newest first, a page at a time.
#[utoipa::path(
    get, path = "/api/v1/assets", tag = "assets",
    params(
        ("channel" = Option<String>, Query, description = "only those of this channel"),
        ("kind" = Option<String>, Query, description = "only `recording`, `import` or `clip`"),
        ("state" = Option<String>, Query, description = "only `recording`, `ended` or `deleting`"),
        ("limit" = Option<u32>, Query, description = "assets on a page, 1 to 500 [default: 50]"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, body = AssetList),
        (status = 400, description = "a parameter that cannot be used", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store does not answer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let query = query::parse(text.as_deref().unwrap_or_default()).map_err(bad_request)?;
    let own = |channel: Option<&str>| caller.grant.covers(channel);
    let page = state.library.list_of(own, &query.filter, query.after.as_ref(), query.limit).await?;
    Ok(fresh_json(StatusCode::OK, AssetList::of(&page)))
}

/// One asset: what is in it, where it plays, and which clips need it.
#[utoipa::path(
    get, path = "/api/v1/assets/{id}", tag = "assets", params(("id" = String, Path, description = "the asset")),
    responses(
        (status = 200, body = AssetView),
        (status = 404, description = "no such asset", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store does not answer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Named(id): Named,
) -> Result<Response, Problem> {
    let shown = state.library.show(&id).await?;
    own(&caller, &shown.asset)?;
    Ok(fresh_json(StatusCode::OK, AssetView::of(&shown.asset, &shown.clips)))
}

/// Gives an asset another title.
#[utoipa::path(
    patch, path = "/api/v1/assets/{id}", tag = "assets", params(("id" = String, Path, description = "the asset")),
    request_body = TitleBody,
    responses(
        (status = 200, body = AssetView),
        (status = 404, description = "no such asset", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "it is being deleted", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a title that cannot be accepted", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store does not answer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn update(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Named(id): Named,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let title = body::title(&body)?;
    own_before(&state, &caller, &id).await?;
    state.library.rename(&id, &title).await?;
    let shown = state.library.show(&id).await?;
    tracing::info!(asset = %id, "asset renamed");
    Ok(fresh_json(StatusCode::OK, AssetView::of(&shown.asset, &shown.clips)))
}

/// Deletes an asset. From now on it does not play; its media goes at `media_until`, but for what `clips` show, which goes
/// with the last of them. A clip goes at once. A channel whose recording is deleted goes on in a new one.
#[utoipa::path(
    delete, path = "/api/v1/assets/{id}", tag = "assets", params(("id" = String, Path, description = "the asset")),
    responses(
        (status = 200, description = "what was done, and what remains", body = AssetDeleted),
        (status = 404, description = "no such asset", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store does not answer; the same request again goes on", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Named(id): Named,
) -> Result<Response, Problem> {
    own_before(&state, &caller, &id).await?;
    let deleted = state.library.delete(&id).await?;
    tracing::info!(asset = %id, clips = deleted.clips.len(), "asset deleted");
    Ok(fresh_json(StatusCode::OK, AssetDeleted::of(&deleted)))
}

/// Makes a clip: an asset that shows a part of another one without a copy, cut at segments; with `precise` at the nearest
/// frames, for which the ends are encoded again, within a minute. It plays when this is answered. `start` and `end` in the
/// answer are the clip's own; what was not recorded yet is not in it.
#[utoipa::path(
    post, path = "/api/v1/clips", tag = "assets", request_body = NewClipBody,
    responses(
        (status = 201, body = AssetView, headers(("Location" = String, description = "the clip's path"))),
        (status = 404, description = "no such asset, or nothing was recorded then", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "the asset is being deleted", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a clip that cannot be made", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store does not answer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn clip(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let wanted = body::clip(&body, state.clock.utc())?;
    match &wanted.of {
        ClipOf::Channel(channel) => caller.owns(Some(channel))?,
        ClipOf::Asset(id) => own_before(&state, &caller, id).await?,
    }
    let began = state.clock.mono();
    // It is finished, or undone, also if the client goes.
    let library = state.library.clone();
    let making = tokio::spawn(async move { library.clip(wanted).await });
    let clip = making.await.map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))??;
    let took_ms = u64::try_from(state.clock.mono().since(began).as_millis()).unwrap_or(u64::MAX);
    tracing::info!(asset = %clip.id, took_ms, "clip made");
    let mut response = fresh_json(StatusCode::CREATED, AssetView::of(&clip, &[]));
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/assets/{}", clip.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// What the assets fill, in all and by channel, and how long they are kept.
#[utoipa::path(
    get, path = "/api/v1/storage", tag = "assets",
    responses(
        (status = 200, body = Storage),
        (status = 503, description = "the store does not answer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn storage(State(state): State<Arc<ApiState>>, caller: Caller) -> Result<Response, Problem> {
    let usage = state.library.usage().await?.of(|channel| caller.grant.covers(channel));
    Ok(fresh_json(StatusCode::OK, Storage::of(&usage, &state.library)))
}

/// An asset of another channel is not there, for a caller who is for some channels only.
fn own(caller: &Caller, asset: &Asset) -> Result<(), Problem> {
    let own = caller.grant.covers(asset.channel.as_deref());
    if own { Ok(()) } else { Err(LibraryError::NotFound(asset.id.clone()).into()) }
}

/// The same before a change; who is for all channels is not held up.
async fn own_before(state: &ApiState, caller: &Caller, id: &AssetId) -> Result<(), Problem> {
    if caller.grant.channels.is_none() {
        return Ok(());
    }
    own(caller, &state.library.show(id).await?.asset)
}

impl From<LibraryError> for Problem {
    fn from(error: LibraryError) -> Self {
        let status = match &error {
            LibraryError::NotFound(_) | LibraryError::NotRecorded { .. } => StatusCode::NOT_FOUND,
            LibraryError::Deleting(_) => StatusCode::GONE,
            LibraryError::Busy(_) | LibraryError::Clip(ClipError::Exists(_)) => StatusCode::CONFLICT,
            LibraryError::Clip(ClipError::Failed(_)) => StatusCode::SERVICE_UNAVAILABLE,
            LibraryError::Clip(_) | LibraryError::TwoRecordings { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            LibraryError::Store(StoreError::Corrupt { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
            LibraryError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            tracing::error!(%error, "asset request failed");
        }
        Problem::new(status, error.to_string())
    }
}

fn bad_request(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// The asset's name in the path. What is no asset's name names no asset.
pub(super) struct Named(AssetId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let missing = |detail: String| Problem::new(StatusCode::NOT_FOUND, detail);
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| missing("the asset's name in the path is not readable text".into()))?;
        AssetId::try_from(text).map(Named).map_err(missing)
    }
}

/// A JSON object's field that must be text.
fn text<'a>(object: &'a serde_json::Map<String, Value>, field: &str) -> Result<Option<&'a str>, &'static str> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("is not text; give it in quotes"),
    }
}

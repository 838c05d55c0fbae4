//! Imports over HTTP: created, sent, watched, cancelled.
//!
//! The file is sent by the tus protocol, version 1.0.0 (tus.io): `HEAD` tells the offset, `PATCH` appends there, so that
//! an upload goes on after any interruption. An import is created with JSON, or as tus creates uploads (extension
//! `creation`).

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use millstream_import::imports::NewImport;
use millstream_import::job::Status;
use millstream_import::{ImportError, Imports, JobId, State as JobState};
use millstream_media::time::UtcTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::upload::{LENGTH, OFFSET, Upload, number};
use super::body::JsonBody;
use super::problem::Problem;
use super::{Guard, fresh_json};
use crate::status::{iso8601, iso8601_option};

#[cfg(test)]
mod fuzz_corpus;
mod upload;

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");

/// The routes of imports under `/api/v1`, behind the guard.
pub fn router(imports: Imports, guard: Guard) -> Router {
    let file = routing::head(offset).patch(append).delete(cancel).options(protocol);
    let routes = Router::new()
        .route("/api/v1/imports", routing::get(list).post(create).options(protocol))
        .route("/api/v1/imports/{id}", routing::get(show).delete(cancel))
        .route("/api/v1/imports/{id}/file", file)
        .with_state(imports);
    guard.before(routes)
}

/// All imports.
#[derive(Serialize, ToSchema)]
pub(super) struct ImportList {
    /// The newest first.
    imports: Vec<ImportView>,
}

/// An import.
#[derive(Serialize, ToSchema)]
pub(super) struct ImportView {
    /// Its name.
    id: String,
    /// The asset it makes.
    asset: String,
    /// The asset's title.
    title: String,
    /// Name of the file where it came from.
    file: String,
    /// Bytes of the file.
    size: u64,
    /// Bytes that are here.
    received: u64,
    /// `uploading`, `waiting`, `importing`, `done`, `failed` or `cancelled`.
    #[schema(value_type = String)]
    state: JobState,
    /// Share that is done, 0 to 1: of the upload while it is `uploading`, then of the encoding.
    share: f64,
    /// Media that is encoded, in seconds.
    position_seconds: f64,
    /// Length of the file, once it is known.
    duration_seconds: Option<f64>,
    /// Media seconds encoded in each second.
    speed: f64,
    /// Time that the encoding still takes.
    seconds_left: Option<f64>,
    /// CPU time of the encode worker, since it was started last.
    cpu_seconds: f64,
    /// When it was created.
    #[serde(serialize_with = "iso8601")]
    #[schema(value_type = String, format = DateTime)]
    created: UtcTime,
    /// When it was over.
    #[serde(serialize_with = "iso8601_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    ended: Option<UtcTime>,
    /// Why it failed.
    error: Option<String>,
    /// What was left out or changed, and what of the file is missing.
    notes: Vec<String>,
    /// Where the file is sent, while it is `uploading`.
    upload: Option<String>,
    /// The HLS playlist, once it is `done`.
    hls: Option<String>,
    /// The DASH manifest, once it is `done`.
    dash: Option<String>,
}

/// A file to be imported.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewImportBody {
    /// Bytes of the file.
    #[schema(minimum = 1)]
    size: u64,
    /// Its name.
    #[serde(default)]
    file: String,
    /// The asset's name in URLs; from the file's name if it is left out.
    #[schema(max_length = 128, pattern = "^[a-z0-9][a-z0-9_-]*$")]
    id: Option<String>,
    /// The asset's title; the file's name if it is left out.
    title: Option<String>,
    /// What the client knows the file by, such as a hash: if an import of the same size and fingerprint is not over, it is
    /// answered instead of a new one.
    #[schema(max_length = 128)]
    fingerprint: Option<String>,
}

impl ImportView {
    fn of(status: &Status) -> Self {
        let job = &status.job;
        let is_done = job.state == JobState::Done;
        let seconds = |ms: u64| ms as f64 / 1000.0;
        ImportView {
            id: job.id.to_string(),
            asset: job.asset.to_string(),
            title: job.title.clone(),
            file: job.file.clone(),
            size: job.size,
            received: status.received,
            state: job.state,
            share: status.share(),
            position_seconds: seconds(status.progress.position_ms),
            duration_seconds: job.duration_ms.map(seconds),
            speed: status.progress.speed,
            seconds_left: status.seconds_left(),
            cpu_seconds: seconds(status.progress.cpu_ms),
            created: job.created,
            ended: job.ended,
            error: job.error.clone(),
            notes: job.notes.clone(),
            upload: (job.state == JobState::Uploading).then(|| upload_path(&job.id)),
            hls: is_done.then(|| format!("/vod/{}/index.m3u8", job.asset)),
            dash: is_done.then(|| format!("/vod/{}/manifest.mpd", job.asset)),
        }
    }
}

fn upload_path(id: &JobId) -> String {
    format!("/api/v1/imports/{id}/file")
}

/// Imports that wait, run, or were over lately, the newest first.
#[utoipa::path(get, path = "/api/v1/imports", tag = "imports", responses((status = 200, body = ImportList)))]
pub(super) async fn list(State(imports): State<Imports>) -> Response {
    fresh_json(StatusCode::OK, ImportList { imports: imports.list().iter().map(ImportView::of).collect() })
}

/// Creates an import; its file is then sent to `upload`. With `Tus-Resumable` and `Upload-Length` instead of a body it is
/// created as tus does, and `Location` is where the file is sent; `Upload-Metadata` may have `filename`, `id`, `title`
/// and `fingerprint`.
#[utoipa::path(
    post, path = "/api/v1/imports", tag = "imports", request_body = NewImportBody,
    responses(
        (status = 200, description = "an import of the same file goes on", body = ImportView),
        (status = 201, body = ImportView, headers(("Location" = String, description = "the import's path"))),
        (status = 409, description = "the asset's name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the spool has no room for it", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a field that cannot be accepted", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "too many imports wait", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(State(imports): State<Imports>, request: Request) -> Result<Response, Problem> {
    let is_tus = request.headers().contains_key(LENGTH);
    let new = if is_tus { from_tus(request.headers())? } else { from_json(request).await? };
    let (status, is_known) = imports.create(new).await?;
    let id = &status.job.id;
    let code = if is_known && !is_tus { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = fresh_json(code, ImportView::of(&status));
    let location = if is_tus { upload_path(id) } else { format!("/api/v1/imports/{id}") };
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(RESUMABLE, VERSION);
    Ok(response)
}

async fn from_json(request: Request) -> Result<NewImport, Problem> {
    use axum::extract::FromRequest as _;
    let JsonBody(value) = JsonBody::from_request(request, &()).await?;
    let body: NewImportBody = serde_json::from_value(value).map_err(|error| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!(
                "the import cannot be accepted: {error}; send size, and file, id, title and fingerprint as you like"
            ),
        )
    })?;
    let NewImportBody { size, file, id, title, fingerprint } = body;
    Ok(NewImport { size, file, asset: id, title, fingerprint })
}

fn from_tus(headers: &HeaderMap) -> Result<NewImport, Problem> {
    let upload = Upload::read(headers).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let Upload { size, file, id, title, fingerprint } = upload;
    Ok(NewImport { size, file, asset: id, title, fingerprint })
}

/// How an import is.
#[utoipa::path(
    get, path = "/api/v1/imports/{id}", tag = "imports", params(("id" = String, Path, description = "the import")),
    responses(
        (status = 200, body = ImportView),
        (status = 404, description = "no such import", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(State(imports): State<Imports>, Named(id): Named) -> Result<Response, Problem> {
    Ok(fresh_json(StatusCode::OK, ImportView::of(&imports.get(&id)?)))
}

/// Cancels an import and deletes what was made of it. One that is over is forgotten, and its asset stays.
#[utoipa::path(
    delete, path = "/api/v1/imports/{id}", tag = "imports", params(("id" = String, Path, description = "the import")),
    responses(
        (status = 204, description = "cancelled"),
        (status = 404, description = "no such import", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(State(imports): State<Imports>, Named(id): Named) -> Result<Response, Problem> {
    imports.cancel(&id).await?;
    Ok((StatusCode::NO_CONTENT, [(RESUMABLE, VERSION)]).into_response())
}

/// How much of the file is here.
#[utoipa::path(
    head, path = "/api/v1/imports/{id}/file", tag = "imports", params(("id" = String, Path, description = "the import")),
    responses(
        (status = 200, headers(
            ("Upload-Offset" = u64, description = "bytes that are here"),
            ("Upload-Length" = u64, description = "bytes of the file"),
        )),
        (status = 404, description = "no such import"),
    )
)]
pub(super) async fn offset(State(imports): State<Imports>, Named(id): Named) -> Result<Response, Problem> {
    let status = imports.get(&id)?;
    let headers = [
        (OFFSET, HeaderValue::from(status.received)),
        (LENGTH, HeaderValue::from(status.job.size)),
        (RESUMABLE, VERSION),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::OK, headers).into_response())
}

/// Appends to the file. When it is whole, the import begins, or waits for others.
#[utoipa::path(
    patch, path = "/api/v1/imports/{id}/file", tag = "imports",
    params(
        ("id" = String, Path, description = "the import"),
        ("Upload-Offset" = u64, Header, description = "where the body begins in the file: as many bytes as are here"),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "taken", headers(("Upload-Offset" = u64, description = "bytes that are here"))),
        (status = 404, description = "no such import", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "not the next byte, or somebody else sends", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "more than was announced", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "not application/offset+octet-stream", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "the disk is full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn append(
    State(imports): State<Imports>,
    Named(id): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind != b"application/offset+octet-stream" {
        let detail =
            "the body is not declared as a piece of a file; send it with Content-Type: application/offset+octet-stream";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let Some(offset) = number(&headers, &OFFSET) else {
        let detail = "Upload-Offset is missing or no number; send where the body begins in the file";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    };
    let at = imports.append(&id, offset, body.into_data_stream()).await?;
    let headers = [(OFFSET, HeaderValue::from(at)), (RESUMABLE, VERSION)];
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

/// What of tus there is.
async fn protocol() -> Response {
    let headers = [
        (RESUMABLE, VERSION),
        (HeaderName::from_static("tus-version"), VERSION),
        (HeaderName::from_static("tus-extension"), HeaderValue::from_static("creation,termination")),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        let status = match &error {
            ImportError::NotFound(_) => StatusCode::NOT_FOUND,
            ImportError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ImportError::AssetExists(_)
            | ImportError::Offset { .. }
            | ImportError::Busy
            | ImportError::NotUploading(_) => StatusCode::CONFLICT,
            ImportError::NoRoom { .. } | ImportError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            ImportError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            ImportError::BrokeOff => StatusCode::BAD_REQUEST,
            ImportError::Spool(_) => StatusCode::INSUFFICIENT_STORAGE,
            ImportError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            tracing::error!(%error, "import request failed");
        }
        Problem::new(status, error.to_string())
    }
}

/// The import's name in the path. What is no import's name names no import.
pub(super) struct Named(JobId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let text = path.map(|Path(text)| text).unwrap_or_default();
        JobId::new(&text).map(Named).ok_or_else(|| ImportError::NotFound(text).into())
    }
}

//! RFC 9457 problem details: the body of every error of the API.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::channel::SettingError;
use crate::documents::DocumentError;
use crate::registry::RegistryError;

/// An error as RFC 9457 problem details.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    /// The status in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong and what to do about it.
    detail: String,
    /// The settings or fields that cannot be accepted, if it is about some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<SettingError>,
    /// When it may be asked again.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem of this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Problem {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// With the fields that cannot be accepted.
    #[must_use]
    pub(super) fn with_errors(self, errors: Vec<SettingError>) -> Self {
        Problem { errors, ..self }
    }

    /// To be asked again after so many seconds.
    #[must_use]
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Problem { retry_after: Some(seconds), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        let status = match &error {
            RegistryError::NotFound { .. } | RegistryError::NoKey { .. } => StatusCode::NOT_FOUND,
            RegistryError::Exists { .. }
            | RegistryError::ManagedByConfig { .. }
            | RegistryError::KeyInConfig { .. }
            | RegistryError::KeyExists { .. }
            | RegistryError::TooManyKeys { .. }
            | RegistryError::Broken { .. }
            | RegistryError::KeyTaken(_)
            | RegistryError::Full
            | RegistryError::Document(
                DocumentError::Exists { .. } | DocumentError::Conflict { .. } | DocumentError::Missing { .. },
            ) => StatusCode::CONFLICT,
            RegistryError::Changed { .. } => StatusCode::PRECONDITION_FAILED,
            RegistryError::Config(_) => StatusCode::UNPROCESSABLE_ENTITY,
            RegistryError::Document(DocumentError::Corrupt { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
            RegistryError::Document(_) | RegistryError::Random => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            tracing::error!(error = %chain(&error), "channel request failed");
        }
        let mut problem = Problem::new(status, error.to_string());
        if let RegistryError::Config(config) = error {
            problem.errors = config.errors;
        }
        problem
    }
}

/// The error and everything that caused it, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

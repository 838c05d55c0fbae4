//! JSON bodies: the media type is checked, the size is bounded, and a mistake is answered with its place.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use http::{StatusCode, header};
use serde_json::Value;

use super::problem::Problem;

/// Time for the whole of a body: who sends a byte now and then would keep its connection for as long as it likes.
const WITHIN: Duration = Duration::from_secs(30);

/// A JSON body.
pub(super) struct JsonBody(pub Value);

/// A JSON body that may be left out.
pub(super) struct OptionalJsonBody(pub Option<Value>);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match OptionalJsonBody::from_request(request, state).await?.0 {
            Some(value) => Ok(JsonBody(value)),
            None => Err(Problem::new(StatusCode::BAD_REQUEST, "the body is empty; send a JSON object")),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalJsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = request.headers().get(header::CONTENT_TYPE).is_some_and(|t| is_json(t.as_bytes()));
        let body = tokio::time::timeout(WITHIN, Bytes::from_request(request, state)).await;
        let late = || Problem::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {WITHIN:?}"));
        let body = body.map_err(|_| late())?.map_err(refused)?;
        if body.is_empty() {
            return Ok(OptionalJsonBody(None));
        }
        if !json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body is not declared as JSON; send it with Content-Type: application/json",
            ));
        }
        match serde_json::from_slice(&body) {
            Ok(value) => Ok(OptionalJsonBody(Some(value))),
            Err(error) => {
                Err(Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}; correct it there")))
            }
        }
    }
}

/// `application/json` or `application/merge-patch+json`, with any parameters.
fn is_json(content_type: &[u8]) -> bool {
    let kind = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/json") || kind.eq_ignore_ascii_case(b"application/merge-patch+json")
}

fn refused(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 kB; send less")
        }
        _ => Problem::new(StatusCode::BAD_REQUEST, "the body ended early; send it again"),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::response::IntoResponse as _;
    use futures::StreamExt as _;

    use super::*;

    /// A byte every twenty seconds, as somebody sends it who wants to keep a connection.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_not_waited_for() {
        let bytes = futures::stream::repeat(()).take(1000).then(async |()| {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Ok::<_, std::io::Error>(" ")
        });
        let request = Request::post("/").header("content-type", "application/json");
        let request = request.body(Body::from_stream(bytes)).unwrap();
        let refused = OptionalJsonBody::from_request(request, &()).await;
        assert!(refused.is_err_and(|problem| problem.into_response().status() == StatusCode::REQUEST_TIMEOUT));
    }
}

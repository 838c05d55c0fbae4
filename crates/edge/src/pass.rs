//! Hands a request for a large file through: not kept, and only as fast as the viewer reads.

use std::sync::Arc;

use http::header::{self, HeaderMap};
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use millstream_delivery::body::{Body, BrokenOff};
use millstream_delivery::respond::{self, CacheLife};

use crate::edge::Shared;
use crate::object;
use crate::upstream::request_headers;

/// Hands a request for a large file through, ranges and conditions included, as fast as the viewer reads.
pub async fn pass(shared: &Arc<Shared>, target: &str, method: &Method, asked: &HeaderMap) -> Response<Body> {
    shared.metrics.passed.increment();
    let Ok(permit) = Arc::clone(&shared.passes).try_acquire_owned() else {
        return respond::unavailable("too many large files are on their way\n");
    };
    let mut headers = request_headers(&shared.id, None);
    for name in [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
        if let Some(value) = asked.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let order = shared.upstream.order();
    for (turn, index) in order.iter().copied().enumerate() {
        let config = &shared.config;
        // The beginning of a recording may come out of a store far away.
        let limit = if turn + 1 < order.len() { config.part_hold } else { config.last_timeout };
        let answer = shared.upstream.send(index, method, target, &headers, limit).await;
        let response = match answer {
            Ok(response) if !response.status().is_server_error() => response,
            Ok(_) => continue,
            Err(fault) => {
                shared.upstream.failed(index, &fault.to_string());
                continue;
            }
        };
        shared.upstream.succeeded(index);
        let (parts, body) = response.into_parts();
        let length = body.size_hint().exact();
        let mut head = object::kept_headers(&parts.headers);
        for name in [header::ETAG, header::CONTENT_RANGE, header::ACCEPT_RANGES, header::CONTENT_LENGTH] {
            if let Some(value) = parts.headers.get(&name) {
                head.insert(name, value.clone());
            }
        }
        respond::open_to_all(&mut head);
        let idle = shared.config.idle_timeout;
        let rest = futures::stream::unfold(Some((body, permit)), move |state| async move {
            let (mut body, permit) = state?;
            loop {
                match tokio::time::timeout(idle, body.frame()).await {
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(piece) => return Some((Ok(piece), Some((body, permit)))),
                        Err(_) => continue,
                    },
                    Ok(None) => return None,
                    Ok(Some(Err(_))) | Err(_) => return Some((Err(BrokenOff::Upstream), None)),
                }
            }
        });
        let body = match length {
            _ if *method == Method::HEAD => Body::empty(),
            Some(length) => Body::sized(length, Box::pin(rest)),
            None => {
                // The server frames it; a length beside that would be a second frame.
                head.remove(header::CONTENT_LENGTH);
                Body::unfinished([], Box::pin(rest))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = parts.status;
        *response.headers_mut() = head;
        return response;
    }
    respond::plain(StatusCode::BAD_GATEWAY, "no origin can be reached\n", CacheLife::Seconds(1))
}

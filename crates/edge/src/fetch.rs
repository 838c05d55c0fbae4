//! Gets one object: from the disk, or from the origins.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::HeaderValue;
use millstream_telemetry::RequestKind;

use crate::attempt::{Question, Trouble, Won};
use crate::cadence;
use crate::clock;
use crate::edge::Shared;
use crate::flight::Flight;
use crate::key::Asked;
use crate::object::{self, Object};
use crate::race;
use crate::upstream::{Fault, request_headers};

/// Answers that live shorter are not written to disk.
const DURABLE_LIFE: Duration = Duration::from_secs(60);

/// Fetches `key` into `flight`, which has its end when this returns.
pub async fn fetch(shared: &Arc<Shared>, key: &String, asked: Asked, way: Option<&HeaderValue>, flight: &Flight) {
    if asked.is_media()
        && let Some(object) = shared.cache.load(key).await
        && object.freshness().is_fresh_at(clock::now())
    {
        shared.metrics.disk_hits.increment();
        flight.finish(object);
        return;
    }
    shared.metrics.misses.increment();
    let headers = Arc::new(request_headers(&shared.id, way));
    let question = Question { target: Arc::from(key.as_str()), asked, headers };
    let object = match race::first(shared, &question).await {
        Ok(Won::Whole(object)) => object,
        Ok(Won::Begun(begun)) => match begun.arrive(shared, &question, flight).await {
            Some(object) => object,
            None => return flight.break_off(),
        },
        Err(Some(Trouble::Answer(object))) => object,
        Err(Some(Trouble::Fault(Fault::TimeOut))) => {
            object::failure(StatusCode::GATEWAY_TIMEOUT, "no origin answered in time\n")
        }
        Err(Some(Trouble::NoRoom)) => {
            object::failure(StatusCode::SERVICE_UNAVAILABLE, "no room for this object at the edge\n")
        }
        Err(Some(Trouble::Fault(Fault::Connection(_))) | None) => {
            object::failure(StatusCode::BAD_GATEWAY, "no origin can be reached\n")
        }
    };
    land(shared, key, asked, object, flight);
}

/// Keeps the object before the flight ends, so that nobody asks for it again in between.
fn land(shared: &Shared, key: &str, asked: Asked, object: Object, flight: &Flight) {
    let (freshness, now) = (object.freshness(), clock::now());
    if asked.kind == RequestKind::Playlist
        && object.status() == StatusCode::OK
        && let Some(playlist) = cadence::playlist(key)
    {
        shared.cadence.learn(playlist, object.body(), now);
    }
    if freshness.is_fresh_at(now) {
        let durable = asked.is_media() && object.status() == StatusCode::OK && freshness.life >= DURABLE_LIFE;
        shared.cache.keep(key.to_owned(), object.clone(), durable);
    }
    flight.finish(object);
}

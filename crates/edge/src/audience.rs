//! How many watch each channel through this edge: what is counted of manifests, and set as a metric now and then.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Request, header};
use millstream_delivery::viewers::Viewers;
use millstream_telemetry::{Gauge, Metrics, table};

use crate::clock::Moment;

/// Channels whose viewers are counted; those beyond are not.
const MAX_CHANNELS: usize = 1000;
/// The longest time between two manifest requests of a playing client.
const PERIOD: Duration = Duration::from_secs(8);

struct Channel {
    viewers: Viewers,
    gauge: Gauge,
}

/// The viewers of each channel.
pub struct Audience {
    metrics: Metrics,
    channels: Mutex<HashMap<String, Channel>>,
}

impl Audience {
    /// Nobody yet.
    pub fn new(metrics: Metrics) -> Self {
        Audience { metrics, channels: Mutex::default() }
    }

    /// Notes that a manifest of `channel` was given to a client.
    pub fn seen(&self, channel: &str, request: &Request<()>, peer: SocketAddr, now: Moment) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if !channels.contains_key(channel) {
            if channels.len() >= MAX_CHANNELS {
                return;
            }
            let gauge = self.metrics.gauge(&table::VIEWERS, &[channel]);
            channels.insert(channel.to_owned(), Channel { viewers: Viewers::new(PERIOD), gauge });
        }
        if let Some(channel) = channels.get(channel) {
            channel.viewers.seen(client_hash(request, peer), now.since(Moment::default()));
        }
    }

    /// Sets the metrics; channels without viewers go.
    pub fn refresh_at(&self, now: Moment) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|name, channel| {
            let count = channel.viewers.count_at(now.since(Moment::default()));
            channel.gauge.set(count as f64);
            if count == 0 {
                self.metrics.remove_channel(name);
            }
            count > 0
        });
    }
}

/// One number for one client: its address and user agent.
fn client_hash(request: &Request<()>, peer: SocketAddr) -> u64 {
    let agent = request.headers().get(header::USER_AGENT).map_or(&[][..], |agent| agent.as_bytes());
    match peer.ip() {
        std::net::IpAddr::V4(ip) => xxhash_rust::xxh3::xxh3_64_with_seed(agent, u32::from(ip).into()),
        std::net::IpAddr::V6(ip) => {
            xxhash_rust::xxh3::xxh3_64_with_seed(agent, xxhash_rust::xxh3::xxh3_64(&ip.octets()))
        }
    }
}

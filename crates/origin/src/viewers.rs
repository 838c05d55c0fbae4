//! How many watch, on the origin's clock.

use std::time::Duration;

use millstream_delivery::viewers;
use millstream_media::time::MonoTime;

/// [`viewers::Viewers`] in monotonic time.
#[derive(Debug)]
pub struct Viewers(viewers::Viewers);

impl Viewers {
    /// A counter whose figure covers between one and two times `period`.
    pub fn new(period: Duration) -> Self {
        Viewers(viewers::Viewers::new(period))
    }

    /// Notes a manifest request of the client with this hash (of its address and user agent).
    pub fn seen(&self, client: u64, now: MonoTime) {
        self.0.seen(client, now.0);
    }

    /// Clients seen lately.
    pub fn count_at(&self, now: MonoTime) -> usize {
        self.0.count_at(now.0)
    }
}

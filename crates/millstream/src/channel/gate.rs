//! Lets publishers in: by their key, past the outside service if there is one, and slowly where somebody guesses.
//!
//! A publisher is told that its key is not valid, whatever is wrong with it; the log and the metrics say what it was.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_access::StreamKeyHash;
use millstream_access::publisher::guesses::Guesses;
use millstream_access::publisher::webhook::Question;
use millstream_access::publisher::{KeyRefusal, Takeover};
use millstream_control::registry::{self, Opened, Registry};
use millstream_ingest::listener::{Admission, Authorizer};
use millstream_ingest::publishers;
use millstream_ingest::rtmp::{PublishRequest, Refusal};
use millstream_media::time::Clock;
use millstream_telemetry::ServerMetrics;

use super::runtime::Routes;
use super::webhook::{Verdict, Webhook};

/// The listener's authoriser.
pub struct Gate {
    registry: Arc<Registry>,
    routes: Routes,
    clock: Arc<dyn Clock>,
    metrics: ServerMetrics,
    webhook: Option<Webhook>,
    guesses: Mutex<Guesses>,
}

impl Gate {
    /// A gate to the channels of `routes`.
    pub(super) fn new(registry: Arc<Registry>, routes: Routes, clock: Arc<dyn Clock>, metrics: ServerMetrics) -> Self {
        Gate { registry, routes, clock, metrics, webhook: None, guesses: Mutex::default() }
    }

    /// The same, which asks an outside service about every publisher whose key is right.
    #[must_use]
    pub fn asking(self, webhook: Option<Webhook>) -> Self {
        Gate { webhook, ..self }
    }

    /// Looks at the key, unless its address is shut out.
    fn open(&self, key: &str, peer: SocketAddr) -> Result<Opened, Refusal> {
        let guesses = || self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = guesses().shut_out_at(peer.ip(), self.clock.mono()) {
            tracing::debug!(%peer, ?wait, "publisher refused: too many wrong keys from its address");
            return Err(self.refused("slowed", Refusal::BadKey));
        }
        let refusal = match self.registry.authorize(registry::APP, key, peer.ip()) {
            Ok(opened) => return Ok(opened),
            Err(refusal) => refusal,
        };
        let (channel, name) = match &refusal {
            registry::Refusal::UnknownApp | registry::Refusal::UnknownKey => (None, None),
            registry::Refusal::Disabled { channel } => (Some(channel.as_str()), None),
            registry::Refusal::Key { channel, key, .. } => (Some(channel.as_str()), Some(key.as_str())),
        };
        tracing::warn!(channel, key = name, %peer, reason = %refusal, "publisher refused");
        let (reason, answer) = match refusal {
            registry::Refusal::Disabled { .. } => ("stopped", Refusal::ChannelStopped),
            registry::Refusal::Key { cause: KeyRefusal::Expired, .. } => ("expired", Refusal::BadKey),
            registry::Refusal::Key { cause: KeyRefusal::Address, .. } => ("address", Refusal::BadKey),
            registry::Refusal::Key { cause: KeyRefusal::Revoked, .. } => ("revoked", Refusal::BadKey),
            registry::Refusal::UnknownApp | registry::Refusal::UnknownKey => {
                let wait = guesses().wrong_at(peer.ip(), StreamKeyHash::of(key), self.clock.mono());
                if let Some(wait) = wait {
                    tracing::warn!(address = %peer.ip(), ?wait, "many wrong stream keys: publishers from there are shut out");
                }
                ("key", Refusal::BadKey)
            }
        };
        Err(self.refused(reason, answer))
    }

    /// Asks the outside service, if there is one.
    async fn ask(&self, opened: &Opened, request: &PublishRequest, peer: SocketAddr) -> Result<(), Refusal> {
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let now = self.clock.utc();
        let question = Question {
            event: "publish",
            channel: opened.channel.as_str(),
            key: opened.key.as_str(),
            protocol: "rtmp",
            address: peer.ip().to_canonical().to_string(),
            port: peer.port(),
            encoder: request.encoder.as_deref(),
            time: now.to_iso8601(),
        };
        let second = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
        let (reason, cause) = match webhook.ask(&question, second).await {
            Verdict::Allowed => return Ok(()),
            Verdict::Denied => ("webhook", "ingest.authorize_url refused it"),
            Verdict::Unanswered => ("webhook_failed", "ingest.authorize_url gave no answer"),
        };
        let (channel, key) = (&opened.channel, &opened.key);
        tracing::warn!(%channel, %key, %peer, reason = cause, "publisher refused");
        Err(self.refused(reason, Refusal::BadKey))
    }

    fn refused(&self, reason: &'static str, answer: Refusal) -> Refusal {
        self.metrics.ingest_refused("rtmp", reason).increment();
        answer
    }
}

impl Authorizer for Gate {
    async fn authorize(&self, request: PublishRequest, peer: SocketAddr) -> Result<Admission, Refusal> {
        let opened = self.open(request.key.expose(), peer)?;
        self.ask(&opened, &request, peer).await?;
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let Some(events) = routes.get(opened.channel.as_str()).cloned() else {
            tracing::warn!(channel = %opened.channel, %peer, reason = "the channel is starting or ending", "publisher refused");
            return Err(Refusal::Unavailable);
        };
        tracing::info!(channel = %opened.channel, key = %opened.key, %peer, "publisher let in");
        let takeover = match opened.takeover {
            Takeover::First => publishers::Takeover::First,
            Takeover::Newest => publishers::Takeover::Newest,
        };
        let channel = opened.channel.as_str().to_owned();
        Ok(Admission { channel, events, takeover, revoked: opened.ended })
    }
}

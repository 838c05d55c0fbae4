//! Lets publishers in: by their key, past the outside service if there is one, and slowly where somebody guesses.
//!
//! A publisher is told that its key is not valid, whatever is wrong with it; the log and the metrics say what it was.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_access::StreamKeyHash;
use millstream_access::publisher::guesses::Guesses;
use millstream_access::publisher::webhook::Question;
use millstream_access::publisher::{KeyRefusal, Takeover};
use millstream_control::channel::Mode;
use millstream_control::registry::{self, Opened, Registry};
use millstream_ingest::listener::{Admission, Authorizer};
use millstream_ingest::publishers;
use millstream_ingest::rtmp::{PublishRequest, Refusal};
use millstream_ingest::source::Protocol;
use millstream_media::time::Clock;
use millstream_telemetry::ServerMetrics;

use super::admitted::{Admitted, Uploader};
use super::contributed::Upload;
use super::runtime::{Route, Routes};
use super::webhook::{Verdict, Webhook};
use tokio::sync::{mpsc, watch};

/// An upload that may come in.
#[derive(Debug)]
pub struct LetIn {
    /// The name of its key.
    pub key: String,
    /// The way into the channel's task.
    pub uploads: mpsc::Sender<Upload>,
    /// True when its key was revoked.
    pub revoked: watch::Receiver<bool>,
}

/// Why an upload may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadRefusal {
    /// No such channel, or none that takes uploads.
    #[error("no channel of this name takes CMAF ingest; create it with mode \"cmaf\"")]
    NoChannel,
    /// It is stopped.
    #[error("the channel is stopped; start it first")]
    Stopped,
    /// No credentials.
    #[error("give the channel's stream key: its name and the key as user and password, or the key as bearer token")]
    NoKey,
    /// Wrong ones.
    #[error("the credentials are not valid for this channel")]
    BadKey,
    /// Now it is not possible.
    #[error("the channel is starting or ending; try again")]
    Unavailable,
}

/// The listener's authoriser.
pub struct Gate {
    registry: Arc<Registry>,
    routes: Routes,
    clock: Arc<dyn Clock>,
    metrics: ServerMetrics,
    webhook: Option<Webhook>,
    guesses: Mutex<Guesses>,
    admitted: Mutex<Admitted>,
}

impl Gate {
    /// A gate to the channels of `routes`.
    pub(super) fn new(registry: Arc<Registry>, routes: Routes, clock: Arc<dyn Clock>, metrics: ServerMetrics) -> Self {
        Gate { registry, routes, clock, metrics, webhook: None, guesses: Mutex::default(), admitted: Mutex::default() }
    }

    /// The same, which asks an outside service about every publisher whose key is right.
    #[must_use]
    pub fn asking(self, webhook: Option<Webhook>) -> Self {
        Gate { webhook, ..self }
    }

    /// Looks at the key, unless its address is shut out.
    fn open(&self, protocol: Protocol, key: &str, peer: SocketAddr) -> Result<Opened, Refusal> {
        let guesses = || self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = guesses().shut_out_at(peer.ip(), self.clock.mono()) {
            tracing::debug!(%peer, ?wait, "publisher refused: too many wrong keys from its address");
            return Err(self.refused(protocol, "slowed", Refusal::BadKey));
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
        Err(self.refused(protocol, reason, answer))
    }

    /// Says something on a channel's page that its encoder's operator should know, until the next contribution begins.
    pub fn warn(&self, channel: &str, warning: &str) {
        if let Some(channel) = self.registry.channels().find(channel) {
            channel.status.warn(warning);
        }
    }

    /// Lets an upload to `channel` in. `key` is the stream key, `user` what stands before it.
    ///
    /// # Errors
    /// [`UploadRefusal`]; it is logged and counted.
    pub async fn upload(
        &self,
        channel: &str,
        user: Option<&str>,
        key: Option<&str>,
        encoder: Option<&str>,
        peer: SocketAddr,
    ) -> Result<LetIn, UploadRefusal> {
        let known = self.registry.channels().find(channel).map(|channel| channel.config.mode);
        if known != Some(Mode::Cmaf) {
            tracing::debug!(channel, %peer, "upload refused: no such channel, or its mode is not cmaf");
            self.metrics.ingest_refused("cmaf", "channel").increment();
            return Err(UploadRefusal::NoChannel);
        }
        let Some(key) = key else { return Err(UploadRefusal::NoKey) };
        let admitted = || self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let who = (channel.to_owned(), StreamKeyHash::of(key), peer.ip());
        let now = self.clock.mono();
        let again = admitted().again_at(&who, now);
        let (name, ended, ask) = match again {
            Some(Uploader { key, ended, ask }) => (key, ended, ask),
            None => {
                admitted().forget_at(now);
                let opened = self.open(Protocol::Cmaf, key, peer).map_err(|refusal| match refusal {
                    Refusal::ChannelStopped => UploadRefusal::Stopped,
                    _ => UploadRefusal::BadKey,
                })?;
                if opened.channel.as_str() != channel {
                    tracing::warn!(channel, %peer, key = %opened.key, reason = "the key is another channel's", "publisher refused");
                    return Err(self.upload_refused());
                }
                tracing::info!(channel, key = %opened.key, %peer, "uploads let in");
                (opened.key.as_str().to_owned(), opened.ended, true)
            }
        };
        if user.is_some_and(|user| user != name) {
            tracing::warn!(channel, %peer, key = name, reason = "the user is not the key's name", "publisher refused");
            return Err(self.upload_refused());
        }
        if ask {
            self.ask(Protocol::Cmaf, channel, &name, encoder, peer).await.map_err(|_| UploadRefusal::BadKey)?;
            admitted().let_in_at(who, name.clone(), ended.clone(), now);
        }
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Route { uploads, .. }) = routes.get(channel).cloned() else { return Err(UploadRefusal::Unavailable) };
        Ok(LetIn { key: name, uploads, revoked: ended })
    }

    fn upload_refused(&self) -> UploadRefusal {
        self.metrics.ingest_refused("cmaf", "key").increment();
        UploadRefusal::BadKey
    }

    /// Asks the outside service, if there is one.
    async fn ask(
        &self,
        protocol: Protocol,
        channel: &str,
        key: &str,
        encoder: Option<&str>,
        peer: SocketAddr,
    ) -> Result<(), Refusal> {
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let now = self.clock.utc();
        let question = Question {
            event: "publish",
            channel,
            key,
            protocol: protocol.as_str(),
            address: peer.ip().to_canonical().to_string(),
            port: peer.port(),
            encoder,
            time: now.to_iso8601(),
        };
        let second = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
        let (reason, cause) = match webhook.ask(&question, second).await {
            Verdict::Allowed => return Ok(()),
            Verdict::Denied => ("webhook", "ingest.authorize_url refused it"),
            Verdict::Unanswered => ("webhook_failed", "ingest.authorize_url gave no answer"),
        };
        tracing::warn!(channel, key, %peer, reason = cause, "publisher refused");
        Err(self.refused(protocol, reason, Refusal::BadKey))
    }

    fn refused(&self, protocol: Protocol, reason: &'static str, answer: Refusal) -> Refusal {
        self.metrics.ingest_refused(protocol.as_str(), reason).increment();
        answer
    }
}

impl Authorizer for Gate {
    async fn authorize(&self, request: PublishRequest, peer: SocketAddr) -> Result<Admission, Refusal> {
        let opened = self.open(Protocol::Rtmp, request.key.expose(), peer)?;
        if self.registry.channels().get(&opened.channel).is_some_and(|c| c.config.mode == Mode::Cmaf) {
            tracing::warn!(channel = %opened.channel, %peer, reason = "the channel takes CMAF ingest only; its mode is cmaf", "publisher refused");
            return Err(self.refused(Protocol::Rtmp, "mode", Refusal::Unavailable));
        }
        self.ask(Protocol::Rtmp, opened.channel.as_str(), opened.key.as_str(), request.encoder.as_deref(), peer)
            .await?;
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Route { source: events, .. }) = routes.get(opened.channel.as_str()).cloned() else {
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

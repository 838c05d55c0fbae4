//! Asks the operator's service whether a publisher may come in (`ingest.authorize_url`).

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use millstream_access::publisher::webhook::{self, Answer, Question};
use tokio::sync::Semaphore;

use super::outbound::agent;
use crate::config::settings::{Ingest, OnFailure};

/// Questions under way at once; others wait for their turn, and their time runs.
const AT_ONCE: usize = 32;

/// The operator's service.
pub struct Webhook {
    agent: ureq::Agent,
    url: String,
    secret: Vec<u8>,
    timeout: Duration,
    on_failure: OnFailure,
    slots: Arc<Semaphore>,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let in by the service, or because it gave no answer and that is how it is set.
    Allowed,
    /// The service refused.
    Denied,
    /// The service gave no answer in time.
    Unanswered,
}

impl Webhook {
    /// The service that is configured, if one is.
    pub fn new(set: &Ingest) -> Option<Self> {
        if set.authorize_url.is_empty() {
            return None;
        }
        let timeout = Duration::from_millis(set.authorize_seconds.millis().into());
        Some(Webhook {
            agent: agent(timeout),
            url: set.authorize_url.clone(),
            secret: set.authorize_secret.expose().as_bytes().to_vec(),
            timeout,
            on_failure: set.authorize_on_failure,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Asks. Takes no longer than `ingest.authorize_seconds`. `second` is the time as a second of the epoch.
    pub async fn ask(&self, question: &Question<'_>, second: u64) -> Verdict {
        match tokio::time::timeout(self.timeout, self.answer(question, second)).await {
            Ok(Ok(Answer::Allow)) => return Verdict::Allowed,
            Ok(Ok(Answer::Deny)) => return Verdict::Denied,
            Ok(Ok(Answer::None)) => tracing::error!("ingest.authorize_url answered neither 2xx nor 401 or 403"),
            Ok(Err(error)) => tracing::error!("ingest.authorize_url cannot be asked: {error:#}"),
            Err(_) => tracing::error!(timeout = ?self.timeout, "ingest.authorize_url did not answer in time"),
        }
        match self.on_failure {
            OnFailure::Allow => Verdict::Allowed,
            OnFailure::Deny => Verdict::Unanswered,
        }
    }

    async fn answer(&self, question: &Question<'_>, second: u64) -> Result<Answer> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.context("closed")?;
        let body = serde_json::to_vec(question)?;
        let signature = webhook::sign(&self.secret, second, &body);
        let request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header(webhook::TIMESTAMP_HEADER, second.to_string())
            .header(webhook::SIGNATURE_HEADER, signature);
        let status = tokio::task::spawn_blocking(move || {
            let _until_done = slot;
            request.send(&body[..]).map(|answer| answer.status().as_u16())
        });
        // The URL may hold a secret of its own: ureq's messages do not repeat it.
        let status = status.await.context("the question was cut")?.map_err(|error| anyhow!("{error}"))?;
        Ok(webhook::answer(status))
    }
}

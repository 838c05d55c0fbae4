//! Log-in by an OpenID Connect issuer: its addresses and keys are asked for, a code is redeemed, and what the ID token says
//! becomes a role. The network is given by the caller.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream_access::operator::Grant;
use millstream_access::operator::openid::answer::Document;
use millstream_access::operator::openid::{Attempt, Claims, Expected, IdTokenError, Keys, RoleRules, escaped, form};
use millstream_media::time::{Clock, MonoTime};
use rand::TryRngCore as _;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::error::OperatorsError;
use super::waiting::Place;

/// Where the issuer sends the browser back to, below the server's public URL.
pub const CALLBACK: &str = "/api/v1/session/openid/callback";
/// How long what the issuer says about itself holds.
const HOLDS: Duration = Duration::from_secs(600);
/// Keys are asked for again so soon at most, when a signature is by an unknown one.
const AGAIN: Duration = Duration::from_secs(10);
/// Questions to the issuer at once; others wait.
const AT_ONCE: usize = 4;
/// Log-ins that wait for their turn to ask; more are sent away.
const MOST_WAITING: usize = 32;

/// Asks the issuer; each call may take seconds and has bounds of its own.
pub trait Network: Send + Sync {
    /// The document at a URL.
    ///
    /// # Errors
    /// Why there is none, without secrets.
    fn get(&self, url: &str) -> Result<Vec<u8>, String>;

    /// The answer to a form.
    ///
    /// # Errors
    /// Why there is none, without secrets.
    fn post(&self, url: &str, authorization: &str, form: &str) -> Result<Vec<u8>, String>;
}

/// What the configuration says.
#[derive(Clone)]
pub struct OpenIdSettings {
    /// The issuer, as it writes itself.
    pub issuer: String,
    /// What the issuer calls this server.
    pub client: String,
    /// The secret that the issuer gave it.
    pub secret: String,
    /// Where browsers reach this server, such as `https://tv.example`.
    pub url: String,
    /// What is asked for, such as `openid profile email`.
    pub scopes: String,
    /// The claim that roles are read from.
    pub claim: String,
    /// Which role somebody has by its values.
    pub rules: RoleRules,
}

/// The issuer.
pub struct OpenId {
    settings: OpenIdSettings,
    network: Arc<dyn Network>,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Known>>,
    /// When keys were last asked for again.
    again: Mutex<Option<MonoTime>>,
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
}

#[derive(Clone)]
struct Known {
    document: Document,
    keys: Keys,
    since: MonoTime,
}

/// Nobody is logged in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenIdError {
    /// The issuer gave no usable answer.
    #[error("the issuer {issuer} gave no usable answer: {reason}")]
    Issuer {
        /// The issuer.
        issuer: String,
        /// What was wrong.
        reason: String,
    },
    /// Its ID token is not believed.
    #[error("{0}")]
    Token(#[from] IdTokenError),
    /// Whoever it is has no role here.
    #[error("{name} has no role here by the claim {claim}; add a rule to operators.openid_roles")]
    NoRole {
        /// Who it is.
        name: String,
        /// Where roles are read from.
        claim: String,
    },
    /// The issuer is slow, and many want to log in.
    #[error("{MOST_WAITING} log-ins wait for the issuer already; it may be slow, or somebody begins them without end")]
    Busy,
    /// The server cannot.
    #[error("{0}")]
    Operators(#[from] OperatorsError),
}

impl OpenId {
    /// An issuer that is asked through `network`.
    pub fn new(settings: OpenIdSettings, network: Arc<dyn Network>, clock: Arc<dyn Clock>) -> Self {
        OpenId {
            settings,
            network,
            clock,
            known: Mutex::new(None),
            again: Mutex::new(None),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether browsers reach this server by HTTPS.
    pub fn is_secure(&self) -> bool {
        self.settings.url.starts_with("https://")
    }

    /// Begins a log-in. Gives its secrets, for a cookie, and where the browser goes.
    ///
    /// # Errors
    /// [`OpenIdError`].
    pub async fn begin(self: &Arc<Self>) -> Result<(Attempt, String), OpenIdError> {
        let mut random = [[0_u8; 32]; 3];
        for bytes in &mut random {
            rand::rngs::OsRng.try_fill_bytes(bytes).map_err(|_| OperatorsError::Random)?;
        }
        let attempt = Attempt::new(random);
        let own = Arc::clone(self);
        let known = self.apart(move || own.known(HOLDS)).await?;
        let (set, redirect) = (&self.settings, self.redirect());
        let url = attempt.url(&known.document.authorization_endpoint, &set.client, &redirect, &set.scopes);
        Ok((attempt, url))
    }

    /// Ends a log-in: who it is, and what they may do.
    ///
    /// # Errors
    /// [`OpenIdError`].
    pub async fn end(self: &Arc<Self>, attempt: Attempt, code: String) -> Result<(String, Grant), OpenIdError> {
        let own = Arc::clone(self);
        let claims = self.apart(move || own.redeemed(&attempt, &code)).await?;
        let name = claims.name();
        match self.settings.rules.grant(&claims, &self.settings.claim) {
            Some(grant) => Ok((name, grant)),
            None => Err(OpenIdError::NoRole { name, claim: self.settings.claim.clone() }),
        }
    }

    fn redirect(&self) -> String {
        format!("{}{CALLBACK}", self.settings.url.trim_end_matches('/'))
    }

    /// Runs what waits for the network where nothing else waits for it.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, OpenIdError> + Send + 'static,
    ) -> Result<T, OpenIdError> {
        let place = Place::take(&self.waiting, MOST_WAITING).ok_or(OpenIdError::Busy)?;
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| OperatorsError::Away)?;
        drop(place);
        let working = tokio::task::spawn_blocking(move || {
            let _until_done = slot;
            work()
        });
        working.await.map_err(|_| OperatorsError::Away)?
    }

    fn failed(&self, reason: impl Into<String>) -> OpenIdError {
        OpenIdError::Issuer { issuer: self.settings.issuer.clone(), reason: reason.into() }
    }

    /// What the issuer says about itself, asked for again if it is older than `holds`.
    fn known(&self, holds: Duration) -> Result<Known, OpenIdError> {
        let now = self.clock.mono();
        let kept = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = kept.filter(|known| now.since(known.since) < holds) {
            return Ok(known);
        }
        let get = |url: &str| self.network.get(url).map_err(|reason| self.failed(reason));
        let url = format!("{}/.well-known/openid-configuration", self.settings.issuer.trim_end_matches('/'));
        let document = Document::parse(&get(&url)?, &self.settings.issuer);
        let document = document.map_err(|error| self.failed(error.to_string()))?;
        let keys = Keys::parse(&get(&document.jwks_uri)?)?;
        let known = Known { document, keys, since: now };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    fn redeemed(&self, attempt: &Attempt, code: &str) -> Result<Claims, OpenIdError> {
        let set = &self.settings;
        let known = self.known(HOLDS)?;
        let redirect = self.redirect();
        let body = form(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect),
            ("client_id", &set.client),
            ("code_verifier", &attempt.verifier),
        ]);
        // RFC 6749 2.3.1: both are encoded as in a form first.
        let secret = STANDARD.encode(format!("{}:{}", escaped(&set.client), escaped(&set.secret)));
        let answer = self.network.post(&known.document.token_endpoint, &format!("Basic {secret}"), &body);
        let answer: Value = serde_json::from_slice(&answer.map_err(|reason| self.failed(reason))?)
            .map_err(|_| self.failed("its token endpoint answers no JSON"))?;
        let Some(token) = answer.get("id_token").and_then(Value::as_str) else {
            return Err(self.failed("it gave no ID token; allow the scope openid"));
        };
        let now = self.clock.utc();
        let expected = Expected { issuer: &set.issuer, client: &set.client, nonce: &attempt.nonce, now };
        match Claims::verify(token, &known.keys, expected) {
            // Its keys may have been rotated.
            Err(IdTokenError::Signature) if self.may_ask_again() => {
                Ok(Claims::verify(token, &self.known(Duration::ZERO)?.keys, expected)?)
            }
            verdict => Ok(verdict?),
        }
    }

    fn may_ask_again(&self) -> bool {
        let now = self.clock.mono();
        let mut last = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.since(last) >= AGAIN);
        if may {
            *last = Some(now);
        }
        may
    }
}

//! The client of a key server (SPEKE 2.0): keys of the crypto period at hand and of the next one, asked for in the
//! background. What it has not got is not there: the stage then goes on with the last key, or lets nothing out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use millstream_archive::store::Signer;
use millstream_control::channel::{ChannelConfig, ChannelName, SpekeConfig};
use millstream_control::status::StatusHandle;
use millstream_media::protection::{Scheme, Signalling};
use millstream_package::protection::KeySource;
use millstream_package::protection::cpix::{MAX_ANSWER, PeriodKeys, Request};
use millstream_package::protection::keys::{ContentKey, KeyPair};
use millstream_package::protection::sealed::Recipient;
use millstream_telemetry::KeyServerMetrics;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::outbound;
use super::publish::chain;

/// Longest that one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Wait after a first failure; it doubles with each that follows.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Crypto periods whose keys are kept: those in use, for renditions that are behind, and the next.
const KEPT: usize = 6;
/// Headers that are sent along at most.
const MAX_HEADERS: usize = 16;

/// The warning of a channel's status while a key is overdue.
const OVERDUE: &str = "the key server has not given the key that is due: the channel goes on with the last one, or \
                       publishes nothing if it has none; see the log and speke.url";

/// Keys of a channel from its key server. Asking ends when it is dropped.
pub struct KeyClient {
    shared: Arc<Shared>,
    wanted: watch::Sender<Option<u64>>,
    task: AbortHandle,
}

struct Shared {
    channel: ChannelName,
    periods: Mutex<BTreeMap<u64, Arc<PeriodKeys>>>,
    status: StatusHandle,
    metrics: KeyServerMetrics,
}

/// How the server is asked.
struct Asked {
    agent: ureq::Agent,
    speke: SpekeConfig,
    content_id: String,
    scheme: Scheme,
    rotates: bool,
    headers: Vec<(String, String)>,
    signer: Option<Signer>,
    recipient: Option<Recipient>,
}

/// What the server's files say for a key server.
#[derive(Default)]
pub struct Credentials {
    /// Lines `Name: value`.
    pub headers: String,
    /// Who signs requests.
    pub signer: Option<Signer>,
    /// For whom keys are encrypted.
    pub recipient: Option<Recipient>,
}

impl KeyClient {
    /// Begins to ask. Keys that never change are asked for at once, others when a segment needs them.
    ///
    /// # Errors
    /// If the headers are none.
    pub fn start(
        config: &ChannelConfig,
        speke: &SpekeConfig,
        (scheme, rotates): (Scheme, bool),
        Credentials { headers, signer, recipient }: Credentials,
        (status, metrics): (StatusHandle, KeyServerMetrics),
    ) -> Result<Self, String> {
        let shared = Shared { channel: config.name.clone(), periods: Mutex::default(), status, metrics };
        let content_id = if speke.content_id.is_empty() { config.name.to_string() } else { speke.content_id.clone() };
        let own =
            [("content-type", "application/xml"), ("x-speke-version", "2.0"), ("x-speke-user-agent", "millstream")];
        let mut all = own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        all.extend(read_headers(&headers)?);
        if signer.is_some() && all.iter().any(|(name, _)| name == "authorization") {
            return Err("speke.headers has an Authorization, which speke.aws_region makes; leave one out".to_owned());
        }
        let agent = outbound::agent(TIMEOUT);
        let speke = speke.clone();
        let asked = Asked { agent, speke, content_id, scheme, rotates, headers: all, signer, recipient };
        let shared = Arc::new(shared);
        let (wanted, asks) = watch::channel((!rotates).then_some(0));
        let task = tokio::spawn(fetch(Arc::clone(&shared), Arc::new(asked), asks)).abort_handle();
        Ok(KeyClient { shared, wanted, task })
    }
}

impl Drop for KeyClient {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.overdue(false);
    }
}

impl KeySource for KeyClient {
    fn pair(&self, crypto_period: u64) -> Option<KeyPair> {
        self.wanted.send_if_modified(|wanted| {
            let is_new = wanted.is_none_or(|wanted| wanted < crypto_period);
            if is_new {
                *wanted = Some(crypto_period);
            }
            is_new
        });
        let pair = self.shared.periods().get(&crypto_period).map(|keys| keys.pair.clone());
        self.shared.overdue(pair.is_none());
        pair
    }

    fn announce(&self, key: &ContentKey) -> (Signalling, Vec<Bytes>) {
        let periods = self.shared.periods();
        let said = periods.values().find_map(|keys| keys.said.get(&key.id())).cloned();
        // A key is given with what is said of it, so this is never left out.
        said.unwrap_or_else(|| {
            let none = Signalling {
                scheme: Scheme::Cbcs,
                key_id: key.id(),
                hls: Vec::new(),
                hls_session: Vec::new(),
                dash: Vec::new(),
            };
            (none, Vec::new())
        })
    }
}

impl Shared {
    fn periods(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<PeriodKeys>>> {
        self.periods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether a key is missing that is needed now.
    fn overdue(&self, is_overdue: bool) {
        self.metrics.overdue.set(if is_overdue { 1.0 } else { 0.0 });
        if is_overdue {
            self.status.warn(OVERDUE);
        } else if self.status.get().warnings.iter().any(|warning| warning == OVERDUE) {
            self.status.update(|status| status.warnings.retain(|warning| warning != OVERDUE));
        }
    }

    fn keep(&self, period: u64, keys: PeriodKeys) {
        let mut periods = self.periods();
        periods.insert(period, Arc::new(keys));
        while periods.len() > KEPT {
            periods.pop_first();
        }
    }
}

/// Asks for what is wanted and is not there, then for what comes next.
async fn fetch(shared: Arc<Shared>, asked: Arc<Asked>, mut asks: watch::Receiver<Option<u64>>) {
    let mut failures = 0_u32;
    loop {
        let wanted = *asks.borrow_and_update();
        let ahead = u64::from(asked.rotates);
        let missing = wanted.and_then(|wanted| {
            let periods = shared.periods();
            (wanted..=wanted.saturating_add(ahead)).find(|period| !periods.contains_key(period))
        });
        let Some(period) = missing else {
            if asks.changed().await.is_err() {
                return;
            }
            continue;
        };
        match asked.ask(period).await {
            Ok(keys) => {
                shared.metrics.answered.increment();
                tracing::info!(channel = %shared.channel, period, "keys have come from the key server");
                shared.keep(period, keys);
                failures = 0;
            }
            Err(error) => {
                shared.metrics.failed.increment();
                failures = failures.saturating_add(1);
                if failures.is_power_of_two() {
                    tracing::error!(channel = %shared.channel, period, tries = failures, error, "the key server gave no keys");
                }
                let wait = FIRST_WAIT.saturating_mul(1 << (failures - 1).min(8)).min(LONGEST_WAIT);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

impl Asked {
    async fn ask(self: &Arc<Self>, period: u64) -> Result<PeriodKeys, String> {
        let body = Bytes::from(self.request(period).to_xml());
        let mut headers = self.headers.clone();
        if let Some(signer) = &self.signer {
            let signed = tokio::time::timeout(TIMEOUT, signer.post(&self.speke.url, &headers, body.clone())).await;
            let signed = signed.map_err(|_| "AWS credentials did not come in time".to_owned())?;
            headers.extend(signed.map_err(|error| chain(&error))?);
        }
        let asked = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || asked.post(period, &headers, &body)).await;
        answer.unwrap_or_else(|_| Err("the request was cut".to_owned()))
    }

    fn request(&self, period: u64) -> Request<'_> {
        Request {
            content_id: &self.content_id,
            scheme: self.scheme,
            systems: &self.speke.systems,
            period: self.rotates.then_some(period),
            audio_key: self.speke.audio_key,
            recipient: self.recipient.as_ref(),
        }
    }

    fn post(&self, period: u64, headers: &[(String, String)], body: &[u8]) -> Result<PeriodKeys, String> {
        let mut post = self.agent.post(&self.speke.url);
        for (name, value) in headers {
            post = post.header(name.as_str(), value.as_str());
        }
        // Messages of ureq repeat neither the URL nor headers.
        let mut answer = post.send(body).map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(format!("it answered {status}, not 200"));
        }
        let limit = u64::try_from(MAX_ANSWER).unwrap_or(u64::MAX);
        let body = answer.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| error.to_string())?;
        self.request(period).read(&body).map_err(|error| error.to_string())
    }
}

/// A certificate and its private key in PEM, in any order; further certificates, a chain, are passed over.
///
/// # Errors
/// What is missing or wrong.
pub fn read_recipient(pem: &str) -> Result<Recipient, String> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes());
    let certificate = certificate.map_err(|_| "there is no certificate (BEGIN CERTIFICATE)".to_owned())?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
    let key = key.map_err(|_| {
        "there is no private key in PKCS #8 (BEGIN PRIVATE KEY); openssl pkcs8 -topk8 -nocrypt makes one of another form"
            .to_owned()
    })?;
    Recipient::new(&certificate, key.secret_pkcs8_der()).map_err(|error| error.to_string())
}

/// Lines `Name: value`; `#` begins a comment line.
fn read_headers(text: &str) -> Result<Vec<(String, String)>, String> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
    let headers = lines.map(|(i, line)| {
        let parts = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        let token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        match parts {
            Some((name, value))
                if !name.is_empty() && name.chars().all(token) && value.bytes().all(|b| (b' '..0x7f).contains(&b)) =>
            {
                Ok((name.to_ascii_lowercase(), value.to_owned()))
            }
            // The line may be a secret.
            _ => Err(format!("line {} of the file of headers is not Name: value", i + 1)),
        }
    });
    let headers: Vec<_> = headers.collect::<Result<_, _>>()?;
    if headers.len() > MAX_HEADERS { Err(format!("there are more than {MAX_HEADERS} headers")) } else { Ok(headers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_a_file() {
        let text = "# for the key server\nAuthorization: Bearer a:b\n\n x-tenant:  7 \n";
        let wanted = [("authorization", "Bearer a:b"), ("x-tenant", "7")];
        assert_eq!(read_headers(text).unwrap(), wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for bad in ["Bearer secret", ": x", "a b: c", "a: \u{7}"] {
            let error = read_headers(bad).unwrap_err();
            assert!(error.contains("line 1") && !error.contains("secret"), "{error}");
        }
        assert!(read_headers(&"a: b\n".repeat(17)).is_err());
    }
}

//! The OpenID Connect issuer of the configuration, and the network by which it is asked.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use millstream_access::operator::openid::RoleRules;
use millstream_control::operators::openid::{Network, OpenId, OpenIdSettings};
use millstream_media::time::Clock;

use crate::channel::outbound;
use crate::config::Config;

/// Longest wait for an answer of the issuer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest document of the issuer, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// The issuer, if one is configured.
///
/// # Errors
/// A rule for roles that cannot be read.
pub fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<Arc<OpenId>>> {
    let set = &config.operators;
    if set.openid_issuer.is_empty() {
        return Ok(None);
    }
    let rules = RoleRules::parse(&set.openid_roles).map_err(|error| anyhow!("operators.openid_roles: {error}"))?;
    let scopes = ["openid"].into_iter().chain(set.openid_scopes.iter().map(String::as_str));
    let settings = OpenIdSettings {
        issuer: set.openid_issuer.clone(),
        client: set.openid_client.clone(),
        secret: set.openid_secret.expose().to_owned(),
        url: set.openid_url.clone(),
        scopes: scopes.collect::<Vec<_>>().join(" "),
        claim: set.openid_claim.clone(),
        rules,
    };
    Ok(Some(Arc::new(OpenId::new(settings, Arc::new(Asking::new()), Arc::clone(clock)))))
}

struct Asking(ureq::Agent);

impl Asking {
    fn new() -> Self {
        Asking(outbound::agent(TIMEOUT))
    }
}

impl Network for Asking {
    fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        read(self.0.get(url).call())
    }

    fn post(&self, url: &str, authorization: &str, form: &str) -> Result<Vec<u8>, String> {
        let request = self.0.post(url).header("authorization", authorization).header("accept", "application/json");
        read(request.header("content-type", "application/x-www-form-urlencoded").send(form))
    }
}

/// The body of an answer with 200. What else it says may hold secrets, so only the status is told.
fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Vec<u8>, String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    if answer.status() != 200 {
        return Err(format!("it answers {}", answer.status()));
    }
    answer.body_mut().with_config().limit(MAX_BYTES).read_to_vec().map_err(|error| error.to_string())
}

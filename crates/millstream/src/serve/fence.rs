//! Who may ask this server for media at all, where viewers may be, and what an edge shows to its origins: as the
//! configuration has it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use http::header::HeaderName;
use millstream_access::network::Network;
use millstream_access::secret::Secret;
use millstream_delivery::answer::Delivery;
use millstream_delivery::fence::{Fenced, Rules, Secrets};
use millstream_delivery::rate::Paced;
use millstream_delivery::screen::{self, Countries, Screened};
use millstream_delivery::viewer::{BehindProxies, Proxies};
use millstream_edge::credentials::{Identity, OriginSecret};
use millstream_media::time::Clock;

use super::{countries, watched};
use crate::config::Config;
use crate::config::protection::{check_secret, check_secrets};

/// Largest file of secrets, in bytes.
const MAX_FILE: u64 = 4096;

/// The networks that these texts name.
///
/// # Errors
/// If one of them names none.
pub fn networks(texts: &[String]) -> Result<Vec<Network>> {
    texts.iter().map(|text| Ok(Network::parse(text)?)).collect()
}

/// The proxies whose word about a viewer counts.
///
/// # Errors
/// If a network makes no sense.
pub fn proxies(config: &Config) -> Result<Proxies> {
    let set = &config.access;
    Ok(Proxies { networks: networks(&set.trusted_proxies)?, headers: set.proxy_headers.into() })
}

/// `media`, told of viewers instead of the proxies in front, if there are any.
///
/// # Errors
/// If a network makes no sense.
pub fn behind_proxies(config: &Config, media: Arc<dyn Delivery>) -> Result<Arc<dyn Delivery>> {
    let proxies = proxies(config)?;
    Ok(if proxies.networks.is_empty() { media } else { Arc::new(BehindProxies::new(media, proxies)) })
}

/// `media` behind the fence, if there is one; else as often as each address may ask. Who gets through a fence is an edge
/// or a CDN, which asks for many.
///
/// # Errors
/// If the secrets cannot be read.
pub fn fence(config: &Config, clock: &Arc<dyn Clock>, media: Arc<dyn Delivery>) -> Result<Arc<dyn Delivery>> {
    let set = &config.origin;
    let is_set = |path: &Path| !path.as_os_str().is_empty();
    let secrets = Secrets::default();
    let secret = if is_set(&set.secrets_file) {
        secrets.replace(&secrets_of(&set.secrets_file)?);
        let shared = secrets.clone();
        watched::follow(set.secrets_file.clone(), "origin.secrets_file", move |path| {
            shared.replace(&secrets_of(path)?);
            Ok(())
        });
        true
    } else {
        secrets.replace(&set.secrets);
        !set.secrets.is_empty()
    };
    let name = HeaderName::try_from(&set.secret_header).context("origin.secret_header")?;
    let rules = Rules {
        secret: secret.then_some((name, secrets)),
        networks: networks(&set.networks)?,
        certificate: is_set(&set.client_ca),
        proxies: proxies(config)?,
    };
    if rules.are_empty() {
        let (edges, most) = (networks(&config.access.edges)?, config.limits.media_requests_per_second_per_address);
        return Ok(Arc::new(Paced::new(media, most, edges, rules.proxies, Arc::clone(clock))));
    }
    Ok(Arc::new(Fenced::new(media, rules)))
}

/// `media` behind the rules of countries and sites, if there are any.
///
/// # Errors
/// If the database of countries is needed and cannot be read.
pub fn screen(config: &Config, media: Arc<dyn Delivery>) -> Result<Arc<dyn Delivery>> {
    let rules = rules(config)?;
    if rules.0.is_empty() {
        return Ok(media);
    }
    let proxies = proxies(config)?;
    let file = &config.viewers.country_database;
    let countries: Countries = if !file.as_os_str().is_empty() {
        countries::open(file)?
    } else {
        let says = proxies.headers == millstream_delivery::viewer::ProxyHeaders::CloudFront;
        anyhow::ensure!(
            !config.viewers.ask_country() || (says && !proxies.networks.is_empty()),
            "viewers.rules with countries need viewers.country_database (a .mmdb file), or CloudFront in front \
             (access.proxy_headers = \"cloudfront\" and access.trusted_proxies)"
        );
        Arc::new(|_| None)
    };
    Ok(Arc::new(Screened::new(media, rules, countries, proxies, networks(&config.access.edges)?)))
}

/// The rules of countries and sites.
///
/// # Errors
/// If one makes no sense.
pub fn rules(config: &Config) -> Result<screen::Rules> {
    let read = config.viewers.rules.iter().map(|rule| rule.read().map_err(|why| anyhow!("viewers.rules {why}")));
    Ok(screen::Rules(read.collect::<Result<_>>()?))
}

/// The secret that an edge sends to its origins, if there is one.
///
/// # Errors
/// If its file cannot be read.
pub fn origin_secret(config: &Config) -> Result<Option<OriginSecret>> {
    let set = &config.edge;
    let file = &set.origin_secret_file;
    let has_file = !file.as_os_str().is_empty();
    let text = if has_file { secret_of(file)? } else { set.origin_secret.clone() };
    if text.expose().is_empty() {
        return Ok(None);
    }
    let name = HeaderName::try_from(&set.origin_secret_header).context("edge.origin_secret_header")?;
    let secret = OriginSecret::new(name, text.expose()).context("edge.origin_secret")?;
    if has_file {
        let shared = secret.clone();
        watched::follow(file.clone(), "edge.origin_secret_file", move |path| {
            Ok(shared.replace(secret_of(path)?.expose())?)
        });
    }
    Ok(Some(secret))
}

/// The certificate that an edge shows to its origins, if there is one.
///
/// # Errors
/// If it cannot be read, or is not that of its key.
pub fn identity(config: &Config) -> Result<Option<Identity>> {
    let (certificate, key) = (&config.edge.origin_certificate, &config.edge.origin_key);
    if certificate.as_os_str().is_empty() {
        return Ok(None);
    }
    let identity = Identity::open(certificate, key)?;
    // They change one after the other: what does not fit yet is read again with the second.
    for (file, what) in [(certificate, "edge.origin_certificate"), (key, "edge.origin_key")] {
        let identity = identity.clone();
        watched::follow(file.clone(), what, move |_| Ok(identity.read_again()?));
    }
    Ok(Some(identity))
}

/// The secrets of a file, one a line.
fn secrets_of(path: &Path) -> Result<Vec<Secret>> {
    let bytes = watched::read(path, MAX_FILE).context("origin.secrets_file")?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets: Vec<Secret> = lines.map(Secret::new).collect();
    anyhow::ensure!(!secrets.is_empty(), "origin.secrets_file {} is empty; write one secret a line", path.display());
    check_secrets(&secrets).map_err(|why| anyhow!("origin.secrets_file {} {why}", path.display()))?;
    Ok(secrets)
}

/// The one secret of a file.
fn secret_of(path: &Path) -> Result<Secret> {
    let bytes = watched::read(path, MAX_FILE).context("edge.origin_secret_file")?;
    let secret = Secret::new(String::from_utf8_lossy(&bytes).trim());
    check_secret(&secret).map_err(|why| anyhow!("edge.origin_secret_file {} {why}", path.display()))?;
    Ok(secret)
}

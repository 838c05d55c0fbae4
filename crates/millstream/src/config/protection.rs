//! `[origin]` and `[viewers]`: who may ask this server for media at all, and where viewers may be.

use std::path::PathBuf;

use http::header::HeaderName;
use millstream_access::network::Network;
use millstream_access::secret::Secret;
use millstream_delivery::fence::MAX_SECRETS;
use millstream_delivery::screen::{Country, Rule, Site};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::delivery::Edge;

/// The header that MediaPackage's CDN authorization uses, so that a CDN that is set up for it needs no change.
pub const SECRET_HEADER: &str = "X-MediaPackage-CDNIdentifier";
/// Fewest characters of a secret between servers.
const MIN_SECRET: usize = 16;
/// Most rules.
const MAX_RULES: usize = 1000;

type Errors = Vec<(&'static str, &'static str, String)>;

/// Who may ask this server for media: edges and CDNs that it knows (docs/origin-protection.md). All that is set must hold.
/// The console, the API and operations are not meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Origin {
    /// Secrets of which a media request must have one in `secret_header`: one, or two while it is changed, at least 16
    /// characters each.
    #[schema(value_type = Vec<String>)]
    pub secrets: Vec<Secret>,
    /// File with these secrets instead, one a line; a change counts within seconds.
    #[schema(value_type = String)]
    pub secrets_file: PathBuf,
    /// Header that holds the secret.
    pub secret_header: String,
    /// Networks from which media requests must come; any if empty. Behind `access.trusted_proxies` the address that they
    /// say counts.
    pub networks: Vec<String>,
    /// PEM file with certificates that sign those of edges: media requests must come over TLS with such a certificate.
    /// Needs `server.https`. Read at the start.
    #[schema(value_type = String)]
    pub client_ca: PathBuf,
}

impl Default for Origin {
    fn default() -> Self {
        Origin {
            secrets: Vec::new(),
            secrets_file: PathBuf::new(),
            secret_header: SECRET_HEADER.to_owned(),
            networks: Vec::new(),
            client_ca: PathBuf::new(),
        }
    }
}

impl Origin {
    pub(super) fn check(&self, has_tls: bool, errors: &mut Errors) {
        let has_file = !self.secrets_file.as_os_str().is_empty();
        if has_file && !self.secrets.is_empty() {
            errors.push(("origin", "secrets", "is set beside origin.secrets_file; leave one of them out".to_owned()));
        } else if let Err(why) = check_secrets(&self.secrets) {
            errors.push(("origin", "secrets", why));
        }
        if let Err(why) = check_header(&self.secret_header) {
            errors.push(("origin", "secret_header", why));
        }
        if let Some(Err(error)) = self.networks.iter().map(|n| Network::parse(n)).find(Result::is_err) {
            errors.push(("origin", "networks", error.to_string()));
        }
        if !self.client_ca.as_os_str().is_empty() && !has_tls {
            let why = "needs TLS, since nobody shows a certificate without it; set server.https";
            errors.push(("origin", "client_ca", why.to_owned()));
        }
    }
}

/// Whether these may be the secrets of an origin.
///
/// # Errors
/// Why not, and the mend.
pub fn check_secrets(secrets: &[Secret]) -> Result<(), String> {
    if secrets.len() > MAX_SECRETS {
        return Err(format!("has {} secrets; use one, or two while it is changed", secrets.len()));
    }
    secrets.iter().try_for_each(check_secret)
}

/// Whether this may be a secret between servers.
///
/// # Errors
/// Why not, and the mend.
pub fn check_secret(secret: &Secret) -> Result<(), String> {
    let text = secret.expose();
    if text.len() < MIN_SECRET || text.len() > 256 {
        return Err(format!("has a secret of {} characters; use {MIN_SECRET} to 256 random ones", text.len()));
    }
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("has a secret with a space or a character that is not ASCII; a header cannot carry it".to_owned())
    }
}

fn check_header(name: &str) -> Result<(), String> {
    match HeaderName::try_from(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("is {name:?}, which no header can be called; leave it out for {SECRET_HEADER}")),
    }
}

/// What an edge shows to its origins.
pub(super) fn check_edge(edge: &Edge, errors: &mut Errors) {
    let has_file = !edge.origin_secret_file.as_os_str().is_empty();
    if !edge.origin_secret.expose().is_empty() {
        if has_file {
            let why = "is set beside edge.origin_secret_file; leave one of them out";
            errors.push(("edge", "origin_secret", why.to_owned()));
        } else if let Err(why) = check_secret(&edge.origin_secret) {
            errors.push(("edge", "origin_secret", why));
        }
    }
    if let Err(why) = check_header(&edge.origin_secret_header) {
        errors.push(("edge", "origin_secret_header", why));
    }
    let (certificate, key) = (edge.origin_certificate.as_os_str(), edge.origin_key.as_os_str());
    if certificate.is_empty() != key.is_empty() {
        let (set, other) = if key.is_empty() {
            ("origin_certificate", "edge.origin_key")
        } else {
            ("origin_key", "edge.origin_certificate")
        };
        errors.push(("edge", set, format!("is set without {other}; name both files")));
    }
}

/// Where viewers may be, and which web sites may play (docs/access.md). Origins and edges ask alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Viewers {
    /// MaxMind database (`.mmdb`) by which the country of an address is known; needed for rules with countries, except
    /// where `access.proxy_headers` is `cloudfront`. A changed file counts within seconds.
    #[schema(value_type = String)]
    pub country_database: PathBuf,
    /// Rules by path, such as `{ path = "/live/news/", allow = ["DE", "AT"], sites = ["https://partner.example"] }`. Keys:
    /// `path`; `allow` or `deny` (countries as ISO 3166-1 codes); `unknown` (`allow` or `deny` for viewers whose country is
    /// not known; `deny` by default where there is `allow`); `sites` (web sites that may play it and show the watch page in
    /// a frame); `without_site` (`allow`, the default, or `deny` for requests that name no site, such as those of apps).
    /// Every rule whose path is the beginning of a request's must agree.
    #[schema(value_type = Vec<Object>)]
    pub rules: Vec<ViewerRule>,
}

/// One of the rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ViewerRule {
    /// Beginning of the paths that are meant.
    pub path: String,
    /// Countries that may watch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Countries that may not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// What about viewers whose country is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Verdict>,
    /// Web sites that may play.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// What about requests that name no site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_site: Option<Verdict>,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// They may.
    Allow,
    /// They may not.
    Deny,
}

impl ViewerRule {
    /// The rule as it is applied.
    ///
    /// # Errors
    /// What is wrong with it, and the mend.
    pub fn read(&self) -> Result<Rule, String> {
        let path = &self.path;
        if !["/live/", "/vod/"].iter().any(|start| path.starts_with(start)) {
            return Err(format!("has the path {path:?}; it must begin with /live/ or /vod/, such as /live/news/"));
        }
        if !self.allow.is_empty() && !self.deny.is_empty() {
            return Err(format!("has allow and deny for {path}; use one of them"));
        }
        let countries = |texts: &[String]| {
            let one = |text: &String| {
                Country::parse(text)
                    .ok_or_else(|| format!("has the country {text:?}; use two capital letters such as DE (ISO 3166-1)"))
            };
            texts.iter().map(one).collect::<Result<Vec<_>, _>>()
        };
        Ok(Rule {
            path: path.clone(),
            allow: countries(&self.allow)?,
            deny: countries(&self.deny)?,
            unknown: self.unknown.map_or(self.allow.is_empty(), |verdict| verdict == Verdict::Allow),
            sites: self.sites.iter().map(|text| site(text)).collect::<Result<_, _>>()?,
            without_site: self.without_site != Some(Verdict::Deny),
        })
    }
}

/// A web site.
///
/// # Errors
/// What is wrong with it, and the mend.
pub fn site(text: &str) -> Result<Site, String> {
    Site::parse(text).ok_or_else(|| {
        let forms = "https://app.example, https://app.example:8443 or https://*.app.example";
        format!("has the site {text:?}; write {forms}: small letters, no path, no slash at the end, no :443")
    })
}

impl Viewers {
    pub(super) fn check(&self, errors: &mut Errors) {
        if self.rules.len() > MAX_RULES {
            errors.push(("viewers", "rules", format!("has {} rules; use at most {MAX_RULES}", self.rules.len())));
        }
        for error in self.rules.iter().filter_map(|rule| rule.read().err()) {
            errors.push(("viewers", "rules", error));
        }
    }

    /// Whether any rule needs to know a viewer's country.
    pub fn ask_country(&self) -> bool {
        self.rules.iter().any(|rule| !rule.allow.is_empty() || !rule.deny.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::layers::{Flags, effective};
    use super::*;

    fn errors_of(text: &str) -> String {
        let read = effective(Some((std::path::Path::new("m.toml"), text)), &Default::default(), &Flags::default());
        read.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_is_named_with_its_mend_and_without_the_secret() {
        for (text, want) in [
            ("[origin]\nsecrets = [\"short\"]", "16 to 256"),
            ("[origin]\nsecrets = [\"a secret with spaces in it\"]", "a header cannot carry it"),
            (
                "[origin]\nsecrets = [\"sixteen-letters-1\", \"sixteen-letters-2\", \"sixteen-letters-3\"]",
                "one, or two",
            ),
            ("[origin]\nsecrets = [\"sixteen-letters-1\"]\nsecrets_file = \"x\"", "leave one of them out"),
            ("[origin]\nsecret_header = \"a b\"", "no header can be called"),
            ("[origin]\nnetworks = [\"ten\"]", "no network"),
            ("[origin]\nclient_ca = \"ca.pem\"", "set server.https"),
            ("[edge]\norigin_secret = \"short\"", "16 to 256"),
            ("[origin]\nsecrets = \"sixteen-letters-1\"", "a list of texts"),
            ("[edge]\norigin_secret = [\"sixteen-letters-1\"]", "a text in quotes"),
            ("[edge]\norigin_certificate = \"c.pem\"", "without edge.origin_key"),
            ("[viewers]\nrules = [{ path = \"/news/\" }]", "must begin with /live/ or /vod/"),
            ("[viewers]\nrules = [{ path = \"/live/n/\", allow = [\"Germany\"] }]", "two capital letters"),
            ("[viewers]\nrules = [{ path = \"/live/n/\", allow = [\"DE\"], deny = [\"AT\"] }]", "use one of them"),
            ("[viewers]\nrules = [{ path = \"/live/n/\", sites = [\"app.example\"] }]", "https://app.example"),
            ("[viewers]\nrules = [{ path = \"/live/n/\", sites = [\"https://a.example:443\"] }]", "no :443"),
            ("[access]\nsites = [\"https://App.example/\"]", "no slash at the end"),
            ("[viewers]\nrules = [{ paht = \"/live/n/\" }]", "unknown field"),
        ] {
            let errors = errors_of(text);
            assert!(errors.contains(want) && errors.contains("m.toml:2"), "{text}: {errors}");
            assert!(!errors.contains("sixteen") && !errors.contains("short"), "{errors}");
        }
        assert_eq!(errors_of("[viewers]\nrules = [{ path = \"/live/n/\", allow = [\"DE\"] }]"), "");
    }

    #[test]
    fn a_list_of_rules_fits_into_a_variable() {
        let text = "[{ path = \"/live/n/\", deny = [\"DE\"], unknown = \"deny\" }]";
        let variables = [("MILLSTREAM_VIEWERS_RULES".to_owned(), text.to_owned())].into();
        let (config, _) = effective(None, &variables, &Flags::default()).unwrap();
        let rule = config.viewers.rules[0].read().unwrap();
        assert!(!rule.unknown && rule.deny == [Country::parse("DE").unwrap()]);
        assert!(config.to_toml().unwrap().contains("unknown = \"deny\""));
    }

    #[test]
    fn unknown_countries_are_refused_where_some_are_allowed() {
        let rule = |allow: &[&str], deny: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            ViewerRule { path: "/live/n/".to_owned(), allow: texts(allow), deny: texts(deny), ..ViewerRule::default() }
        };
        assert!(!rule(&["DE"], &[]).read().unwrap().unknown);
        assert!(rule(&[], &["DE"]).read().unwrap().unknown);
    }
}

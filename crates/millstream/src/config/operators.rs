//! The settings of `[operators]`: who may use the API and the console.

use millstream_access::secret::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who may use the API and the console (docs/access.md). Tokens and users are made by `millstream token` and
/// `millstream user`; here is what holds for all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Operators {
    /// Whether an operator is needed also while the server listens on loopback only and there are no tokens and users.
    pub require: bool,
    /// A token of an admin, at least 32 characters, for servers that are set up without a hand. In the environment rather
    /// than in the file.
    #[schema(value_type = String)]
    pub admin_token: Secret,
    /// A token of a viewer, at least 32 characters, for monitors; edges know it, too.
    #[schema(value_type = String)]
    pub viewer_token: Secret,
    /// A log-in to the console ends so many hours after it began, 1 to 720.
    pub session_hours: u32,
    /// A log-in ends when it was not used for so many minutes, 1 to 43200. An open console uses it.
    pub idle_minutes: u32,
    /// An OpenID Connect issuer that logs people in to the console, as it writes itself: `https://id.example/realm`.
    pub openid_issuer: String,
    /// What the issuer calls this server; needed with `openid_issuer`.
    pub openid_client: String,
    /// The secret that the issuer gave this server.
    #[schema(value_type = String)]
    pub openid_secret: Secret,
    /// Where browsers reach this server, such as `https://tv.example`; the issuer is to allow
    /// `https://tv.example/api/v1/session/openid/callback`. Needed with `openid_issuer`.
    pub openid_url: String,
    /// What is asked for besides `openid`.
    pub openid_scopes: Vec<String>,
    /// The claim of the ID token that roles are read from; dots lead into objects, as in `realm_access.roles`.
    pub openid_claim: String,
    /// Which role somebody has by a value of that claim, the first that fits: `ops=admin`, `studio=operator:news,acme-*`;
    /// `*=viewer` for everybody whom the issuer knows. Nobody has one if empty.
    pub openid_roles: Vec<String>,
}

impl Default for Operators {
    fn default() -> Self {
        Operators {
            require: false,
            admin_token: Secret::default(),
            viewer_token: Secret::default(),
            session_hours: 12,
            idle_minutes: 60,
            openid_issuer: String::new(),
            openid_client: String::new(),
            openid_secret: Secret::default(),
            openid_url: String::new(),
            openid_scopes: vec!["profile".to_owned(), "email".to_owned()],
            openid_claim: "groups".to_owned(),
            openid_roles: Vec::new(),
        }
    }
}

impl Operators {
    /// What no type says.
    pub(super) fn check(&self, errors: &mut Vec<(&'static str, &'static str, String)>) {
        for (key, token) in [("admin_token", &self.admin_token), ("viewer_token", &self.viewer_token)] {
            let length = token.expose().len();
            let readable = token.expose().bytes().all(|b| b.is_ascii_graphic());
            if length > 0 && (!(32..=256).contains(&length) || !readable) {
                let mend = "is to have 32 to 256 characters without spaces; make one with `openssl rand -hex 24`";
                errors.push(("operators", key, mend.to_owned()));
            }
        }
        if let Err(error) = millstream_access::operator::openid::RoleRules::parse(&self.openid_roles) {
            errors.push(("operators", "openid_roles", format!("is not valid: {error}")));
        }
        if !self.openid_issuer.is_empty() {
            // Without TLS whoever is on the way could log in as anybody; only a test's issuer is on the same machine.
            let safe = |url: &str| url.starts_with("https://") || is_local(url);
            for (key, url) in [("openid_issuer", &self.openid_issuer), ("openid_url", &self.openid_url)] {
                if !safe(url) {
                    // The place is the issuer's line, which is there.
                    let mend = format!(
                        "needs {key} to be a URL such as https://id.example, or http on loopback with its port"
                    );
                    errors.push(("operators", "openid_issuer", mend));
                }
            }
            if self.openid_client.is_empty() || self.openid_roles.is_empty() {
                let mend = "needs openid_client and openid_roles beside it, or nobody could log in by it".to_owned();
                errors.push(("operators", "openid_issuer", mend));
            }
        }
        for (key, value, most) in
            [("session_hours", self.session_hours, 720), ("idle_minutes", self.idle_minutes, 43_200)]
        {
            if !(1..=most).contains(&value) {
                errors.push(("operators", key, format!("is {value}; use 1 to {most}")));
            }
        }
    }
}

/// Whether a URL is http to a port of this machine.
fn is_local(url: &str) -> bool {
    let local = ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"];
    let rest = local.iter().find_map(|begin| url.strip_prefix(begin));
    let port = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

//! Who may use the API. Each request is held against the table of endpoints; what is not in the table is not answered.
//!
//! With operators, a request presents a token or a session's cookie. Browsers send cookies by themselves, so a write with a
//! cookie must come from a page of this server (CSRF).
//!
//! Without operators the API is open to this machine, under three rules, because a browser on it carries other people's
//! pages: the peer is a loopback address and no proxy speaks for somebody else; `Host` is `localhost`, an IP address or a
//! configured name, so that a foreign name that resolves to this machine is refused (DNS rebinding); `Origin`, if there is
//! one, is the API's own (cross-site requests).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use millstream_access::operator::{On, Role, token};

use super::endpoints::{self, Endpoint, For, Needs};
use super::problem::Problem;
use super::session::secret_of;
use crate::channel::ChannelName;
use crate::operators::{Caller, Operators, Unknown};

/// How long a refusal waits for the rest of a body.
const REST_WITHIN: Duration = Duration::from_secs(1);

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The peer of a connection; the server inserts it into every request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The client of a request behind trusted proxies, if it is not the peer; the server inserts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// The client's own connection, to us or to a trusted proxy, has TLS; the server inserts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTls;

/// What the guard asks.
#[derive(Clone)]
pub struct Guard {
    /// The operators.
    pub operators: Arc<Operators>,
    /// Names besides `localhost` and IP addresses under which this machine may ask (`Host` without port).
    pub hosts: Arc<[String]>,
}

impl Guard {
    /// Puts all routes of a router behind it.
    pub fn before(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, guarded))
    }
}

async fn guarded(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let endpoint = match endpoint_of(&request) {
        Ok(endpoint) => endpoint,
        Err(refusal) => {
            read_out(request).await;
            return *refusal;
        }
    };
    let verdict = guard.check(&request, endpoint);
    let is_logged = endpoint.is_some_and(is_logged);
    let log = is_logged.then(|| (request.method().clone(), request.uri().path().to_owned(), client_of(&request)));
    let (who, response) = match verdict {
        Ok(caller) => {
            let who = caller.clone();
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            (who, next.run(request).await)
        }
        Err(Refusal { status, detail, who }) => {
            read_out(request).await;
            let mut response = Problem::new(status, detail).into_response();
            if status == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer realm=\"millstream\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            }
            (who, response)
        }
    };
    // Whoever is not known is not logged: there may be any number of such requests.
    if let (Some((method, path, client)), Some(caller)) = (log, who) {
        let (status, address) = (response.status().as_u16(), client.map(|a| a.to_string()).unwrap_or_default());
        let (who, kind) = (caller.name, caller.kind.as_str());
        tracing::info!(who, kind, address, %method, path, status, "operator's request");
    }
    response
}

/// Takes the body that a refused request brings, as far as bodies of the API go. An answer before its end makes clients end
/// their sending over HTTP/2, and some (curl 7.88) then tell of that instead of the answer.
async fn read_out(request: Request) {
    let _ = tokio::time::timeout(REST_WITHIN, to_bytes(request.into_body(), super::MAX_BODY_BYTES)).await;
}

/// Writes are logged, but for the pieces of a file that is sent: its beginning and its end are.
fn is_logged(endpoint: &Endpoint) -> bool {
    let reads = matches!(endpoint.method, "GET" | "HEAD" | "OPTIONS");
    !reads && endpoint.needs != Needs::Nothing && !(endpoint.method == "PATCH" && endpoint.path.ends_with("/file"))
}

/// The row of the table; `None` for a path without a route, which is answered that it is none.
fn endpoint_of(request: &Request) -> Result<Option<&'static Endpoint>, Box<Response>> {
    let Some(path) = request.extensions().get::<MatchedPath>() else { return Ok(None) };
    if let Some(endpoint) = endpoints::find(request.method(), path.as_str()) {
        return Ok(Some(endpoint));
    }
    let allowed = endpoints::methods(path.as_str());
    if allowed.is_empty() {
        tracing::error!(path = path.as_str(), "a route has no role, so it is not answered");
        return Err(Box::new(Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path").into_response()));
    }
    let detail = "this path does not take this method; the Allow header lists those it takes";
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response();
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    Err(Box::new(response))
}

/// A request that is not let through.
struct Refusal {
    status: StatusCode,
    detail: String,
    /// Who it is, if that is known.
    who: Option<Caller>,
}

impl Refusal {
    fn forbidden(detail: impl Into<String>) -> Self {
        Refusal { status: StatusCode::FORBIDDEN, detail: detail.into(), who: None }
    }
}

impl From<Unknown> for Refusal {
    fn from(unknown: Unknown) -> Self {
        Refusal { status: StatusCode::UNAUTHORIZED, detail: unknown.to_string(), who: None }
    }
}

impl Guard {
    /// Who a request comes from, if it may do what it asks. `None` for anybody.
    fn check(&self, request: &Request, endpoint: Option<&Endpoint>) -> Result<Option<Caller>, Refusal> {
        let needs = endpoint.map_or(Needs::Role(Role::Viewer), |endpoint| endpoint.needs);
        if self.operators.is_open() {
            return match (local_only(request, &self.hosts), needs) {
                (Ok(()), _) => Ok(Some(Caller::machine())),
                // A log-in is a write, also where there is nobody to log in.
                (Err(_), Needs::Nothing) if is_safe(request.method()) => Ok(None),
                (Err(detail), _) => Err(Refusal::forbidden(detail)),
            };
        }
        if needs == Needs::Nothing && is_safe(request.method()) {
            return Ok(self.caller(request).ok());
        }
        own_pages_only(request)?;
        if needs == Needs::Nothing {
            return Ok(self.caller(request).ok());
        }
        let caller = match self.caller(request) {
            Ok(caller) if is_safe(request.method()) || has_token(request) || names_own_page(request) => caller,
            Ok(caller) => {
                let detail = "a write with a log-in comes from a page of this server; programs present a token instead";
                return Err(Refusal { who: Some(caller), ..Refusal::forbidden(detail) });
            }
            Err(Unknown::Nothing) if needs == Needs::ViewerOrMachine && local_only(request, &self.hosts).is_ok() => {
                return Ok(None);
            }
            Err(unknown) => return Err(unknown.into()),
        };
        let role = if let Needs::Role(role) = needs { role } else { Role::Viewer };
        let scope = endpoint.map_or(For::Everybody, |endpoint| endpoint.scope);
        let on = match scope {
            For::Everybody | For::OwnOnly | For::Filtered => On::Nothing,
            For::Nobody => On::Server,
            For::Channel => On::Channel(channel_of(request)),
        };
        match caller.grant.check(role, on) {
            Ok(()) => Ok(Some(caller)),
            Err(refused) => {
                Err(Refusal { status: StatusCode::FORBIDDEN, detail: refused.to_string(), who: Some(caller) })
            }
        }
    }

    /// By the token in `Authorization`, else by the session's cookie.
    fn caller(&self, request: &Request) -> Result<Caller, Unknown> {
        if let Some(value) = request.headers().get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(token::bearer).ok_or(Unknown::Token)?;
            return self.operators.of_token(token);
        }
        let tls = request.extensions().get::<ClientTls>().is_some();
        let secret = secret_of(request.headers(), tls).ok_or(Unknown::Nothing)?;
        self.operators.of_session(secret)
    }
}

/// The channel in the path. What is no channel's name is nobody's.
fn channel_of(request: &Request) -> &str {
    let rest = request.uri().path().strip_prefix("/api/v1/channels/").unwrap_or_default();
    let name = rest.split('/').next().unwrap_or_default();
    if ChannelName::new(name).is_ok() { name } else { "" }
}

/// Browsers send cookies by themselves, but never this.
fn has_token(request: &Request) -> bool {
    request.headers().contains_key(header::AUTHORIZATION)
}

fn client_of(request: &Request) -> Option<IpAddr> {
    let extensions = request.extensions();
    let client = extensions.get::<ClientAddr>().map(|client| client.0);
    client.or_else(|| extensions.get::<PeerAddr>().map(|peer| peer.0.ip().to_canonical()))
}

const fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Refuses the requests of other sites' pages.
fn own_pages_only(request: &Request) -> Result<(), Refusal> {
    let host = host_of(request.headers(), request.uri().authority());
    let foreign = "a page of another site may not use the API; open the console of this server";
    match request.headers().get(header::ORIGIN).map(|o| o.to_str().unwrap_or_default()) {
        Some(origin) if !host.is_some_and(|host| same_origin(origin, &host)) => Err(Refusal::forbidden(foreign)),
        _ => Ok(()),
    }
}

/// Whether a browser says that a page of this server asks; [`own_pages_only`] held an `Origin` against the host already.
fn names_own_page(request: &Request) -> bool {
    let headers = request.headers();
    let fetched = headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin");
    headers.contains_key(header::ORIGIN) || fetched
}

fn local_only(request: &Request, hosts: &[String]) -> Result<(), String> {
    let peer = request.extensions().get::<PeerAddr>().copied();
    check_local(peer, request.headers(), request.uri().authority(), hosts)
}

fn check_local(
    peer: Option<PeerAddr>,
    headers: &HeaderMap,
    authority: Option<&Authority>,
    hosts: &[String],
) -> Result<(), String> {
    let local = peer.is_some_and(|p| p.0.ip().to_canonical().is_loopback());
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| headers.contains_key(*name));
    if !local || forwarded {
        return Err(
            "without operators the API answers only this machine; make one there with `millstream user add NAME \
                    --role admin`, or with `millstream token create NAME --role admin`"
                .into(),
        );
    }
    let Some(host) = host_of(headers, authority) else {
        return Err("the request has no Host; ask for the API by the server's address".into());
    };
    if !host_allowed(host.host(), hosts) {
        return Err("the API is not asked under this name; use localhost or the server's IP address, or add the name \
                    to hosts in [server] of the configuration file"
            .into());
    }
    match headers.get(header::ORIGIN).map(|o| o.to_str().unwrap_or_default()) {
        None => Ok(()),
        Some(origin) if same_origin(origin, &host) => Ok(()),
        Some(_) => Err("a page of another site may not use the API; open the console of this server".into()),
    }
}

fn host_of(headers: &HeaderMap, authority: Option<&Authority>) -> Option<Authority> {
    match (authority, headers.get(header::HOST)) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(host)) => host.to_str().ok().and_then(|h| h.parse::<Authority>().ok()),
        (None, None) => None,
    }
}

fn host_allowed(host: &str, hosts: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok()
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(bare))
}

fn same_origin(origin: &str, host: &Authority) -> bool {
    let (default_port, rest) = match origin.split_once("://") {
        Some(("http", rest)) => (80, rest),
        Some(("https", rest)) => (443, rest),
        _ => return false,
    };
    let Ok(origin) = rest.parse::<Authority>() else { return false };
    let port = |a: &Authority| a.port_u16().unwrap_or(default_port);
    origin.host().eq_ignore_ascii_case(host.host()) && port(&origin) == port(host)
}

/// Who asks; the guard puts it there. A handler without a guard before it answers nobody.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, Unknown::Nothing.to_string()))
    }
}

impl Caller {
    /// Whether what belongs to this channel, or to none, is the caller's to work on.
    ///
    /// # Errors
    /// 403.
    pub(super) fn owns(&self, channel: Option<&str>) -> Result<(), Problem> {
        let on = channel.map_or(On::Server, On::Channel);
        self.grant
            .check(self.grant.role, on)
            .map_err(|refused| Problem::new(StatusCode::FORBIDDEN, refused.to_string()))
    }

    /// Whether the caller may set content protection. It names files of secrets that belong to the whole server, and where
    /// they are sent or given out: an operator of one channel could have the keys of another one, or a provider's.
    ///
    /// # Errors
    /// 403.
    pub(super) fn may_protect(&self) -> Result<(), Problem> {
        self.grant.check(Role::Admin, On::Server).map_err(|refused| {
            let why = "content protection names keys and key servers of the whole server";
            Problem::new(StatusCode::FORBIDDEN, format!("{why}: {refused}"))
        })
    }
}

/// The address that log-ins are counted by.
pub(super) struct Client(pub(super) IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let client = parts.extensions.get::<ClientAddr>().map(|client| client.0);
        let peer = parts.extensions.get::<PeerAddr>().map(|peer| peer.0.ip().to_canonical());
        let address = client.or(peer);
        address.map(Client).ok_or_else(|| Problem::new(StatusCode::FORBIDDEN, "nobody knows where you are"))
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;

//! Console sessions over HTTP: who am I, log in, log out.
//!
//! The secret of a session is in a cookie that scripts cannot read and that other sites' pages do not send. Whether it is
//! for TLS only is told by the page that logs in, also behind a proxy that ends TLS.

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use millstream_access::operator::Token;
use millstream_access::operator::openid::Attempt;
use millstream_access::operator::openid::answer::Callback;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::guard::{Client, ClientTls};
use super::operators::invalid;
use super::problem::Problem;
use super::{ApiState, fresh_json};
use crate::operators::openid::OpenIdError;
use crate::operators::{Caller, LogInError};

/// The cookie over TLS; browsers take this prefix only with `Secure`, this path and no other domain.
const SECURE_COOKIE: &str = "__Host-millstream";
const PLAIN_COOKIE: &str = "millstream";
/// The secrets of a log-in that an issuer is asked about.
const ATTEMPT_COOKIE: &str = "millstream-openid";
/// How long it may take there.
const ATTEMPT_SECONDS: u32 = 600;

/// Who asks.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SessionView {
    /// Whether the API needs an operator. It does not where it is open to this machine.
    required: bool,
    /// Who asks; none if nobody is logged in.
    caller: Option<CallerView>,
    /// Where a log-in by an OpenID Connect issuer begins, if there is one.
    #[schema(value_type = Option<String>)]
    openid: Option<&'static str>,
}

/// An operator.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallerView {
    /// The name of the token or the user.
    name: String,
    /// How it is known: `user`, `openid`, `token`, `first_token`, `configuration` or `machine`.
    #[schema(value_type = String)]
    kind: &'static str,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: &'static str,
    /// The channels it is for, such as `news` or `acme-*`; all if there is no list.
    channels: Option<Vec<String>>,
}

impl CallerView {
    fn of(caller: &Caller) -> Self {
        CallerView {
            name: caller.name.clone(),
            kind: caller.kind.as_str(),
            role: caller.grant.role.as_str(),
            channels: caller.grant.channels.as_ref().map(|channels| channels.patterns().to_vec()),
        }
    }
}

/// A user and a password, or a token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogInBody {
    /// The user.
    user: Option<String>,
    /// The user's password.
    password: Option<String>,
    /// A token, instead of both.
    token: Option<String>,
}

/// Who asks, and whether anybody must log in. Anybody may ask.
#[utoipa::path(get, path = "/api/v1/session", tag = "operators", responses((status = 200, body = SessionView)))]
pub(super) async fn show(State(state): State<Arc<ApiState>>, caller: Option<Known>) -> Response {
    let caller = caller.map(|Known(caller)| CallerView::of(&caller));
    fresh_json(StatusCode::OK, SessionView { required: !state.operators.is_open(), caller, openid: begins(&state) })
}

/// Logs in to the console, by a user's password or a token. The session is in a cookie.
#[utoipa::path(
    post, path = "/api/v1/session", tag = "operators", request_body = LogInBody,
    responses(
        (status = 200, body = SessionView, headers(("Set-Cookie" = String, description = "the session"))),
        (status = 401, description = "not right", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "neither a user nor a token", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "too many were wrong, or come at once", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn log_in(
    State(state): State<Arc<ApiState>>,
    Client(address): Client,
    tls: Option<Extension<ClientTls>>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let unusable = || {
        let detail = "send {\"user\": \"…\", \"password\": \"…\"} or {\"token\": \"…\"}";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    };
    let body: LogInBody = serde_json::from_value(body).map_err(|_| unusable())?;
    let (secret, caller) = match body {
        LogInBody { user: Some(user), password: Some(password), token: None } => {
            state.operators.log_in_user(address, &user, password).await?
        }
        LogInBody { user: None, password: None, token: Some(token) } => {
            state.operators.log_in_token(address, token.trim())?
        }
        _ => return Err(unusable()),
    };
    let view = SessionView { required: true, caller: Some(CallerView::of(&caller)), openid: begins(&state) };
    Ok(with_cookie(fresh_json(StatusCode::OK, view), is_secure(&headers, tls.is_some()), Some(&secret)))
}

/// Logs out: the session opens nothing any more.
#[utoipa::path(delete, path = "/api/v1/session", tag = "operators", responses((status = 204, description = "logged out")))]
pub(super) async fn log_out(
    State(state): State<Arc<ApiState>>,
    tls: Option<Extension<ClientTls>>,
    headers: HeaderMap,
) -> Response {
    if let Some(secret) = secret_of(&headers, tls.is_some()) {
        state.operators.log_out(secret);
    }
    with_cookie(StatusCode::NO_CONTENT.into_response(), is_secure(&headers, tls.is_some()), None)
}

/// The own password, and another.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordBody {
    /// The present password.
    present: String,
    /// The next one.
    #[schema(min_length = 10, max_length = 256)]
    password: String,
}

/// Gives the user who is logged in another password. Other log-ins of the user end.
#[utoipa::path(
    post, path = "/api/v1/session/password", tag = "operators", request_body = PasswordBody,
    responses(
        (status = 204, description = "changed"),
        (status = 409, description = "no user is logged in, but a token or somebody of an organisation", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "the present password is wrong, or the next one cannot be taken", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "too many were wrong, or come at once", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn password(
    State(state): State<Arc<ApiState>>,
    Client(address): Client,
    tls: Option<Extension<ClientTls>>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let body: PasswordBody = serde_json::from_value(body).map_err(|_| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "send {\"present\": \"…\", \"password\": \"…\"}")
    })?;
    let session = secret_of(&headers, tls.is_some());
    let changed = state.operators.change_own_password(address, &caller, session, body.present, body.password).await;
    match changed {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        // The log-in is as good as before: 401 would say that it is not.
        Err(LogInError::Password) => Err(invalid("present", "is not right; it is the one that you log in with")),
        Err(error) => Err(error.into()),
    }
}

fn begins(state: &ApiState) -> Option<&'static str> {
    state.openid.as_ref().map(|_| "/api/v1/session/openid")
}

/// Begins a log-in by an OpenID Connect issuer: the browser is sent there.
#[utoipa::path(
    get, path = "/api/v1/session/openid", tag = "operators",
    responses(
        (status = 303, description = "to the issuer", headers(("Location" = String))),
        (status = 404, description = "there is no issuer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn openid(State(state): State<Arc<ApiState>>) -> Result<Response, Problem> {
    let issuer = state.openid.as_ref().ok_or_else(no_issuer)?;
    match issuer.begin().await {
        Ok((attempt, url)) => {
            Ok(attempt_cookie(see_other(&url), issuer.is_secure(), &attempt.to_cookie(), ATTEMPT_SECONDS))
        }
        Err(error) => {
            tracing::warn!(%error, "no log-in by OpenID Connect");
            Ok(see_other("/#log-in=away"))
        }
    }
}

/// Where the issuer sends the browser back to. It goes on to the console.
#[utoipa::path(
    get, path = "/api/v1/session/openid/callback", tag = "operators",
    params(("code" = Option<String>, Query), ("state" = Option<String>, Query)),
    responses(
        (status = 303, description = "to the console", headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 404, description = "there is no issuer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn openid_callback(
    State(state): State<Arc<ApiState>>,
    Client(address): Client,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let issuer = state.openid.as_ref().ok_or_else(no_issuer)?;
    let secure = issuer.is_secure();
    let over = |to: &str| attempt_cookie(see_other(to), secure, "", 0);
    // The answer must belong to the browser that asked.
    let query = Callback::parse(query.as_deref().unwrap_or_default()).unwrap_or_default();
    let attempt = attempt_of(&headers).filter(|attempt| query.state.as_deref() == Some(attempt.state.as_str()));
    let (Some(attempt), Some(code)) = (attempt, query.code) else {
        // The word is the issuer's, and of the browser that brings it.
        let said: String = query.error.unwrap_or_default().chars().filter(char::is_ascii_graphic).take(64).collect();
        tracing::warn!(%address, said, "a log-in by OpenID Connect came to nothing");
        return Ok(over("/#log-in=ended"));
    };
    match issuer.end(attempt, code).await {
        Ok((name, grant)) => {
            let secret = state.operators.log_in_openid(address, name, grant)?;
            Ok(with_cookie(over("/"), secure, Some(&secret)))
        }
        Err(error) => {
            tracing::warn!(%error, %address, "log-in by OpenID Connect refused");
            let denied = matches!(error, OpenIdError::NoRole { .. });
            Ok(over(if denied { "/#log-in=no-role" } else { "/#log-in=failed" }))
        }
    }
}

fn no_issuer() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no OpenID Connect issuer; set operators.openid_issuer")
}

fn see_other(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

/// Sets the cookie of a log-in under way. The issuer's page sends the browser back, so it cannot be strict.
fn attempt_cookie(mut response: Response, secure: bool, secrets: &str, seconds: u32) -> Response {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!(
        "{ATTEMPT_COOKIE}={secrets}; Path=/api/v1/session/openid; HttpOnly; SameSite=Lax{secure}; Max-Age={seconds}"
    );
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn attempt_of(headers: &HeaderMap) -> Option<Attempt> {
    Attempt::from_cookie(cookie_of(headers, ATTEMPT_COOKIE)?)
}

/// Whether the page that asks came by HTTPS; without a page, whether the request did.
fn is_secure(headers: &HeaderMap, tls: bool) -> bool {
    headers.get(header::ORIGIN).map_or(tls, |origin| origin.as_bytes().starts_with(b"https:"))
}

/// Sets the cookie, or takes it away.
fn with_cookie(mut response: Response, secure: bool, secret: Option<&Token>) -> Response {
    let (name, secure) = if secure { (SECURE_COOKIE, "; Secure") } else { (PLAIN_COOKIE, "") };
    let (value, age) = secret.map_or(("", "; Max-Age=0"), |secret| (secret.expose(), ""));
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The secret in the session's cookie: of all cookies of that name the first, the one for TLS before the other. Over TLS the
/// other does not count: whoever is on the way could have set it over cleartext, for a session of his own.
pub(super) fn secret_of(headers: &HeaderMap, tls: bool) -> Option<&str> {
    cookie_of(headers, SECURE_COOKIE).or_else(|| cookie_of(headers, PLAIN_COOKIE).filter(|_| !tls))
}

fn cookie_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // HTTP/2 and HTTP/3 may send each cookie in a header of its own.
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    let (_, value) = cookies.find(|(n, value)| *n == name && !value.is_empty())?;
    Some(value)
}

/// Who asks, if that is known.
pub(super) struct Known(Caller);

impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for Known {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Caller>().cloned().map(Known))
    }
}

impl From<LogInError> for Problem {
    fn from(error: LogInError) -> Self {
        match error {
            LogInError::Operators(error) => error.into(),
            LogInError::Slowed(wait) | LogInError::UserSlowed(wait) => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()).retry_after(wait.as_secs() + 1)
            }
            LogInError::Busy => Problem::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()).retry_after(2),
            LogInError::NoUser => Problem::new(StatusCode::CONFLICT, error.to_string()),
            LogInError::Password | LogInError::Token => Problem::new(StatusCode::UNAUTHORIZED, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_and_the_one_for_tls_goes_first() {
        let secret = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_static(line));
            }
            let over_tls = secret_of(&headers, true);
            assert!(over_tls.is_none_or(|secret| secret == "y"), "what came over cleartext does not count over TLS");
            secret_of(&headers, false).map(str::to_owned)
        };
        assert_eq!(secret(&["a=b; millstream=x; c=d"]).as_deref(), Some("x"));
        assert_eq!(secret(&["millstream=x", "__Host-millstream=y"]).as_deref(), Some("y"));
        assert_eq!(secret(&["millstream="]), None);
        assert_eq!(secret(&["xmillstream=x; millstream2=y"]), None);
        assert_eq!(secret(&[]), None);
    }

    #[test]
    fn cookies_are_strict_and_secure_on_tls() {
        let cookie = |origin: &'static str, secret: Option<&Token>| {
            let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
            let response = with_cookie(StatusCode::OK.into_response(), is_secure(&headers, false), secret);
            response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned()
        };
        let token = Token::generate([0; 20]);
        let (value, rest) = ("mst_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Path=/; HttpOnly; SameSite=Strict");
        assert_eq!(cookie("http://a", Some(&token)), format!("millstream={value}; {rest}"));
        assert_eq!(cookie("https://a", Some(&token)), format!("__Host-millstream={value}; {rest}; Secure"));
        assert_eq!(cookie("https://a", None), format!("__Host-millstream=; {rest}; Secure; Max-Age=0"));
        let no_page = HeaderMap::new();
        assert!(is_secure(&no_page, true) && !is_secure(&no_page, false));
    }
}

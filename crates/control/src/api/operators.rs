//! Tokens and users over HTTP: list, make, change, take back.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use millstream_access::operator::{AccountError, Channels, Grant, OperatorName, Role, TokenRecord, User};
use millstream_media::time::UtcTime;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::problem::Problem;
use super::{ApiState, fresh_json};
use crate::channel::ConfigError;
use crate::operators::{Operators, OperatorsError};
use crate::registry::RegistryError;

/// All tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenList {
    /// In the order in which they were made.
    tokens: Vec<TokenView>,
}

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenView {
    /// What it is called.
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: &'static str,
    /// The channels it is for, such as `news` or `acme-*`; all if there is no list.
    channels: Option<Vec<String>>,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// From when on it opens nothing; none if it does not end.
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// Whether it has ended.
    expired: bool,
    /// When it was used last, since the server started.
    #[schema(format = DateTime)]
    last_used: Option<String>,
}

impl TokenView {
    fn of(token: &TokenRecord, operators: &Operators) -> Self {
        TokenView {
            name: token.name.to_string(),
            role: token.grant.role.as_str(),
            channels: patterns(&token.grant),
            created: token.created.to_iso8601(),
            expires: token.expires.map(UtcTime::to_iso8601),
            expired: token.has_ended_at(operators.now()),
            last_used: operators.last_used(&token.name).map(UtcTime::to_iso8601),
        }
    }
}

/// A token with its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenWithSecret {
    /// What it is called.
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: &'static str,
    /// The channels it is for; all if there is no list.
    channels: Option<Vec<String>>,
    /// From when on it opens nothing; none if it does not end.
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// The token itself, shown this once.
    token: String,
}

/// A token to be made.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body in the OpenAPI document")]
pub(super) struct NewTokenBody {
    /// What it is to be called: 1 to 64 of `a-z`, `0-9`, `-`, `_`, `.`, `+` and `@`, starting with a letter or digit.
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
    /// The channels it is for, such as `news` or `acme-*`; all where this is left out. An admin is for all.
    #[schema(min_items = 1, max_items = 64)]
    channels: Option<Vec<String>>,
    /// From when on it opens nothing. It does not end where this is left out.
    #[schema(format = DateTime)]
    expires: Option<String>,
}

/// All users.
#[derive(Serialize, ToSchema)]
pub(super) struct UserList {
    /// In the order in which they were added.
    users: Vec<UserView>,
}

/// A user.
#[derive(Serialize, ToSchema)]
pub(super) struct UserView {
    /// What the user is called.
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: &'static str,
    /// The channels the user is for; all if there is no list.
    channels: Option<Vec<String>>,
    /// When the user was added.
    #[schema(format = DateTime)]
    created: String,
}

impl UserView {
    fn of(user: &User) -> Self {
        UserView {
            name: user.name.to_string(),
            role: user.grant.role.as_str(),
            channels: patterns(&user.grant),
            created: user.created.to_iso8601(),
        }
    }
}

/// A user to be added.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body in the OpenAPI document")]
pub(super) struct NewUserBody {
    /// What the user is to be called, as a token.
    name: String,
    /// At least 10 characters.
    #[schema(min_length = 10, max_length = 256)]
    password: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
    /// The channels the user is for; all where this is left out.
    #[schema(min_items = 1, max_items = 64)]
    channels: Option<Vec<String>>,
}

/// What of a user is to change.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body in the OpenAPI document")]
pub(super) struct UserChangeBody {
    /// Another password; the user's sessions end.
    #[schema(min_length = 10, max_length = 256)]
    password: Option<String>,
    /// Another role.
    role: Option<String>,
    /// Other channels; `null` for all.
    #[schema(min_items = 1, max_items = 64)]
    channels: Option<Vec<String>>,
}

fn patterns(grant: &Grant) -> Option<Vec<String>> {
    grant.channels.as_ref().map(|channels| channels.patterns().to_vec())
}

/// All tokens, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "operators", responses((status = 200, body = TokenList)))]
pub(super) async fn list_tokens(State(state): State<Arc<ApiState>>) -> Response {
    let accounts = state.operators.accounts();
    let tokens = accounts.tokens().iter().map(|token| TokenView::of(token, &state.operators)).collect();
    fresh_json(StatusCode::OK, TokenList { tokens })
}

/// Makes a token. The answer holds it; it is not shown again.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "operators", request_body = NewTokenBody,
    responses(
        (status = 201, body = TokenWithSecret),
        (status = 409, description = "the name is taken, or there are 500", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a token that cannot be made", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn add_token(
    State(state): State<Arc<ApiState>>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let fields = Fields::of(&body, &["name", "role", "channels", "expires"])?;
    let (name, grant) = (fields.name()?, fields.grant()?);
    let now = state.operators.now();
    let expires = match fields.text("expires")? {
        None => None,
        Some(text) => match UtcTime::from_iso8601(text) {
            Some(end) if end > now => Some(end),
            Some(_) => return Err(invalid("expires", "has passed already; name a time ahead")),
            None => return Err(invalid("expires", "is no time; write 2026-11-22T20:15:00Z")),
        },
    };
    let token = state.operators.add_token(name.clone(), grant.clone(), expires).await?;
    let made = TokenWithSecret {
        name: name.to_string(),
        role: grant.role.as_str(),
        channels: patterns(&grant),
        expires: expires.map(UtcTime::to_iso8601),
        token: token.expose().to_owned(),
    };
    tracing::info!(token = %name, role = %grant.role, "token made");
    Ok(fresh_json(StatusCode::CREATED, made))
}

/// Takes a token back: it opens nothing from now on, and console sessions by it end.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{token}", tag = "operators", params(("token" = String, Path, description = "the token's name")),
    responses(
        (status = 204, description = "revoked"),
        (status = 404, description = "no such token", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the last admin", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke_token(State(state): State<Arc<ApiState>>, Named(name): Named) -> Result<Response, Problem> {
    state.operators.revoke_token(&name).await?;
    tracing::info!(token = %name, "token revoked");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// All users.
#[utoipa::path(get, path = "/api/v1/users", tag = "operators", responses((status = 200, body = UserList)))]
pub(super) async fn list_users(State(state): State<Arc<ApiState>>) -> Response {
    let users = state.operators.accounts().users().iter().map(UserView::of).collect();
    fresh_json(StatusCode::OK, UserList { users })
}

/// Adds a user, who logs in to the console with a password.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "operators", request_body = NewUserBody,
    responses(
        (status = 201, body = UserView),
        (status = 409, description = "the name is taken, or there are 500", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a user that cannot be added", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn add_user(
    State(state): State<Arc<ApiState>>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let fields = Fields::of(&body, &["name", "password", "role", "channels"])?;
    let (name, grant) = (fields.name()?, fields.grant()?);
    let password = fields.text("password")?.ok_or_else(|| invalid("password", "is missing"))?;
    state.operators.add_user(name.clone(), password.to_owned(), grant.clone()).await?;
    tracing::info!(user = %name, role = %grant.role, "user added");
    shown(&state, &name, StatusCode::CREATED)
}

/// Gives a user another password, which ends the user's sessions, or another role, which counts at once.
#[utoipa::path(
    patch, path = "/api/v1/users/{user}", tag = "operators", params(("user" = String, Path, description = "the user")),
    request_body = UserChangeBody,
    responses(
        (status = 200, body = UserView),
        (status = 404, description = "no such user", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the last admin", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a change that cannot be made", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change_user(
    State(state): State<Arc<ApiState>>,
    Named(name): Named,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let fields = Fields::of(&body, &["password", "role", "channels"])?;
    let password = fields.text("password")?.map(str::to_owned);
    let present = state.operators.accounts().user(&name).map(|user| user.grant.clone());
    let present = present.ok_or_else(|| OperatorsError::Account(AccountError::NoUser(name.clone())))?;
    let has_grant = ["role", "channels"].iter().any(|field| fields.0.contains_key(*field));
    let grant = if has_grant { Some(fields.grant_from(Some(&present))?) } else { None };
    if password.is_none() && grant.is_none() {
        return Err(invalid("", "nothing changes; send a password, or a role"));
    }
    let (new_password, new_role) = (password.is_some(), grant.as_ref().map(|grant| grant.role.as_str()));
    state.operators.change_user(&name, password, grant).await?;
    tracing::info!(user = %name, new_password, new_role, "user changed");
    shown(&state, &name, StatusCode::OK)
}

/// Removes a user and ends the user's sessions.
#[utoipa::path(
    delete, path = "/api/v1/users/{user}", tag = "operators", params(("user" = String, Path, description = "the user")),
    responses(
        (status = 204, description = "removed"),
        (status = 404, description = "no such user", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the last admin", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove_user(State(state): State<Arc<ApiState>>, Named(name): Named) -> Result<Response, Problem> {
    state.operators.remove_user(&name).await?;
    tracing::info!(user = %name, "user removed");
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn shown(state: &ApiState, name: &OperatorName, status: StatusCode) -> Result<Response, Problem> {
    match state.operators.accounts().user(name) {
        Some(user) => Ok(fresh_json(status, UserView::of(user))),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "the user was removed meanwhile")),
    }
}

/// The fields of a body.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn of(body: &'a Value, known: &[&str]) -> Result<Self, Problem> {
        match body {
            Value::Object(object) if object.keys().all(|key| known.contains(&key.as_str())) => Ok(Fields(object)),
            _ => Err(invalid("", format!("the body is a JSON object with nothing but {}", known.join(", ")))),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, Problem> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(key, "is not text; give it in quotes")),
        }
    }

    fn name(&self) -> Result<OperatorName, Problem> {
        let name = self.text("name")?.ok_or_else(|| invalid("name", "is missing"))?;
        OperatorName::new(name).map_err(|error| invalid("name", format!("is not valid: {error}")))
    }

    fn grant(&self) -> Result<Grant, Problem> {
        self.grant_from(None)
    }

    /// The role and the channels; what is not named stays as it is. A list that is no list of names is never read as all
    /// channels.
    fn grant_from(&self, present: Option<&Grant>) -> Result<Grant, Problem> {
        let role = match (self.text("role")?, present) {
            (None, Some(present)) => Some(present.role),
            (text, _) => text.and_then(Role::parse),
        };
        let role = role.ok_or_else(|| invalid("role", "is not viewer, operator or admin"))?;
        let channels = match (self.0.get("channels"), present) {
            (None, Some(present)) => present.channels.clone(),
            (None | Some(Value::Null), _) => None,
            (Some(list), _) => {
                let names: Option<Vec<String>> = serde_json::from_value(list.clone()).ok();
                let names = names.ok_or_else(|| invalid("channels", "is no list of names"))?;
                Some(Channels::new(names).map_err(|error| invalid("channels", format!("is not valid: {error}")))?)
            }
        };
        Grant::new(role, channels).map_err(|error| invalid("channels", format!("is not valid: {error}")))
    }
}

/// A field that cannot be taken.
pub(super) fn invalid(field: &str, message: impl Into<String>) -> Problem {
    RegistryError::Config(ConfigError::one(field, message)).into()
}

impl From<OperatorsError> for Problem {
    fn from(error: OperatorsError) -> Self {
        let status = match &error {
            OperatorsError::Account(AccountError::NoToken(_) | AccountError::NoUser(_)) => StatusCode::NOT_FOUND,
            OperatorsError::Account(_) | OperatorsError::NoFile => StatusCode::CONFLICT,
            OperatorsError::Password(_) => StatusCode::UNPROCESSABLE_ENTITY,
            OperatorsError::Corrupt { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            OperatorsError::File { .. } | OperatorsError::Random | OperatorsError::Away => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        if status.is_server_error() {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "operators cannot be changed");
        }
        Problem::new(status, error.to_string())
    }
}

/// The token's or user's name in the path.
pub(super) struct Named(OperatorName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let missing = |detail: String| Problem::new(StatusCode::NOT_FOUND, detail);
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| missing("the name in the path is not readable text".into()))?;
        OperatorName::new(&text).map(Named).map_err(|error| missing(error.to_string()))
    }
}

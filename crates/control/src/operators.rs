//! The operators of this server: its tokens and users in one file, who is logged in, and who a request comes from.
//!
//! - [`file`]: `operators.json`, readable by its owner only.
//! - [`log_in`]: passwords and tokens that become console sessions.
//! - [`openid`]: log-in by an OpenID Connect issuer.
//! - [`waiting`]: how many wait for their turn.

mod error;
mod file;
mod log_in;
pub mod openid;
mod waiting;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_access::operator::accounts::UserChange;
use millstream_access::operator::log_ins::LogIns;
use millstream_access::operator::password::SALT_BYTES;
use millstream_access::operator::{
    Accounts, Grant, OperatorName, PasswordHash, Role, Sessions, Token, TokenHash, TokenRecord, User, session,
};
use millstream_access::stream_key::RANDOM_BYTES;
use millstream_media::time::{Clock, MonoTime, UtcTime};
use rand::TryRngCore as _;
use tokio::sync::Semaphore;

pub use error::{LogInError, OperatorsError};

/// How long the first token opens the API, if nobody is made admin by it before.
pub const FIRST_TOKEN_LASTS: Duration = Duration::from_secs(24 * 3600);
/// Passwords that are compared at once; each takes a core for tens of milliseconds, and 19 MiB.
const COMPARED_AT_ONCE: usize = 1;

/// What the configuration says about operators.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Every request needs an operator, also on this machine while there is none.
    pub require: bool,
    /// The API can be reached from other machines.
    pub beyond_loopback: bool,
    /// The configuration's own admin.
    pub admin_token: Option<TokenHash>,
    /// The configuration's own viewer, for monitors.
    pub viewer_token: Option<TokenHash>,
    /// Bounds of console sessions.
    pub sessions: session::Config,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token or the user.
    pub name: String,
    /// How it is known.
    pub kind: CallerKind,
    /// What it may do.
    pub grant: Grant,
}

/// How a caller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// Whoever is on this machine, while there are no operators.
    Machine,
    /// The token that the first start printed.
    First,
    /// A token of the configuration.
    Configured,
    /// A token.
    Token,
    /// A user, logged in to the console.
    User,
    /// Somebody whom an OpenID Connect issuer knows, logged in to the console.
    OpenId,
}

impl CallerKind {
    /// As the API and the log have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            CallerKind::Machine => "machine",
            CallerKind::First => "first_token",
            CallerKind::Configured => "configuration",
            CallerKind::Token => "token",
            CallerKind::User => "user",
            CallerKind::OpenId => "openid",
        }
    }
}

impl Caller {
    /// Whoever is on this machine, while there are no operators.
    pub fn machine() -> Self {
        Caller { name: "this machine".to_owned(), kind: CallerKind::Machine, grant: Grant::all(Role::Admin) }
    }
}

/// Why a token or a session opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// None is presented.
    #[error(
        "this needs an operator; send Authorization: Bearer with a token (MILLSTREAM_TOKEN on the command line), or log \
         in to the console"
    )]
    Nothing,
    /// It is not known.
    #[error("this token is not valid here; it was revoked, or it is of another server")]
    Token,
    /// It has ended.
    #[error("this token has expired; ask an admin for another")]
    Expired,
    /// The log-in has ended.
    #[error("the log-in has ended; log in again")]
    Session,
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    User(OperatorName),
    /// By whichever token has this hash.
    Token(TokenHash),
    /// By an issuer that said so when they logged in.
    OpenId(String, Grant),
}

struct State {
    accounts: Accounts,
    first: Option<(TokenHash, MonoTime)>,
    sessions: Sessions<Who>,
    log_ins: LogIns,
    /// When each token was used last, since the start.
    used: HashMap<OperatorName, UtcTime>,
}

/// The operators of this server.
pub struct Operators {
    settings: Settings,
    clock: Arc<dyn Clock>,
    /// Where tokens and users are kept; a node without a file has those of its configuration only.
    path: Option<PathBuf>,
    state: Mutex<State>,
    /// Held while a change is checked, written and put in force.
    changing: tokio::sync::Mutex<()>,
    comparing: Semaphore,
    waiting: AtomicUsize,
}

impl Operators {
    /// Reads the file. With it comes the first token where somebody must log in and there is no admin: it is to be printed,
    /// opens the API for a day, and ends when it has made an admin.
    ///
    /// # Errors
    /// [`OperatorsError`]: the file is there and cannot be used.
    pub fn open(
        path: PathBuf,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, Option<Token>), OperatorsError> {
        let accounts = file::read(&path)?.unwrap_or_default();
        let has_admin = settings.admin_token.is_some() || accounts.have_admin_at(clock.utc());
        let operators = Self::new(Some(path), settings, clock, accounts);
        let mut first = None;
        if !has_admin && !operators.is_open() {
            let token = random_token()?;
            operators.lock().first = Some((token.hash(), operators.clock.mono() + FIRST_TOKEN_LASTS));
            first = Some(token);
        }
        Ok((Arc::new(operators), first))
    }

    /// Operators of a node that keeps none, such as an edge: those of its configuration.
    pub fn of_configuration(settings: Settings, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self::new(None, settings, clock, Accounts::default()))
    }

    fn new(path: Option<PathBuf>, settings: Settings, clock: Arc<dyn Clock>, accounts: Accounts) -> Self {
        let sessions = Sessions::new(settings.sessions.clone());
        Operators {
            settings,
            clock,
            path,
            state: Mutex::new(State {
                accounts,
                first: None,
                sessions,
                log_ins: LogIns::default(),
                used: HashMap::new(),
            }),
            changing: tokio::sync::Mutex::new(()),
            comparing: Semaphore::new(COMPARED_AT_ONCE),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether the API is open to whoever is on this machine: nobody else can reach it, and there are no operators.
    pub fn is_open(&self) -> bool {
        self.opens_when_empty() && self.lock().accounts.is_empty()
    }

    fn opens_when_empty(&self) -> bool {
        let set = &self.settings;
        !set.require && !set.beyond_loopback && set.admin_token.is_none() && set.viewer_token.is_none()
    }

    /// Who presents this token.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn of_token(&self, presented: &str) -> Result<Caller, Unknown> {
        let hash = TokenHash::of(presented).ok_or(Unknown::Token)?;
        self.of_hash(&mut self.lock(), &hash)
    }

    /// Who has this session; it counts as used.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn of_session(&self, secret: &str) -> Result<Caller, Unknown> {
        let hash = TokenHash::of(secret).ok_or(Unknown::Session)?;
        let mut state = self.lock();
        let who = state.sessions.use_at(&hash, self.clock.mono()).cloned().ok_or(Unknown::Session)?;
        match who {
            Who::Token(token) => self.of_hash(&mut state, &token).map_err(|_| Unknown::Session),
            Who::OpenId(name, grant) => Ok(Caller { name, kind: CallerKind::OpenId, grant }),
            Who::User(name) => {
                let user = state.accounts.user(&name).ok_or(Unknown::Session)?;
                Ok(Caller { name: name.to_string(), kind: CallerKind::User, grant: user.grant.clone() })
            }
        }
    }

    fn of_hash(&self, state: &mut State, hash: &TokenHash) -> Result<Caller, Unknown> {
        let is = |kept: &Option<TokenHash>| kept.is_some_and(|kept| kept.matches(hash));
        let configured =
            |role| Caller { name: format!("{role}_token"), kind: CallerKind::Configured, grant: Grant::all(role) };
        if is(&self.settings.admin_token) {
            return Ok(configured(Role::Admin));
        }
        if is(&self.settings.viewer_token) {
            return Ok(configured(Role::Viewer));
        }
        if let Some((_, ends)) = state.first.filter(|(first, _)| first.matches(hash)) {
            if self.clock.mono() >= ends {
                return Err(Unknown::Expired);
            }
            let name = "first token".to_owned();
            return Ok(Caller { name, kind: CallerKind::First, grant: Grant::all(Role::Admin) });
        }
        let now = self.clock.utc();
        let token = state.accounts.token_of(hash).ok_or(Unknown::Token)?;
        if token.has_ended_at(now) {
            return Err(Unknown::Expired);
        }
        let (name, grant) = (token.name.clone(), token.grant.clone());
        let caller = Caller { name: name.to_string(), kind: CallerKind::Token, grant };
        state.used.insert(name, now);
        Ok(caller)
    }

    /// Tokens and users as they are.
    pub fn accounts(&self) -> Accounts {
        self.lock().accounts.clone()
    }

    /// When a token was used last, since the start.
    pub fn last_used(&self, token: &OperatorName) -> Option<UtcTime> {
        self.lock().used.get(token).copied()
    }

    /// The time by which tokens end.
    pub fn now(&self) -> UtcTime {
        self.clock.utc()
    }

    /// Makes a token and returns it: the only time it is shown.
    ///
    /// # Errors
    /// [`OperatorsError`].
    pub async fn add_token(
        &self,
        name: OperatorName,
        grant: Grant,
        expires: Option<UtcTime>,
    ) -> Result<Token, OperatorsError> {
        let token = random_token()?;
        let record = TokenRecord { name, hash: token.hash(), grant, created: self.clock.utc(), expires };
        self.change(|accounts| accounts.add_token(record)).await?;
        Ok(token)
    }

    /// Takes a token back: it opens nothing any more, and console sessions by it end.
    ///
    /// # Errors
    /// [`OperatorsError`].
    pub async fn revoke_token(&self, name: &OperatorName) -> Result<(), OperatorsError> {
        let hash = self.lock().accounts.token(name).map(|token| token.hash);
        self.change(|accounts| accounts.remove_token(name)).await?;
        let mut state = self.lock();
        state.used.remove(name);
        state.sessions.end_all(|who| matches!(who, Who::Token(by) if Some(*by) == hash));
        Ok(())
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`OperatorsError`].
    pub async fn add_user(&self, name: OperatorName, password: String, grant: Grant) -> Result<(), OperatorsError> {
        let password = self.hashed(&name, password).await?;
        let user = User { name, password, grant, created: self.clock.utc() };
        self.change(|accounts| accounts.add_user(user)).await
    }

    /// Gives a user another password, which ends the user's sessions, or another role, which counts at once.
    ///
    /// # Errors
    /// [`OperatorsError`].
    pub async fn change_user(
        &self,
        name: &OperatorName,
        password: Option<String>,
        grant: Option<Grant>,
    ) -> Result<(), OperatorsError> {
        let ends_sessions = password.is_some();
        let password = match password {
            Some(password) => Some(self.hashed(name, password).await?),
            None => None,
        };
        self.change(|accounts| accounts.change_user(name, UserChange { password, grant })).await?;
        if ends_sessions {
            self.end_sessions_of(name);
        }
        Ok(())
    }

    /// Removes a user and ends the user's sessions.
    ///
    /// # Errors
    /// [`OperatorsError`].
    pub async fn remove_user(&self, name: &OperatorName) -> Result<(), OperatorsError> {
        self.change(|accounts| accounts.remove_user(name)).await?;
        self.end_sessions_of(name);
        self.lock().log_ins.forget(name);
        Ok(())
    }

    fn end_sessions_of(&self, name: &OperatorName) {
        self.lock().sessions.end_all(|who| matches!(who, Who::User(of) if of == name));
    }

    /// Checks a change, writes it and puts it in force.
    async fn change(
        &self,
        make: impl FnOnce(&mut Accounts) -> Result<(), millstream_access::operator::AccountError>,
    ) -> Result<(), OperatorsError> {
        let path = self.path.clone().ok_or(OperatorsError::NoFile)?;
        let _one_change = self.changing.lock().await;
        let before = self.accounts();
        let mut after = before.clone();
        make(&mut after)?;
        let now = self.clock.utc();
        if self.settings.admin_token.is_none() {
            after.follow_at(&before, self.opens_when_empty(), now)?;
        }
        let written = after.clone();
        let writing = tokio::task::spawn_blocking(move || file::write(&path, &written));
        writing.await.map_err(|_| OperatorsError::Away)??;
        let mut state = self.lock();
        if after.have_admin_at(now) {
            state.first = None;
        }
        state.accounts = after;
        Ok(())
    }

    async fn hashed(&self, user: &OperatorName, password: String) -> Result<PasswordHash, OperatorsError> {
        let mut salt = [0_u8; SALT_BYTES];
        rand::rngs::OsRng.try_fill_bytes(&mut salt).map_err(|_| OperatorsError::Random)?;
        let _turn = self.comparing.acquire().await.map_err(|_| OperatorsError::Away)?;
        let user = user.clone();
        let hashing = tokio::task::spawn_blocking(move || PasswordHash::new(user.as_str(), &password, salt));
        Ok(hashing.await.map_err(|_| OperatorsError::Away)??)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token from the operating system's random source.
fn random_token() -> Result<Token, OperatorsError> {
    let mut random = [0_u8; RANDOM_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut random).map_err(|_| OperatorsError::Random)?;
    Ok(Token::generate(random))
}

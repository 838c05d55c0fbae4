//! Log-ins: a password or a token becomes a console session. Wrong ones are slowed by address and by user.

use std::net::IpAddr;

use millstream_access::operator::accounts::UserChange;
use millstream_access::operator::log_ins::Wait;
use millstream_access::operator::{Grant, OperatorName, PasswordHash, Token, TokenHash};

use super::error::{LogInError, OperatorsError};
use super::waiting::Place;
use super::{Caller, CallerKind, Operators, Who, random_token};

/// Log-ins that wait for their password's turn; more are sent away.
const MOST_WAITING: usize = 8;

impl Operators {
    /// Logs a user in. The secret of the session goes into a cookie.
    ///
    /// # Errors
    /// [`LogInError`].
    pub async fn log_in_user(
        &self,
        address: IpAddr,
        user: &str,
        password: String,
    ) -> Result<(Token, Caller), LogInError> {
        let Some(name) = self.proven(address, user, password).await? else {
            return Err(LogInError::Password);
        };
        let secret = random_token()?;
        let mut state = self.lock();
        // The user may have gone meanwhile.
        let grant = state.accounts.user(&name).ok_or(LogInError::Password)?.grant.clone();
        state.log_ins.right(address, &name);
        state.sessions.open_at(secret.hash(), Who::User(name.clone()), self.clock.mono());
        tracing::info!(user = %name, %address, "logged in");
        Ok((secret, Caller { name: name.to_string(), kind: CallerKind::User, grant }))
    }

    /// Gives the user who has this session another password. The user's other sessions end.
    ///
    /// # Errors
    /// [`LogInError`]; the present password counts as a log-in.
    pub async fn change_own_password(
        &self,
        address: IpAddr,
        caller: &Caller,
        session: Option<&str>,
        present: String,
        next: String,
    ) -> Result<(), LogInError> {
        if caller.kind != CallerKind::User {
            return Err(LogInError::NoUser);
        }
        let name = self.proven(address, &caller.name, present).await?.ok_or(LogInError::Password)?;
        let password = Some(self.hashed(&name, next).await?);
        let change = UserChange { password, grant: None };
        self.change(|accounts| accounts.change_user(&name, change)).await?;
        let own = session.and_then(TokenHash::of);
        self.lock().sessions.end_others(|who| matches!(who, Who::User(of) if *of == name), own.as_ref());
        tracing::info!(user = %name, %address, "own password changed");
        Ok(())
    }

    /// The user of this name, if this is the user's password. A wrong one is counted.
    async fn proven(&self, address: IpAddr, user: &str, password: String) -> Result<Option<OperatorName>, LogInError> {
        self.let_guess(address, Some(user))?;
        let place = Place::take(&self.waiting, MOST_WAITING).ok_or(LogInError::Busy)?;
        let _turn = self.comparing.acquire().await.map_err(|_| OperatorsError::Away)?;
        drop(place);
        // Others from there may have guessed meanwhile.
        self.let_guess(address, Some(user))?;
        let name = OperatorName::new(user).ok();
        let kept = name.as_ref().and_then(|name| Some(self.lock().accounts.user(name)?.password.clone()));
        let is_known = kept.is_some();
        let comparing = tokio::task::spawn_blocking(move || match kept {
            Some(hash) => hash.verify(&password),
            None => PasswordHash::verify_nobody(&password),
        });
        if comparing.await.map_err(|_| OperatorsError::Away)? {
            return Ok(name);
        }
        // A name that is not known may be a password that was typed into the wrong field.
        let shown = if is_known { user } else { "(not known)" };
        tracing::warn!(user = shown, %address, "log-in refused");
        self.lock().log_ins.wrong_at(address, Some(user), self.clock.mono());
        Ok(None)
    }

    /// Logs somebody in to the console by a token; the session ends with it.
    ///
    /// # Errors
    /// [`LogInError`].
    pub fn log_in_token(&self, address: IpAddr, presented: &str) -> Result<(Token, Caller), LogInError> {
        self.let_guess(address, None)?;
        let caller = self.of_token(presented).ok().zip(TokenHash::of(presented));
        let Some((caller, hash)) = caller else {
            tracing::warn!(%address, "log-in by a token refused");
            self.lock().log_ins.wrong_at(address, None, self.clock.mono());
            return Err(LogInError::Token);
        };
        let secret = random_token()?;
        self.lock().sessions.open_at(secret.hash(), Who::Token(hash), self.clock.mono());
        tracing::info!(token = caller.name, %address, "logged in by a token");
        Ok((secret, caller))
    }

    /// Logs somebody in to the console whom an issuer knows.
    ///
    /// # Errors
    /// [`OperatorsError`].
    pub fn log_in_openid(&self, address: IpAddr, name: String, grant: Grant) -> Result<Token, OperatorsError> {
        let secret = random_token()?;
        tracing::info!(user = name, role = %grant.role, %address, "logged in by OpenID Connect");
        self.lock().sessions.open_at(secret.hash(), Who::OpenId(name, grant), self.clock.mono());
        Ok(secret)
    }

    /// Ends a session.
    pub fn log_out(&self, secret: &str) {
        if let Some(hash) = TokenHash::of(secret)
            && self.lock().sessions.end(&hash).is_some()
        {
            tracing::info!("logged out");
        }
    }

    fn let_guess(&self, address: IpAddr, user: Option<&str>) -> Result<(), LogInError> {
        match self.lock().log_ins.wait_at(address, user, self.clock.mono()) {
            Some(Wait::Address(wait)) => Err(LogInError::Slowed(wait)),
            Some(Wait::User(wait)) => Err(LogInError::UserSlowed(wait)),
            None => Ok(()),
        }
    }
}

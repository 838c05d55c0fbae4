//! Log-ins: a password or a token becomes a console session. Wrong ones are slowed by address.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use millstream_access::StreamKeyHash;
use millstream_access::operator::{Grant, OperatorName, PasswordHash, Token, TokenHash};

use super::error::{LogInError, OperatorsError};
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
        self.let_guess(address)?;
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(LogInError::Busy);
        }
        let turn = self.comparing.acquire().await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let _turn = turn.map_err(|_| OperatorsError::Away)?;
        // Others from there may have guessed meanwhile.
        self.let_guess(address)?;
        let name = OperatorName::new(user).ok();
        let kept = name.as_ref().and_then(|name| Some(self.lock().accounts.user(name)?.password.clone()));
        let is_known = kept.is_some();
        let comparing = tokio::task::spawn_blocking(move || match kept {
            Some(hash) => hash.verify(&password),
            None => PasswordHash::verify_nobody(&password),
        });
        let is_right = comparing.await.map_err(|_| OperatorsError::Away)?;
        match name.filter(|_| is_right) {
            Some(name) => {
                let secret = random_token()?;
                let mut state = self.lock();
                // The user may have gone meanwhile.
                let grant = state.accounts.user(&name).ok_or(LogInError::Password)?.grant.clone();
                state.sessions.open_at(secret.hash(), Who::User(name.clone()), self.clock.mono());
                tracing::info!(user = %name, %address, "logged in");
                Ok((secret, Caller { name: name.to_string(), kind: CallerKind::User, grant }))
            }
            None => {
                // A name that is not known may be a password that was typed into the wrong field.
                let user = if is_known { user } else { "(not known)" };
                tracing::warn!(user, %address, "log-in refused");
                Err(self.guessed(address, LogInError::Password))
            }
        }
    }

    /// Logs somebody in to the console by a token; the session ends with it.
    ///
    /// # Errors
    /// [`LogInError`].
    pub fn log_in_token(&self, address: IpAddr, presented: &str) -> Result<(Token, Caller), LogInError> {
        self.let_guess(address)?;
        let caller = self.of_token(presented).ok().zip(TokenHash::of(presented));
        let Some((caller, hash)) = caller else {
            tracing::warn!(%address, "log-in by a token refused");
            return Err(self.guessed(address, LogInError::Token));
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

    fn let_guess(&self, address: IpAddr) -> Result<(), LogInError> {
        match self.lock().guesses.shut_out_at(address, self.clock.mono()) {
            Some(wait) => Err(LogInError::Slowed(wait)),
            None => Ok(()),
        }
    }

    /// Counts a wrong log-in: also the same again, for who repeats a password is a person or a program that guesses.
    fn guessed(&self, address: IpAddr, error: LogInError) -> LogInError {
        let mut state = self.lock();
        state.wrong = state.wrong.wrapping_add(1);
        let guess = StreamKeyHash::of(&state.wrong.to_string());
        state.guesses.wrong_at(address, guess, self.clock.mono());
        error
    }
}

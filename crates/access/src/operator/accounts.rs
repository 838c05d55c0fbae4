//! The tokens and users there are, and the rules by which they change.

use millstream_media::time::UtcTime;
use serde::{Deserialize, Serialize};

use super::password::PasswordHash;
use super::token::TokenHash;
use super::{Grant, OperatorName, Role};
use crate::publisher::{iso8601, iso8601_option};

/// Most tokens.
pub const MAX_TOKENS: usize = 500;
/// Most users.
pub const MAX_USERS: usize = 500;

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// What it is called.
    pub name: OperatorName,
    /// What is kept of the token itself.
    pub hash: TokenHash,
    /// What it lets somebody do.
    #[serde(flatten)]
    pub grant: Grant,
    /// When it was made.
    #[serde(with = "iso8601")]
    pub created: UtcTime,
    /// From when on it opens nothing; never if there is no time.
    #[serde(default, with = "iso8601_option", skip_serializing_if = "Option::is_none")]
    pub expires: Option<UtcTime>,
}

impl TokenRecord {
    /// Whether it has ended.
    pub fn has_ended_at(&self, now: UtcTime) -> bool {
        self.expires.is_some_and(|end| now >= end)
    }
}

/// A user as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// What the user is called.
    pub name: OperatorName,
    /// What is kept of the password.
    pub password: PasswordHash,
    /// What the user may do.
    #[serde(flatten)]
    pub grant: Grant,
    /// When the user was added.
    #[serde(with = "iso8601")]
    pub created: UtcTime,
}

/// All tokens and users, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    #[serde(default)]
    tokens: Vec<TokenRecord>,
    #[serde(default)]
    users: Vec<User>,
}

impl Accounts {
    /// The tokens.
    pub fn tokens(&self) -> &[TokenRecord] {
        &self.tokens
    }

    /// The users.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// Whether there is neither a token nor a user.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.users.is_empty()
    }

    /// Whether somebody can manage them: a user who is admin, or a token for it that has not ended.
    pub fn have_admin_at(&self, now: UtcTime) -> bool {
        self.users.iter().any(|user| user.grant.role == Role::Admin)
            || self.tokens.iter().any(|token| token.grant.role == Role::Admin && !token.has_ended_at(now))
    }

    /// The token with this hash, whether it has ended or not. Every one is compared, in constant time.
    pub fn token_of(&self, hash: &TokenHash) -> Option<&TokenRecord> {
        self.tokens.iter().fold(None, |found, token| if token.hash.matches(hash) { Some(token) } else { found })
    }

    /// The token of this name.
    pub fn token(&self, name: &OperatorName) -> Option<&TokenRecord> {
        self.tokens.iter().find(|token| token.name == *name)
    }

    /// The user of this name.
    pub fn user(&self, name: &OperatorName) -> Option<&User> {
        self.users.iter().find(|user| user.name == *name)
    }

    /// One token more.
    ///
    /// # Errors
    /// The name is taken, or there are too many.
    pub fn add_token(&mut self, token: TokenRecord) -> Result<(), AccountError> {
        if self.token(&token.name).is_some() {
            return Err(AccountError::TokenExists(token.name));
        }
        if self.tokens.len() >= MAX_TOKENS {
            return Err(AccountError::TooMany);
        }
        self.tokens.push(token);
        Ok(())
    }

    /// One token less.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn remove_token(&mut self, name: &OperatorName) -> Result<(), AccountError> {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.name != *name);
        if self.tokens.len() < before { Ok(()) } else { Err(AccountError::NoToken(name.clone())) }
    }

    /// One user more.
    ///
    /// # Errors
    /// The name is taken, or there are too many.
    pub fn add_user(&mut self, user: User) -> Result<(), AccountError> {
        if self.user(&user.name).is_some() {
            return Err(AccountError::UserExists(user.name));
        }
        if self.users.len() >= MAX_USERS {
            return Err(AccountError::TooMany);
        }
        self.users.push(user);
        Ok(())
    }

    /// One user less.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn remove_user(&mut self, name: &OperatorName) -> Result<(), AccountError> {
        let before = self.users.len();
        self.users.retain(|user| user.name != *name);
        if self.users.len() < before { Ok(()) } else { Err(AccountError::NoUser(name.clone())) }
    }

    /// Another password, or another role.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn change_user(&mut self, name: &OperatorName, change: UserChange) -> Result<(), AccountError> {
        let user = self.users.iter_mut().find(|user| user.name == *name);
        let user = user.ok_or_else(|| AccountError::NoUser(name.clone()))?;
        if let Some(password) = change.password {
            user.password = password;
        }
        if let Some(grant) = change.grant {
            user.grant = grant;
        }
        Ok(())
    }

    /// Whether these may follow `before`.
    ///
    /// # Errors
    /// There was an admin and is none any more, so nobody could make one. With neither a token nor a user left, that is
    /// right where the API is `open` again then. And where it was open, the first one is an admin: it closes the API.
    pub fn follow_at(&self, before: &Accounts, open: bool, now: UtcTime) -> Result<(), AccountError> {
        let loses_last = before.have_admin_at(now) && !self.have_admin_at(now);
        if open && before.is_empty() && !self.is_empty() && !self.have_admin_at(now) {
            return Err(AccountError::FirstAdmin);
        }
        if loses_last && !(self.is_empty() && open) { Err(AccountError::LastAdmin) } else { Ok(()) }
    }
}

/// What of a user changes.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// Another password.
    pub password: Option<PasswordHash>,
    /// Another role.
    pub grant: Option<Grant>,
}

/// A change that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The token's name is taken.
    #[error("there is a token {0} already; choose another name, or revoke that one first")]
    TokenExists(OperatorName),
    /// No such token.
    #[error("there is no token {0}; `millstream token list` shows those there are")]
    NoToken(OperatorName),
    /// The user's name is taken.
    #[error("there is a user {0} already; choose another name")]
    UserExists(OperatorName),
    /// No such user.
    #[error("there is no user {0}; `millstream user list` shows those there are")]
    NoUser(OperatorName),
    /// A bound is reached.
    #[error("there are 500 already, the most there can be; remove some")]
    TooMany,
    /// Nobody could make another one.
    #[error(
        "the first user or token is to be an admin, since it ends that whoever is on this machine may do everything"
    )]
    FirstAdmin,
    /// Nobody could make another admin.
    #[error("this is the last admin; make another one first, or nobody could change tokens and users any more")]
    LastAdmin,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> UtcTime {
        UtcTime::from_millis(seconds * 1000)
    }

    fn name(text: &str) -> OperatorName {
        OperatorName::new(text).unwrap()
    }

    fn token(called: &str, role: Role, expires: Option<i64>) -> TokenRecord {
        let hash = TokenHash::of(&format!("secret-{called}")).unwrap();
        TokenRecord { name: name(called), hash, grant: Grant::all(role), created: at(0), expires: expires.map(at) }
    }

    #[test]
    fn tokens_come_and_go() {
        let mut accounts = Accounts::default();
        accounts.add_token(token("ci", Role::Operator, Some(10))).unwrap();
        accounts.add_token(token("grafana", Role::Viewer, None)).unwrap();
        assert_eq!(accounts.add_token(token("ci", Role::Viewer, None)), Err(AccountError::TokenExists(name("ci"))));
        let found = accounts.token_of(&TokenHash::of("secret-ci").unwrap()).unwrap();
        assert!(found.name == name("ci") && !found.has_ended_at(at(9)) && found.has_ended_at(at(10)));
        assert!(accounts.token_of(&TokenHash::of("secret-other").unwrap()).is_none());
        let text = serde_json::to_string(&accounts).unwrap();
        assert_eq!(serde_json::from_str::<Accounts>(&text).unwrap(), accounts);
        assert!(!text.contains("secret-ci"), "{text}");
        accounts.remove_token(&name("ci")).unwrap();
        assert_eq!(accounts.remove_token(&name("ci")), Err(AccountError::NoToken(name("ci"))));
        for n in 0..MAX_TOKENS - 1 {
            accounts.add_token(token(&n.to_string(), Role::Viewer, None)).unwrap();
        }
        assert_eq!(accounts.add_token(token("more", Role::Viewer, None)), Err(AccountError::TooMany));
    }

    #[test]
    fn the_last_admin_stays() {
        let mut before = Accounts::default();
        before.add_token(token("root", Role::Admin, Some(10))).unwrap();
        before.add_token(token("ci", Role::Operator, None)).unwrap();
        let mut after = before.clone();
        after.remove_token(&name("root")).unwrap();
        assert_eq!(after.follow_at(&before, true, at(0)), Err(AccountError::LastAdmin));
        assert_eq!(after.follow_at(&before, true, at(10)), Ok(()), "it had ended: nothing is lost");
        let none = Accounts::default();
        assert_eq!(after.follow_at(&none, true, at(0)), Err(AccountError::FirstAdmin), "it would close the API");
        assert_eq!(after.follow_at(&none, false, at(0)), Ok(()), "the first token makes an admin still");
        assert_eq!(before.follow_at(&none, true, at(0)), Ok(()));
        let only = |accounts: &mut Accounts| accounts.remove_token(&name("ci")).unwrap();
        only(&mut before);
        only(&mut after);
        assert_eq!(after.follow_at(&before, true, at(0)), Ok(()), "the API is open again");
        assert_eq!(after.follow_at(&before, false, at(0)), Err(AccountError::LastAdmin));
    }
}

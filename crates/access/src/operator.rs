//! Operators: who may see and change what through the API and the console.
//!
//! - [`accounts`]: the tokens and users there are, and the rules by which they change.
//! - [`log_ins`]: who guesses passwords is slowed, by address and by user.
//! - [`openid`]: log-in by an OpenID Connect issuer, what of it needs no network.
//! - [`password`]: passwords, kept as argon2id hashes.
//! - [`session`]: who is logged in to the console, and for how long.
//! - [`token`]: random tokens, kept as SHA-256 hashes.

pub mod accounts;
pub mod log_ins;
pub mod openid;
pub mod password;
pub mod session;
pub mod token;

use core::fmt;

use serde::{Deserialize, Serialize};

pub use accounts::{AccountError, Accounts, TokenRecord, User};
pub use password::{PasswordError, PasswordHash};
pub use session::Sessions;
pub use token::{Token, TokenHash};

/// Most channel patterns of one operator.
pub const MAX_PATTERNS: usize = 64;

/// What an operator may do; each role may do all that the one before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees channels, recordings and the server.
    Viewer,
    /// Works on channels, keys of publishers and recordings.
    Operator,
    /// Makes and takes back tokens and users.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a request works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On<'a> {
    /// Nothing that belongs to anybody, or a list that is filtered.
    Nothing,
    /// A channel, or what was recorded from it.
    Channel(&'a str),
    /// What belongs to the whole server, or to no channel.
    Server,
}

/// A role, for all channels or for some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The channels it holds for; all, and what belongs to none, where there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
}

impl Grant {
    /// A role for the whole server.
    pub const fn all(role: Role) -> Self {
        Grant { role, channels: None }
    }

    /// A role, for some channels if there is a list.
    ///
    /// # Errors
    /// An admin of some channels: who makes tokens could make one for all.
    pub fn new(role: Role, channels: Option<Channels>) -> Result<Self, GrantError> {
        match (role, &channels) {
            (Role::Admin, Some(_)) => Err(GrantError::ScopedAdmin),
            _ => Ok(Grant { role, channels }),
        }
    }

    /// Whether it lets somebody do what needs this role, on this.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, needs: Role, on: On<'_>) -> Result<(), Refused> {
        if self.role < needs {
            return Err(Refused::Role { has: self.role, needs });
        }
        match (&self.channels, on) {
            (None, _) | (Some(_), On::Nothing) => Ok(()),
            (Some(channels), On::Channel(name)) if channels.contain(name) => Ok(()),
            (Some(_), On::Channel(_)) => Err(Refused::Channel),
            (Some(_), On::Server) => Err(Refused::Server),
        }
    }

    /// Whether it holds for what belongs to this channel, or to none.
    pub fn covers(&self, channel: Option<&str>) -> bool {
        let on = channel.map_or(On::Server, On::Channel);
        self.check(self.role, on).is_ok()
    }
}

/// Why somebody who is known may not do something. It does not say whether the channel exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The role is too small.
    #[error("this needs the role {needs}, and yours is {has}; ask an admin for a token or user with that role")]
    Role {
        /// The caller's.
        has: Role,
        /// What it takes.
        needs: Role,
    },
    /// Another channel.
    #[error("your token or user is not for this channel; ask an admin for one that is")]
    Channel,
    /// Nothing of a channel.
    #[error("your token or user is for some channels only, and this belongs to the whole server; ask an admin")]
    Server,
}

/// A role that nobody can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// An admin for some channels.
    #[error("an admin is for the whole server; leave the channels out, or give the role operator")]
    ScopedAdmin,
}

/// Channels by name, or by the beginning of it: `news`, `acme-*`. At least one, at most [`MAX_PATTERNS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Channels(Vec<String>);

impl Channels {
    /// Checks patterns.
    ///
    /// # Errors
    /// [`ChannelsError`].
    pub fn new(patterns: Vec<String>) -> Result<Self, ChannelsError> {
        if patterns.is_empty() || patterns.len() > MAX_PATTERNS {
            return Err(ChannelsError::Count);
        }
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        for pattern in &patterns {
            let name = pattern.strip_suffix('*').unwrap_or(pattern);
            if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
                return Err(ChannelsError::Pattern);
            }
        }
        Ok(Channels(patterns))
    }

    /// Whether a channel is among them.
    pub fn contain(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => pattern == name,
        })
    }

    /// The patterns.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Channels {
    type Error = ChannelsError;
    fn try_from(patterns: Vec<String>) -> Result<Self, ChannelsError> {
        Channels::new(patterns)
    }
}

impl From<Channels> for Vec<String> {
    fn from(channels: Channels) -> Vec<String> {
        channels.0
    }
}

/// A list that names no channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelsError {
    /// None, or too many.
    #[error("a list of channels has 1 to 64 names; leave it out for all channels")]
    Count,
    /// No name.
    #[error("a channel is written as its name, or as the beginning of names and a star, such as acme-*")]
    Pattern,
}

/// Name of a token or a user: 1 to 64 of `a-z`, `0-9`, `-`, `_`, `.`, `+` and `@`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperatorName(String);

impl OperatorName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`OperatorNameError`].
    pub fn new(name: &str) -> Result<Self, OperatorNameError> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'+' | b'@');
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let ok = (1..=64).contains(&name.len()) && name.bytes().all(allowed) && begins;
        // Names stand in URLs and logs: what has the form of a token is one that was put in the wrong place.
        if ok && !name.starts_with(token::PREFIX) { Ok(OperatorName(name.to_owned())) } else { Err(OperatorNameError) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for OperatorName {
    type Error = OperatorNameError;
    fn try_from(name: String) -> Result<Self, OperatorNameError> {
        OperatorName::new(&name)
    }
}

impl From<OperatorName> for String {
    fn from(name: OperatorName) -> String {
        name.0
    }
}

/// A text is no name. It is not repeated: it may be a secret that was put in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 of a-z, 0-9, -, _, ., + and @, starting with a letter or digit")]
pub struct OperatorNameError;

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(patterns: &[&str]) -> Result<Channels, ChannelsError> {
        Channels::new(patterns.iter().map(|p| (*p).to_owned()).collect())
    }

    #[test]
    fn each_role_may_do_what_the_one_before_may() {
        for has in Role::ALL {
            for needs in Role::ALL {
                let verdict = Grant::all(has).check(needs, On::Server);
                assert_eq!(verdict.is_ok(), has as u8 >= needs as u8, "{has} {needs}");
            }
            assert_eq!(Role::parse(has.as_str()), Some(has));
        }
        assert_eq!(Role::parse("root"), None);
    }

    #[test]
    fn a_list_of_channels_shuts_out_the_rest() {
        let some = Grant::new(Role::Operator, Some(channels(&["news", "acme-*"]).unwrap())).unwrap();
        for (on, want) in [
            (On::Nothing, Ok(())),
            (On::Channel("news"), Ok(())),
            (On::Channel("acme-1"), Ok(())),
            (On::Channel("news-2"), Err(Refused::Channel)),
            (On::Channel("acme"), Err(Refused::Channel)),
            (On::Channel(""), Err(Refused::Channel)),
            (On::Channel("%61cme-1"), Err(Refused::Channel)),
            (On::Server, Err(Refused::Server)),
        ] {
            assert_eq!(some.check(Role::Operator, on), want, "{on:?}");
        }
        assert!(some.covers(Some("news")) && !some.covers(Some("sport")) && !some.covers(None));
        assert!(Grant::all(Role::Viewer).covers(None) && Grant::all(Role::Viewer).covers(Some("sport")));
        assert_eq!(
            some.check(Role::Admin, On::Channel("news")),
            Err(Refused::Role { has: Role::Operator, needs: Role::Admin })
        );
    }

    #[test]
    fn no_list_is_ever_read_as_all_by_mistake() {
        assert_eq!(channels(&[]), Err(ChannelsError::Count));
        for wrong in ["", "*", "a*b", "News", "a/b", "a b"] {
            assert_eq!(channels(&[wrong]), Err(ChannelsError::Pattern), "{wrong}");
        }
        assert!(serde_json::from_str::<Grant>(r#"{"role":"viewer","channels":[]}"#).is_err());
        assert!(serde_json::from_str::<Grant>(r#"{"channels":["a"]}"#).is_err(), "a role is never made up");
        let text = serde_json::to_string(&Grant::new(Role::Viewer, channels(&["a"]).ok()).unwrap()).unwrap();
        assert_eq!(text, r#"{"role":"viewer","channels":["a"]}"#);
        assert_eq!(Grant::new(Role::Admin, channels(&["a"]).ok()), Err(GrantError::ScopedAdmin));
    }

    #[test]
    fn names_of_operators() {
        for good in ["anna", "anna@example.com", "ci-1", "0", "a.b+c_d"] {
            assert!(OperatorName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Anna", "a b", "../a", "-a", "@a", "a/b", "mst_aaaaaaaa", &"x".repeat(65)] {
            assert!(OperatorName::new(bad).is_err(), "{bad}");
        }
    }
}

//! What can go wrong with operators, with the mend in each message.

use std::sync::Arc;
use std::time::Duration;

use millstream_access::operator::{AccountError, PasswordError};

/// Operators could not be read or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OperatorsError {
    /// The change breaks a rule.
    #[error("{0}")]
    Account(#[from] AccountError),
    /// The password cannot be taken.
    #[error("{0}")]
    Password(#[from] PasswordError),
    /// The file is there and makes no sense. Starting without it would open what it closes.
    #[error("{path} cannot be used: {reason}; repair it, or move it away: then tokens and users are made anew")]
    Corrupt {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be {what}; check the data folder, its permissions and its free space")]
    File {
        /// Which file.
        path: String,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// This node keeps no operators.
    #[error("this node keeps no operators; they are made on the origin")]
    NoFile,
    /// No random numbers.
    #[error("the operating system gave no random numbers; try again")]
    Random,
    /// A task was cancelled: the server stops.
    #[error("the server is stopping; try again")]
    Away,
}

/// Nobody is logged in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogInError {
    /// Not this user, or not this password. Which it is, is not said.
    #[error("the user or the password is wrong")]
    Password,
    /// The token opens nothing.
    #[error("the token is not valid; it was revoked, it has expired, or it is of another server")]
    Token,
    /// Too many wrong ones came from this address.
    #[error("there were too many wrong log-ins from your address; try again in {} seconds", .0.as_secs() + 1)]
    Slowed(Duration),
    /// Too many wrong ones were for this user. Whether there is such a user is not said.
    #[error(
        "there were too many wrong log-ins for this user; try again in {} seconds, or where you logged in before",
        .0.as_secs() + 1
    )]
    UserSlowed(Duration),
    /// Too many log in at once.
    #[error("too many log in at once; try again in a few seconds")]
    Busy,
    /// Only users have passwords, and this is none.
    #[error(
        "only users have a password here; a token is revoked and made anew, an organisation's log-in is changed there"
    )]
    NoUser,
    /// The server cannot.
    #[error("{0}")]
    Operators(#[from] OperatorsError),
}

//! `millstream user …`: the users who log in to the console.

use std::io::{BufRead, IsTerminal as _, Write};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Map, Value, json};

use super::channel::Target;
use super::client::Client;
use super::table::{columns, print, text_of, unless_cut};
use super::token::{Grant, channels, plain};

/// `millstream user`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  millstream user add anna --role admin
  millstream user list
  millstream user password anna
  millstream user remove anna

Passwords are asked for on the terminal, or read from the first line of standard input; never from arguments."
)]
pub struct UserArgs {
    /// What to do.
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user
    #[command(after_help = "Examples:
  millstream user add anna --role admin
  millstream user add studio@example.com --role operator --channel news < password.txt")]
    Add {
        /// What the user is to be called
        name: String,
        #[command(flatten)]
        grant: Grant,
    },
    /// List the users
    #[command(after_help = "Examples:
  millstream user list")]
    List,
    /// Give a user another password, which ends the user's log-ins
    #[command(after_help = "Examples:
  millstream user password anna")]
    Password {
        /// The user
        name: String,
    },
    /// Give a user another role, or other channels, at once
    #[command(after_help = "Examples:
  millstream user role anna --role operator --channel news
  millstream user role anna --role operator    for all channels")]
    Role {
        /// The user
        name: String,
        #[command(flatten)]
        grant: Grant,
    },
    /// Remove a user and end the user's log-ins
    #[command(after_help = "Examples:
  millstream user remove anna")]
    Remove {
        /// The user
        name: String,
    },
}

/// Runs `millstream user …` and prints to standard output.
///
/// # Errors
/// If the server cannot be reached or refuses, with the cause and the mend.
pub fn run_user(args: &UserArgs) -> Result<()> {
    let client = args.target.client()?;
    unless_cut(run(&client, &args.action, args.target.json, &mut std::io::stdout().lock()))
}

fn run(client: &Client, action: &Action, json: bool, out: &mut dyn Write) -> Result<()> {
    let (answer, text) = match action {
        Action::Add { name, grant } => {
            let mut body =
                Map::from_iter([("name".to_owned(), json!(name)), ("password".to_owned(), json!(password()?))]);
            grant.write(&mut body);
            let answer = client.call("POST", "/users", Some(&Value::Object(body)))?;
            (answer, format!("user {name} added; log in at {}/\n", client.base()))
        }
        Action::List => {
            let answer = client.call("GET", "/users", None)?;
            let text = list(&answer);
            (answer, text)
        }
        Action::Password { name } => {
            let path = path(name)?;
            let answer = client.call("PATCH", &path, Some(&json!({ "password": password()? })))?;
            (answer, format!("user {name} has another password; log-ins with the old one have ended\n"))
        }
        Action::Role { name, grant } => {
            let mut body = Map::from_iter([("channels".to_owned(), Value::Null)]);
            grant.write(&mut body);
            let answer = client.call("PATCH", &path(name)?, Some(&Value::Object(body)))?;
            (answer, format!("user {name} is {} now\n", grant.role))
        }
        Action::Remove { name } => {
            let answer = client.call("DELETE", &path(name)?, None)?;
            (answer, format!("user {name} removed\n"))
        }
    };
    print(&answer, &text, json, out)
}

fn path(name: &str) -> Result<String> {
    Ok(format!("/users/{}", plain(name)?))
}

/// The new password: twice from the terminal, where it is not shown, or the first line of standard input.
fn password() -> Result<String> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return line(&mut input.lock());
    }
    let first = unseen("Password: ")?;
    if first != unseen("Again: ")? {
        bail!("the two are not the same; try again");
    }
    Ok(first)
}

fn line(input: &mut dyn BufRead) -> Result<String> {
    let mut text = String::new();
    std::io::Read::take(input, 4096).read_line(&mut text).context("no password could be read")?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        bail!("the password is empty; give it on the terminal, or as the first line of standard input");
    }
    Ok(text.to_owned())
}

/// Asks on the terminal without showing what is typed.
fn unseen(ask: &str) -> Result<String> {
    let input = std::io::stdin();
    let before =
        tcgetattr(input.as_fd()).context("the terminal cannot be asked; give the password on standard input")?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    eprint!("{ask}");
    tcsetattr(input.as_fd(), OptionalActions::Flush, &silent).context("the terminal cannot be silenced")?;
    let text = line(&mut input.lock());
    tcsetattr(input.as_fd(), OptionalActions::Flush, &before).context("the terminal stays silent; run `stty echo`")?;
    text
}

fn list(answer: &Value) -> String {
    let users = answer["users"].as_array().map(Vec::as_slice).unwrap_or_default();
    if users.is_empty() {
        return "no users; add one with `millstream user add NAME --role ROLE`\n".to_owned();
    }
    let mut rows = vec![["NAME", "ROLE", "CHANNELS", "CREATED"].map(str::to_owned).to_vec()];
    for user in users {
        rows.push(vec![text_of(&user["name"]), text_of(&user["role"]), channels(user), text_of(&user["created"])]);
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        assert_eq!(line(&mut "correct horse \r\nrest".as_bytes()).unwrap(), "correct horse ");
        assert!(line(&mut "".as_bytes()).is_err() && line(&mut "\n".as_bytes()).is_err());
        assert!(line(&mut "x".repeat(10_000).as_bytes()).unwrap().len() <= 4096);
    }
}

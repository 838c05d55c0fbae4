//! `millstream token …`: the tokens that programs present to the API.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use millstream_media::time::{Clock as _, UtcTime};
use serde_json::{Map, Value, json};

use super::channel::Target;
use super::client::Client;
use super::table::{columns, print, text_of, unless_cut};
use crate::clock::SystemClock;

/// `millstream token`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  millstream token create ci --role operator --channel news --expires 90d
  millstream token list
  millstream token revoke ci

A token is presented as `Authorization: Bearer mst_…`, by this command line from MILLSTREAM_TOKEN or --token-file."
)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token and print it, this once
    #[command(after_help = "Examples:
  millstream token create grafana --role viewer
  millstream token create ci --role operator --channel news --channel 'acme-*' --expires 90d
  millstream token create root --role admin --out millstream-data/token

The file token in the data folder is presented by this command line without being named.")]
    Create {
        /// What it is to be called
        name: String,
        #[command(flatten)]
        grant: Grant,
        /// When it ends: a time such as 2026-12-01T00:00:00Z, or 90d, 12h, 30m from now [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Write the token to this file, readable by its owner only, instead of printing it; none is overwritten
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the tokens, without their secrets
    #[command(after_help = "Examples:
  millstream token list")]
    List,
    /// Take a token back: it opens nothing from now on
    #[command(after_help = "Examples:
  millstream token revoke ci")]
    Revoke {
        /// The token's name
        name: String,
    },
}

/// What somebody may do.
#[derive(Clone, Debug, Args)]
pub struct Grant {
    /// viewer (sees), operator (works on channels and recordings) or admin (also makes tokens and users)
    #[arg(long)]
    pub role: String,
    /// Channel it is for, or the beginning of names and a star; may be repeated [default: all]
    #[arg(long = "channel", value_name = "NAME")]
    pub channels: Vec<String>,
}

impl Grant {
    /// As fields of a body.
    pub fn write(&self, body: &mut Map<String, Value>) {
        body.insert("role".to_owned(), json!(self.role));
        if !self.channels.is_empty() {
            body.insert("channels".to_owned(), json!(self.channels));
        }
    }
}

/// Runs `millstream token …` and prints to standard output.
///
/// # Errors
/// If the server cannot be reached or refuses, with the cause and the mend.
pub fn run_token(args: &TokenArgs) -> Result<()> {
    let client = args.target.client()?;
    let now = SystemClock::new().utc();
    unless_cut(run(&client, &args.action, now, args.target.json, &mut std::io::stdout().lock()))
}

fn run(client: &Client, action: &Action, now: UtcTime, json: bool, out: &mut dyn Write) -> Result<()> {
    let (answer, text) = match action {
        Action::Create { name, grant, expires, out: file } => {
            let mut body = Map::from_iter([("name".to_owned(), json!(name))]);
            grant.write(&mut body);
            if let Some(expires) = expires {
                body.insert("expires".to_owned(), json!(end(expires, now)?));
            }
            // A file that cannot be written is an error before there is a token that nobody knows.
            let file = file.as_deref().map(|file| Ok::<_, anyhow::Error>((create(file)?, file))).transpose()?;
            let made = client.call("POST", "/tokens", Some(&Value::Object(body)));
            match (made, file) {
                (Err(error), file) => {
                    if let Some((_, path)) = file {
                        let _ = std::fs::remove_file(path);
                    }
                    return Err(error);
                }
                (Ok(mut answer), Some((mut file, path))) => {
                    writeln!(file, "{}", text_of(&answer["token"]))
                        .with_context(|| format!("{} cannot be written; revoke the token {name}", path.display()))?;
                    if let Some(fields) = answer.as_object_mut() {
                        fields.remove("token");
                    }
                    (answer, format!("token {name} made; it is in {}\n", path.display()))
                }
                (Ok(answer), None) => {
                    let text = format!("token {name} made\n  {}   (shown this once)\n", text_of(&answer["token"]));
                    (answer, text)
                }
            }
        }
        Action::List => {
            let answer = client.call("GET", "/tokens", None)?;
            let text = list(&answer);
            (answer, text)
        }
        Action::Revoke { name } => {
            let answer = client.call("DELETE", &format!("/tokens/{}", plain(name)?), None)?;
            (answer, format!("token {name} opens nothing any more\n"))
        }
    };
    print(&answer, &text, json, out)
}

fn create(file: &Path) -> Result<std::fs::File> {
    let made = std::fs::File::options().write(true).create_new(true).mode(0o600).open(file);
    made.with_context(|| format!("{} cannot be made; name another file with --out", file.display()))
}

/// A time as the API reads it.
pub(super) fn end(text: &str, now: UtcTime) -> Result<String> {
    if let Some(time) = UtcTime::from_iso8601(text) {
        return Ok(time.to_iso8601());
    }
    let seconds = super::sign::time(text, u64::try_from(now.as_millis() / 1000).unwrap_or(0));
    let seconds = seconds.context("--expires cannot be read")?;
    Ok(UtcTime::from_millis(i64::try_from(seconds).unwrap_or(i64::MAX / 1_000_000_000).saturating_mul(1000))
        .to_iso8601())
}

/// A name that would change the path is refused here; the rest is the server's to judge.
pub(super) fn plain(name: &str) -> Result<&str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+' | b'@');
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(allowed) {
        bail!("that is no name; use a-z, 0-9, -, _, ., + and @");
    }
    Ok(name)
}

/// Channels of a token or user in a cell.
pub(super) fn channels(value: &Value) -> String {
    match value["channels"].as_array() {
        Some(list) => list.iter().map(text_of).collect::<Vec<_>>().join(","),
        None => "all".to_owned(),
    }
}

fn list(answer: &Value) -> String {
    let tokens = answer["tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tokens.is_empty() {
        return "no tokens; make one with `millstream token create NAME --role ROLE`\n".to_owned();
    }
    let head = ["NAME", "ROLE", "CHANNELS", "CREATED", "EXPIRES", "LAST USED"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for token in tokens {
        let cell = |key: &str| text_of(&token[key]);
        let expires = if token["expired"] == true { format!("{} (ended)", cell("expires")) } else { cell("expires") };
        rows.push(vec![cell("name"), cell("role"), channels(token), cell("created"), expires, cell("last_used")]);
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_tokens() {
        let now = UtcTime::from_millis(1_721_482_857_600);
        assert_eq!(end("2026-12-01T01:00:00+01:00", now).unwrap(), "2026-12-01T00:00:00.000Z");
        assert_eq!(end("1d", now).unwrap(), "2024-07-21T13:40:57.000Z");
        assert!(format!("{:#}", end("tomorrow", now).unwrap_err()).contains("7d"));
        assert!(plain("../x").is_err() && plain("a/b").is_err() && plain("anna@example.com").is_ok());
    }
}

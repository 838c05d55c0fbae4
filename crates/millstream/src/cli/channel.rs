//! `millstream channel …`: the API's channels on the command line.

mod key;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use self::key::KeyAction;
use super::client::{Client, read_token};
use super::table::{columns, fields, print, text_of, unless_cut};
use crate::config;

/// `millstream channel`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  millstream channel create news --title News
  millstream channel list --json
  millstream channel update news --set dvr_seconds=7200 --set part_seconds=0.25"
)]
pub struct ChannelArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
    #[command(flatten)]
    pub target: Target,
}

/// Which server, and how its answer is printed.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The server [default: the one whose listening.json lies in the data folder, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", global = true, env = "MILLSTREAM_URL", hide_env_values = true)]
    pub server: Option<String>,
    /// The server's configuration file, which names the data folder
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The server's data folder
    #[arg(long, value_name = "FOLDER", global = true)]
    pub data_dir: Option<PathBuf>,
    /// File with the token to present, readable by its owner only; else MILLSTREAM_TOKEN, else the file token in the data
    /// folder
    #[arg(long, value_name = "FILE", global = true, env = "MILLSTREAM_TOKEN_FILE", hide_env_values = true)]
    pub token_file: Option<PathBuf>,
    /// Print the server's JSON
    #[arg(long, global = true)]
    pub json: bool,
}

impl Target {
    /// A client of the server.
    ///
    /// # Errors
    /// If it is named by something that is no server, or the configuration cannot be read.
    pub fn client(&self) -> Result<Client> {
        let client = Client::find(self.server.as_deref(), self.config.as_deref(), self.data_dir.as_deref())?;
        // An empty variable is one that is not set.
        match self.token_file.as_deref().filter(|file| !file.as_os_str().is_empty()) {
            Some(file) => Ok(client.with_token(Some(read_token(file)?))),
            None => Ok(match config::token_variable() {
                Some(token) => client.with_token(Some(token)),
                None => client,
            }),
        }
    }
}

/// The actions on channels.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Create a channel and print its stream key, this once
    #[command(after_help = "Examples:
  millstream channel create news --title News
  millstream channel create raw --mode passthrough --set record=false
  millstream channel create own --set ladder=@ladder.json")]
    Create {
        /// Name in URLs: a-z, 0-9, - and _
        name: String,
        /// A stream key of your own, at least 8 characters [default: made at random]
        #[arg(long, value_name = "KEY")]
        stream_key: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List the channels
    #[command(after_help = "Examples:
  millstream channel list
  millstream channel list --json")]
    List,
    /// Show a channel's status and settings
    #[command(after_help = "Examples:
  millstream channel show news
  millstream channel show news --json")]
    Show {
        /// The channel
        name: String,
    },
    /// Change a channel's settings
    #[command(after_help = "Examples:
  millstream channel update news --title \"Late news\"
  millstream channel update news --set dvr_seconds=7200
  millstream channel update news --set dvr_seconds=null    back to the default")]
    Update {
        /// The channel
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete a channel and cut off its publisher
    #[command(after_help = "Examples:
  millstream channel delete news")]
    Delete {
        /// The channel
        name: String,
    },
    /// Let a channel go on air
    #[command(after_help = "Examples:
  millstream channel start news")]
    Start {
        /// The channel
        name: String,
    },
    /// Take a channel off air and refuse publishers
    #[command(after_help = "Examples:
  millstream channel stop news")]
    Stop {
        /// The channel
        name: String,
    },
    /// Give a channel's key named default another secret and print it, this once
    #[command(after_help = "Examples:
  millstream channel rotate-key news")]
    RotateKey {
        /// The channel
        name: String,
        /// A stream key of your own [default: made at random]
        #[arg(long, value_name = "KEY")]
        stream_key: Option<String>,
    },
    /// Stream keys of a channel: list, add, revoke, rotate
    #[command(
        subcommand,
        after_help = "Examples:
  millstream channel key list news
  millstream channel key add news studio-2 --expires 2026-12-01T00:00:00Z
  millstream channel key revoke news studio-2"
    )]
    Key(KeyAction),
}

/// Settings of a channel on the command line.
#[derive(Clone, Debug, Default, Args)]
pub struct Settings {
    /// What viewers read
    #[arg(long)]
    pub title: Option<String>,
    /// abr (a ladder of renditions) or passthrough (as it comes)
    #[arg(long)]
    pub mode: Option<String>,
    /// Any setting of docs/reference/config.md; VALUE is JSON or text, @FILE reads JSON from a file
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Settings {
    fn to_json(&self) -> Result<Map<String, Value>> {
        let mut object = Map::new();
        for pair in &self.set {
            let (key, text) = pair.split_once('=').ok_or_else(|| {
                anyhow!("--set {pair} has no value; write --set KEY=VALUE, such as --set dvr_seconds=7200")
            })?;
            let value = match text.strip_prefix('@') {
                Some(path) => {
                    let text = std::fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))?;
                    serde_json::from_str(&text).with_context(|| format!("{path} is not JSON; correct it"))?
                }
                None => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
            };
            object.insert(key.trim().to_owned(), value);
        }
        for (key, value) in [("title", &self.title), ("mode", &self.mode)] {
            if let Some(value) = value {
                object.insert(key.to_owned(), Value::String(value.clone()));
            }
        }
        Ok(object)
    }
}

/// Runs `millstream channel …` and prints to standard output.
///
/// # Errors
/// If the server cannot be reached or refuses, with the cause and the mend.
pub fn run_channel(args: &ChannelArgs) -> Result<()> {
    let target = &args.target;
    let client = target.client()?;
    unless_cut(run(&client, &args.action, target.json, &mut std::io::stdout().lock()))
}

fn run(client: &Client, action: &Action, json: bool, out: &mut dyn Write) -> Result<()> {
    let (answer, text) = match action {
        Action::Create { name, stream_key, settings } => {
            let mut body = settings.to_json()?;
            body.insert("name".into(), Value::String(name.clone()));
            if let Some(key) = stream_key {
                body.insert("stream_key".into(), Value::String(key.clone()));
            }
            let answer = client.call("POST", "/channels", Some(&Value::Object(body)))?;
            let text = with_key(client, name, &answer, &format!("channel {name} created"))?;
            (answer, text)
        }
        Action::List => {
            let answer = client.call("GET", "/channels", None)?;
            let text = list(&answer);
            (answer, text)
        }
        Action::Show { name } => {
            let answer = client.call("GET", &path(name)?, None)?;
            let text = fields(&answer);
            (answer, text)
        }
        Action::Update { name, settings } => {
            let body = settings.to_json()?;
            if body.is_empty() {
                bail!("nothing to change; name a setting, such as --title News or --set dvr_seconds=7200");
            }
            let answer = client.call("PATCH", &path(name)?, Some(&Value::Object(body)))?;
            (answer, format!("channel {name} changed\n"))
        }
        Action::Delete { name } => {
            let answer = client.call("DELETE", &path(name)?, None)?;
            (answer, format!("channel {name} deleted\n"))
        }
        Action::Start { name } => {
            let answer = client.call("POST", &format!("{}/start", path(name)?), None)?;
            (answer, format!("channel {name} started\n"))
        }
        Action::Stop { name } => {
            let answer = client.call("POST", &format!("{}/stop", path(name)?), None)?;
            (answer, format!("channel {name} stopped\n"))
        }
        Action::RotateKey { name, stream_key } => {
            let body = stream_key.as_ref().map(|key| serde_json::json!({ "stream_key": key }));
            let answer = client.call("POST", &format!("{}/rotate-key", path(name)?), body.as_ref())?;
            let text = with_key(
                client,
                name,
                &answer,
                &format!("channel {name} has a new stream key; the old one opens nothing"),
            )?;
            (answer, text)
        }
        Action::Key(action) => key::run(client, action)?,
    };
    print(&answer, &text, json, out)
}

/// A name that would change the path is refused here; the rest is the server's to judge.
fn path(name: &str) -> Result<String> {
    if name.is_empty() || name.bytes().any(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))) {
        bail!("channel name {name:?} is not allowed; use a-z, 0-9, - and _");
    }
    Ok(format!("/channels/{name}"))
}

/// What a broadcaster types into the encoder.
fn with_key(client: &Client, channel: &str, answer: &Value, head: &str) -> Result<String> {
    let server = client.call("GET", "/server", None)?;
    let rtmp = text_of(&server["listening"]["rtmp"]);
    let mut rows = vec![];
    if !rtmp.is_empty() {
        rows.push(vec!["  server".to_owned(), format!("rtmp://{rtmp}/live")]);
    }
    rows.push(vec!["  stream key".to_owned(), format!("{}   (shown this once)", text_of(&answer["stream_key"]))]);
    if let Some(passphrase) = answer["srt_passphrase"].as_str() {
        rows.push(vec!["  srt passphrase".to_owned(), format!("{passphrase}   (shown this once)")]);
    }
    rows.push(vec!["  watch".to_owned(), format!("{}/watch/{channel}", client.base())]);
    Ok(format!("{head}\n{}", columns(&rows)))
}

fn list(answer: &Value) -> String {
    let channels = answer["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
    if channels.is_empty() {
        return "no channels; create one with `millstream channel create NAME`\n".to_owned();
    }
    let head = ["NAME", "STATE", "MODE", "ENABLED", "VIEWERS", "SINCE", "TITLE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for c in channels {
        let cells = ["name", "state", "mode", "enabled", "viewers", "since", "title"];
        rows.push(cells.map(|key| text_of(&c[key])).to_vec());
    }
    columns(&rows)
}

#[cfg(test)]
mod tests;

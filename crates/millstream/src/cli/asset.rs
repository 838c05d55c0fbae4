//! `millstream asset …`: recordings and clips on the command line.
//!
//! - [`download`]: an asset as one file.
//! - [`import`]: files that become assets.
//! - [`moment`]: a time as it is written on the command line.
//! - [`report`]: assets as text for people.

mod download;
mod import;
mod moment;
mod report;

use std::io::Write;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use millstream_media::time::{Clock as _, UtcTime};
use serde_json::{Map, Value, json};

use super::channel::Target;
use super::client::Client;
use super::table::{fields, print, unless_cut};
use crate::clock::SystemClock;
use moment::Moment;

/// Most assets that are asked for at once.
const PAGE: usize = 500;

/// `millstream asset`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  millstream asset list --channel news
  millstream asset import talk.mov --title \"The talk\"
  millstream asset clip news --start -90s --end now --title \"The goal\"
  millstream asset delete news-20261122-222500"
)]
pub struct AssetArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
    #[command(flatten)]
    pub target: Target,
}

/// The actions on assets.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List recordings, imports and clips, the newest first
    #[command(after_help = "Examples:
  millstream asset list
  millstream asset list --channel news --kind clip
  millstream asset list --limit 1000 --json")]
    List {
        /// Only those of this channel
        #[arg(long)]
        channel: Option<String>,
        /// Only recording, import or clip
        #[arg(long)]
        kind: Option<String>,
        /// Only recording, ended or deleting
        #[arg(long)]
        state: Option<String>,
        /// Most assets listed
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Show an asset: what is in it, where it plays, which clips need it
    #[command(after_help = "Examples:
  millstream asset show news-20261122-222500
  millstream asset show news-20261122-222500 --json")]
    Show {
        /// The asset
        id: String,
    },
    /// Import a media file: send it to the server, which encodes it into an asset
    Import(import::ImportArgs),
    /// Make a clip of a channel's recording, also of one in progress, without a copy
    #[command(after_help = "Examples:
  millstream asset clip news --start -90s --end now --title \"The goal\"
  millstream asset clip news --start 2026-11-22T20:15:00Z --end 2026-11-22T20:16:30Z --precise
  millstream asset clip --asset news-20261122-222500 --start 2026-11-22T23:15:00+01:00 --end 2026-11-22T23:16:00+01:00 --id goal

It is cut at segments: from the one that holds the start to the one that holds the end; with --precise at frames. Times
before now: -90s, -5m, -2h, -1d, or now.")]
    Clip {
        /// The channel
        #[arg(required_unless_present = "asset", conflicts_with = "asset")]
        channel: Option<String>,
        /// The asset, instead of a channel
        #[arg(long, value_name = "ID")]
        asset: Option<String>,
        /// Where it starts: a time such as 2026-11-22T20:15:00Z, or -90s
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        start: Moment,
        /// Where it ends: a time, -60s, or now
        #[arg(long, value_name = "TIME", allow_hyphen_values = true, default_value = "now")]
        end: Moment,
        /// Cut at the nearest frames rather than at segments; the ends are encoded again, which takes seconds
        #[arg(long)]
        precise: bool,
        /// What viewers read
        #[arg(long)]
        title: Option<String>,
        /// Its name in URLs: a-z, 0-9, - and _ [default: made up]
        #[arg(long)]
        id: Option<String>,
    },
    /// Write an asset to one MP4 file; the same command goes on with what was interrupted
    Download(download::DownloadArgs),
    /// Give an asset another title
    #[command(after_help = "Examples:
  millstream asset rename news-20261122-222500 \"Late news\"")]
    Rename {
        /// The asset
        id: String,
        /// What viewers read
        title: String,
    },
    /// Delete an asset; what clips show of it stays as long as they do
    #[command(after_help = "Examples:
  millstream asset delete news-20261122-222500")]
    Delete {
        /// The asset
        id: String,
    },
    /// Show what the assets fill, in all and by channel
    #[command(after_help = "Examples:
  millstream asset storage
  millstream asset storage --json")]
    Storage,
}

/// Runs `millstream asset …` and prints to standard output.
///
/// # Errors
/// If the server cannot be reached or refuses, with the cause and the mend.
pub fn run_asset(args: &AssetArgs) -> Result<()> {
    let client = args.target.client()?;
    let now = SystemClock::new().utc();
    unless_cut(run(&client, &args.action, now, args.target.json, &mut std::io::stdout().lock()))
}

fn run(client: &Client, action: &Action, now: UtcTime, json: bool, out: &mut dyn Write) -> Result<()> {
    let (answer, text) = match action {
        Action::Import(args) => return import::run(client, args, json, out),
        Action::Download(args) => return download::run(client, args, json, out),
        Action::List { channel, kind, state, limit } => {
            let filters = [("channel", channel), ("kind", kind), ("state", state)];
            let answer = list(client, &filters, *limit)?;
            let text = report::list(&answer);
            (answer, text)
        }
        Action::Show { id } => {
            let answer = client.call("GET", &path(id)?, None)?;
            let text = fields(&answer);
            (answer, text)
        }
        Action::Clip { channel, asset, start, end, precise, title, id } => {
            let (start, end) = (start.at(now), end.at(now));
            let mut body = Map::new();
            for (key, value) in [("channel", channel), ("asset", asset), ("title", title), ("id", id)] {
                if let Some(value) = value {
                    body.insert(key.to_owned(), Value::String(value.clone()));
                }
            }
            body.insert("start".to_owned(), start.to_iso8601().into());
            body.insert("end".to_owned(), end.to_iso8601().into());
            if *precise {
                body.insert("precise".to_owned(), true.into());
            }
            let answer = client.call_long("POST", "/clips", Some(&Value::Object(body)))?;
            let text = report::clip(&answer, client.base(), start, end);
            (answer, text)
        }
        Action::Rename { id, title } => {
            let answer = client.call("PATCH", &path(id)?, Some(&json!({ "title": title })))?;
            (answer, format!("asset {id} renamed\n"))
        }
        Action::Delete { id } => {
            let answer = client.call("DELETE", &path(id)?, None)?;
            let text = report::deleted(&answer);
            (answer, text)
        }
        Action::Storage => {
            let answer = client.call("GET", "/storage", None)?;
            let text = report::storage(&answer);
            (answer, text)
        }
    };
    print(&answer, &text, json, out)
}

/// Pages until `limit` assets are there or there are no more.
fn list(client: &Client, filters: &[(&str, &Option<String>)], limit: usize) -> Result<Value> {
    if limit == 0 {
        bail!("--limit 0 lists nothing; give 1 or more");
    }
    let mut query = String::new();
    for (name, value) in filters {
        if let Some(value) = value {
            check_plain(name, value)?;
            query.push_str(&format!("&{name}={value}"));
        }
    }
    let mut assets: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    let next = loop {
        let page = PAGE.min(limit - assets.len());
        let mut answer = client.call("GET", &format!("/assets?limit={page}{query}{cursor}"), None)?;
        if let Some(Value::Array(page)) = answer.get_mut("assets").map(Value::take) {
            assets.extend(page);
        }
        match answer.get("next").and_then(Value::as_str) {
            Some(next) if assets.len() < limit => cursor = format!("&cursor={next}"),
            next => break next.map(str::to_owned),
        }
    };
    Ok(json!({ "assets": assets, "next": next }))
}

/// A name that would change the path is refused here; the rest is the server's to judge.
fn path(id: &str) -> Result<String> {
    check_plain("asset name", id)?;
    Ok(format!("/assets/{id}"))
}

fn check_plain(what: &str, text: &str) -> Result<()> {
    if text.is_empty() || text.bytes().any(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))) {
        bail!("{what} {text:?} is not allowed; use a-z, 0-9, - and _");
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! `millstream channel key …`: the stream keys of a channel.

use anyhow::{Result, bail};
use clap::Subcommand;
use millstream_media::time::Clock as _;
use serde_json::{Map, Value, json};

use super::{path, with_key};
use crate::cli::client::Client;
use crate::cli::table::{columns, text_of};
use crate::cli::token::end;
use crate::clock::SystemClock;

/// The actions on a channel's keys.
#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// List a channel's keys, without the secrets
    #[command(after_help = "Examples:
  millstream channel key list news")]
    List {
        /// The channel
        channel: String,
    },
    /// Give a channel one more key and print it, this once
    #[command(after_help = "Examples:
  millstream channel key add news studio-2
  millstream channel key add news event --expires 12h --address 192.0.2.0/24
  millstream channel key add news remote --srt 32")]
    Add {
        /// The channel
        channel: String,
        /// What the key is to be called
        key: String,
        /// From when on it lets nobody in: a time such as 2026-12-01T00:00:00Z, or 90d, 12h, 30m from now [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Network it may be used from; may be repeated [default: anywhere]
        #[arg(long = "address", value_name = "ADDRESS/LENGTH")]
        addresses: Vec<String>,
        /// A stream key of your own, at least 8 characters [default: made at random]
        #[arg(long, value_name = "KEY")]
        stream_key: Option<String>,
        /// Make a passphrase for SRT, too; with the length of its AES keys in bytes: 16, 24 or 32
        #[arg(long, value_name = "BYTES", num_args = 0..=1, default_missing_value = "16")]
        srt: Option<u64>,
    },
    /// Take a key back, and end the stream that it let in
    #[command(after_help = "Examples:
  millstream channel key revoke news studio-2
  millstream channel key revoke news studio-2 --keep-stream")]
    Revoke {
        /// The channel
        channel: String,
        /// The key's name
        key: String,
        /// Let a stream that it let in go on
        #[arg(long)]
        keep_stream: bool,
    },
    /// Give a key another secret and print it, this once; the stream that the old one let in goes on
    #[command(after_help = "Examples:
  millstream channel key rotate news studio-2
  millstream channel key rotate news studio-2 --end-stream")]
    Rotate {
        /// The channel
        channel: String,
        /// The key's name
        key: String,
        /// End a stream that the old secret let in
        #[arg(long)]
        end_stream: bool,
        /// A stream key of your own, at least 8 characters [default: made at random]
        #[arg(long, value_name = "KEY")]
        stream_key: Option<String>,
        /// Make a passphrase for SRT, too, if there is none; with the length of its AES keys in bytes: 16, 24 or 32
        #[arg(long, value_name = "BYTES", num_args = 0..=1, default_missing_value = "16")]
        srt: Option<u64>,
    },
}

/// Runs one. Gives the server's answer and the text for people.
pub(super) fn run(client: &Client, action: &KeyAction) -> Result<(Value, String)> {
    match action {
        KeyAction::List { channel } => {
            let answer = client.call("GET", &format!("{}/keys", path(channel)?), None)?;
            let text = list(&answer);
            Ok((answer, text))
        }
        KeyAction::Add { channel, key, expires, addresses, stream_key, srt } => {
            let mut body = Map::from_iter([("name".to_owned(), json!(key))]);
            let expires = expires.as_deref().map(|text| end(text, SystemClock::new().utc())).transpose()?;
            let options = [("expires", &expires), ("stream_key", stream_key)];
            body.extend(options.into_iter().filter_map(|(k, value)| Some((k.to_owned(), json!(value.as_ref()?)))));
            if !addresses.is_empty() {
                body.insert("addresses".to_owned(), json!(addresses));
            }
            body.extend(srt.map(|bytes| ("srt_key_bytes".to_owned(), json!(bytes))));
            let answer = client.call("POST", &format!("{}/keys", path(channel)?), Some(&Value::Object(body)))?;
            let text = with_key(client, channel, &answer, &format!("channel {channel} has a key {key}"))?;
            Ok((answer, text))
        }
        KeyAction::Revoke { channel, key, keep_stream } => {
            let streams = if *keep_stream { "keep" } else { "end" };
            let answer = client.call("DELETE", &format!("{}?streams={streams}", key_path(channel, key)?), None)?;
            Ok((answer, format!("key {key} of channel {channel} opens nothing any more\n")))
        }
        KeyAction::Rotate { channel, key, end_stream, stream_key, srt } => {
            let mut body = json!({ "streams": if *end_stream { "end" } else { "keep" } });
            if let Some(secret) = stream_key {
                body["stream_key"] = json!(secret);
            }
            if let Some(bytes) = srt {
                body["srt_key_bytes"] = json!(bytes);
            }
            let answer = client.call("POST", &format!("{}/rotate", key_path(channel, key)?), Some(&body))?;
            let head = format!("key {key} of channel {channel} is another; the old one opens nothing");
            let text = with_key(client, channel, &answer, &head)?;
            Ok((answer, text))
        }
    }
}

/// A name that would change the path is refused here; the rest is the server's to judge.
fn key_path(channel: &str, key: &str) -> Result<String> {
    if key.is_empty() || key.bytes().any(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))) {
        bail!("that is no name of a key; use a-z, 0-9, - and _");
    }
    Ok(format!("{}/keys/{key}", path(channel)?))
}

fn list(answer: &Value) -> String {
    let keys = answer["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let head = ["NAME", "SET BY", "CREATED", "EXPIRES", "ADDRESSES", "SRT", "PUBLISHING"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for key in keys {
        let addresses: Vec<String> =
            key["addresses"].as_array().map(|list| list.iter().map(text_of).collect()).unwrap_or_default();
        let mut row = ["name", "managed_by", "created", "expires"].map(|cell| text_of(&key[cell])).to_vec();
        row.push(addresses.join(","));
        row.push(key["srt_key_bytes"].as_u64().map_or_else(String::new, |bytes| format!("AES-{}", bytes * 8)));
        row.push(text_of(&key["publishing"]));
        rows.push(row);
    }
    columns(&rows)
}

//! `millstream asset import`: sends a file to the server, watches it become an asset, and goes on where an earlier call
//! stopped.

pub(super) mod progress;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_lc_rs::digest;
use clap::Args;
use millstream_media::time::Clock as _;
use serde_json::{Map, Value};

use crate::cli::client::Client;
use crate::cli::table::print;
use crate::clock::SystemClock;
use progress::Meter;

/// Bytes sent at a time.
const PIECE: usize = 8 << 20;
/// Bytes at either end of a file that it is known by.
const EDGE: u64 = 1 << 20;
/// How often the server is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Questions in a row that nobody answers, after which waiting ends: a server that starts again answers before.
const MAX_SILENCE: u32 = 60;

/// `millstream asset import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream asset import talk.mov --title \"The talk\"
  millstream asset import talk.mov --id talk-2026 --json
  millstream asset import talk.mov --detach    does not wait for the encoding

Any file that FFmpeg reads: it is sent to the server, encoded with the ladder of live channels, and plays at
/vod/ID/index.m3u8 and /vod/ID/manifest.mpd. Ctrl-C stops nothing but this command: the same command again goes on with
the upload, or watches the encoding, which the server does by itself. `millstream asset delete ID` ends it.")]
pub struct ImportArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What viewers read [default: the file's name]
    #[arg(long)]
    pub title: Option<String>,
    /// The asset's name in URLs: a-z, 0-9, - and _ [default: from the file's name]
    #[arg(long)]
    pub id: Option<String>,
    /// End when the file is sent
    #[arg(long)]
    pub detach: bool,
}

/// Imports a file and prints the asset.
///
/// # Errors
/// With the cause and the mend.
pub fn run(client: &Client, args: &ImportArgs, json: bool, out: &mut dyn Write) -> Result<()> {
    let shown = args.file.display().to_string();
    let (file, size) = open(&args.file).with_context(|| format!("{shown} cannot be imported"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut body = Map::new();
    body.insert("size".to_owned(), size.into());
    body.insert("file".to_owned(), file_name(&args.file).into());
    body.insert("fingerprint".to_owned(), fingerprint(&file, size)?.into());
    for (key, value) in [("title", &args.title), ("id", &args.id)] {
        if let Some(value) = value {
            body.insert(key.to_owned(), value.clone().into());
        }
    }
    let import = client.call("POST", "/imports", Some(&Value::Object(body)))?;
    let id = import.get("id").and_then(Value::as_str).ok_or_else(|| anyhow!("the server answered without an id"))?;
    let id = id.to_owned();
    let is_sent = Arc::new(AtomicBool::new(false));
    on_interrupt(&is_sent);
    let mut meter = Meter::new(SystemClock::new().mono());
    let import = send(client, &id, &file, size, import, &mut meter)?;
    is_sent.store(true, Ordering::Relaxed);
    let import = if args.detach { import } else { watch(client, &runtime, &id, import, &mut meter)? };
    meter.end();
    let text = |name: &str| import.get(name).and_then(Value::as_str);
    if let Some(error) = text("error") {
        bail!("{shown} cannot be imported: {error}");
    }
    print(&import, &report(&import, client.base()), json, out)
}

fn open(path: &Path) -> Result<(File, u64)> {
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow!("there is no such file; check its name"),
        _ => anyhow!("{error}; check its permissions"),
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        bail!("it is no file; name one with media in it");
    }
    if metadata.len() == 0 {
        bail!("the file is empty; choose one with media in it");
    }
    Ok((file, metadata.len()))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What the file is known by when it comes again: a hash of its length and its ends.
fn fingerprint(file: &File, size: u64) -> Result<String> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&size.to_be_bytes());
    for at in [0, size.saturating_sub(EDGE)] {
        let mut edge = vec![0; usize::try_from(EDGE.min(size - at))?];
        file.read_exact_at(&mut edge, at).context("the file cannot be read")?;
        hash.update(&edge);
    }
    Ok(hash.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect())
}

/// Sends what the server does not have. Returns the import as it is then.
fn send(client: &Client, id: &str, file: &File, size: u64, mut import: Value, meter: &mut Meter) -> Result<Value> {
    let number = |import: &Value, name: &str| import.get(name).and_then(Value::as_u64).unwrap_or(0);
    if import.get("state").and_then(Value::as_str) != Some("uploading") {
        return Ok(import);
    }
    let clock = SystemClock::new();
    let began_at = number(&import, "received");
    let (mut at, began) = (began_at, clock.mono());
    let mut piece = vec![0; PIECE];
    while at < size {
        let take = usize::try_from((size - at).min(PIECE as u64)).unwrap_or(PIECE);
        let piece = piece.get_mut(..take).unwrap_or_default();
        file.read_exact_at(piece, at).context("the file cannot be read; it was changed meanwhile")?;
        at = client.append(&format!("/imports/{id}/file"), at, piece)?;
        let seconds = clock.mono().since(began).as_secs_f64().max(0.001);
        let rate = (at - began_at) as f64 / seconds;
        let left = if rate > 0.0 { Some((size - at) as f64 / rate) } else { None };
        meter.show("sending", at as f64 / size as f64, &format!("{:.0} MB/s", rate / 1e6), left, clock.mono());
    }
    import = client.call("GET", &format!("/imports/{id}"), None)?;
    Ok(import)
}

/// Watches until the import is over.
fn watch(
    client: &Client,
    runtime: &tokio::runtime::Runtime,
    id: &str,
    mut import: Value,
    meter: &mut Meter,
) -> Result<Value> {
    let clock = SystemClock::new();
    let mut silence = 0;
    loop {
        let state = import.get("state").and_then(Value::as_str).unwrap_or_default().to_owned();
        if matches!(state.as_str(), "done" | "failed" | "cancelled") {
            return Ok(import);
        }
        let number = |name: &str| import.get(name).and_then(Value::as_f64);
        let (what, speed) = match state.as_str() {
            "waiting" => ("waiting for other imports", String::new()),
            _ => ("encoding", format!("{:.1}x", number("speed").unwrap_or(0.0))),
        };
        meter.show(what, number("share").unwrap_or(0.0), &speed, number("seconds_left"), clock.mono());
        runtime.block_on(async { tokio::time::sleep(ASK_EVERY).await });
        match client.call("GET", &format!("/imports/{id}"), None) {
            Ok(answer) => (import, silence) = (answer, 0),
            Err(error) => {
                silence += 1;
                if silence >= MAX_SILENCE {
                    return Err(error.context("the import goes on when the server is there again"));
                }
            }
        }
    }
}

/// Ctrl-C ends this command and nothing else, and says how to go on.
fn on_interrupt(is_sent: &Arc<AtomicBool>) {
    let is_sent = Arc::clone(is_sent);
    let wait = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            let hint = if is_sent.load(Ordering::Relaxed) {
                "the server goes on with the import; the same command watches it again"
            } else {
                "the same command goes on with the upload"
            };
            eprintln!("\nmillstream: interrupted; {hint}");
            std::process::exit(130);
        }
    };
    // Without it Ctrl-C ends the command without a hint.
    let _ = std::thread::Builder::new().name("interrupt".to_owned()).spawn(wait);
}

fn report(import: &Value, base: &str) -> String {
    let text = |name: &str| import.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut out = format!("asset {} {}\n", text("asset"), text("state"));
    for (name, key) in [("HLS ", "hls"), ("DASH", "dash")] {
        if !text(key).is_empty() {
            out.push_str(&format!("{name}  {base}{}\n", text(key)));
        }
    }
    for note in import.get("notes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        out.push_str(&format!("note  {note}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.mp4");
        std::fs::write(&empty, "").unwrap();
        for (path, cause) in [
            (folder.path().join("none.mp4"), "no such file"),
            (folder.path().to_owned(), "no file"),
            (empty, "is empty"),
        ] {
            let error = open(&path).unwrap_err().to_string();
            assert!(error.contains(cause), "{error}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_length_and_its_ends() {
        let folder = tempfile::tempdir().unwrap();
        let of = |bytes: &[u8]| {
            let path = folder.path().join("f");
            std::fs::write(&path, bytes).unwrap();
            let (file, size) = open(&path).unwrap();
            fingerprint(&file, size).unwrap()
        };
        let mut long = vec![7; 3 << 20];
        let first = of(&long);
        assert_eq!((first.len(), &of(&long)), (64, &first));
        *long.last_mut().unwrap() = 8;
        assert_ne!(of(&long), first);
        assert_ne!(of(b"a"), of(b"b"));
    }
}

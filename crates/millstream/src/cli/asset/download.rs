//! `millstream asset download`: an asset as one MP4 file, gone on with where an earlier call stopped.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use millstream_media::time::{Clock as _, MonoTime};
use serde_json::json;

use super::check_plain;
use super::import::progress::Meter;
use crate::cli::client::Client;
use crate::cli::table::print;
use crate::clock::SystemClock;

/// Bytes asked for at a time: so much is lost when the connection hangs.
const PIECE: u64 = 32 << 20;
/// Bytes written at a time.
const BLOCK: usize = 256 << 10;
/// Pieces in a row of which nothing came, after which it is given up.
const FRUITLESS: u32 = 3;

/// `millstream asset download`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream asset download news-20261122-222500
  millstream asset download goal goal.mp4
  millstream asset download talk --video 360p --audio audio

The same command again goes on where it was interrupted: until it is whole, the file is named FILE.TAG.part.")]
pub struct DownloadArgs {
    /// The asset; one that has ended
    pub id: String,
    /// The file that is written [default: ID.mp4]
    pub file: Option<PathBuf>,
    /// The video rendition [default: the one of the highest bit rate]
    #[arg(long, value_name = "NAME")]
    pub video: Option<String>,
    /// The audio rendition [default: the first]
    #[arg(long, value_name = "NAME")]
    pub audio: Option<String>,
}

/// Downloads an asset.
///
/// # Errors
/// With the cause and the mend; what came is kept.
pub fn run(client: &Client, args: &DownloadArgs, json: bool, out: &mut dyn Write) -> Result<()> {
    check_plain("asset name", &args.id)?;
    let mut query = String::new();
    for (key, name) in [("video", &args.video), ("audio", &args.audio)] {
        if let Some(name) = name {
            check_plain("rendition name", name)?;
            query.push_str(&format!("{}{key}={name}", if query.is_empty() { '?' } else { '&' }));
        }
    }
    let path = format!("/vod/{}/asset.mp4{query}", args.id);
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{}.mp4", args.id)));
    if file.exists() {
        bail!("{} is there already; name another file, or remove it", file.display());
    }
    let head = client.media("HEAD", &path, None)?;
    let text = |name: &str| head.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (tag, length) = (text("etag"), text("content-length").and_then(|l| l.parse::<u64>().ok()));
    let (Some(tag), Some(length)) = (tag, length) else {
        bail!("{} does not say how long the file is; does a proxy stand before it?", client.base());
    };
    let part = part_of(&file, &tag)?;
    let shown = part.display().to_string();
    let mut to = OpenOptions::new().create(true).append(true).open(&part);
    let to = to.as_mut().map_err(|e| anyhow!("{shown} cannot be written: {e}; check the folder"))?;
    fetch(client, &path, &tag, length, to)
        .with_context(|| format!("what came is in {shown}; the same command goes on"))?;
    to.sync_all().with_context(|| format!("{shown} cannot be written"))?;
    std::fs::rename(&part, &file).with_context(|| format!("{shown} cannot be named {}", file.display()))?;
    let answer = json!({ "id": args.id, "file": file, "bytes": length });
    print(&answer, &format!("{} written, {length} bytes\n", file.display()), json, out)
}

/// The name of the file until it is whole: the tag names its content, so that no two are mixed.
fn part_of(file: &Path, tag: &str) -> Result<PathBuf> {
    let tag: String = tag.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    let name = file.file_name().ok_or_else(|| anyhow!("{} names no file", file.display()))?;
    let mut name = name.to_owned();
    name.push(format!(".{tag}.part"));
    Ok(file.with_file_name(name))
}

/// Appends what is missing, piece by piece.
fn fetch(client: &Client, path: &str, tag: &str, length: u64, to: &mut File) -> Result<()> {
    let clock = SystemClock::new();
    let began = clock.mono();
    let mut meter = Meter::new(began);
    let start = to.seek(SeekFrom::End(0))?;
    if start > length {
        bail!("it is longer than the asset's {length} bytes; remove it");
    }
    let (mut at, mut fruitless) = (start, 0);
    let mut shown: Option<MonoTime> = None;
    while at < length {
        let before = at;
        let end = length.min(at + PIECE);
        let read = piece(client, path, tag, at..end, to, |bytes| {
            at += bytes;
            let now = clock.mono();
            if shown.is_none_or(|then| now.since(then).as_millis() >= 200) {
                shown = Some(now);
                let rate = (at - start) as f64 / now.since(began).as_secs_f64().max(0.001);
                let left = (length - at) as f64 / rate.max(1.0);
                let speed = format!("{:.1} MB/s", rate / 1e6);
                meter.show("downloading", at as f64 / length as f64, &speed, Some(left), now);
            }
        });
        fruitless = if at > before { 0 } else { fruitless + 1 };
        match read {
            Ok(()) => {}
            Err(Broken::Connection(_)) if fruitless < FRUITLESS => {}
            Err(Broken::Connection(error) | Broken::Final(error)) => {
                meter.end();
                return Err(error);
            }
        }
    }
    meter.end();
    let is = to.metadata()?.len();
    if is == length {
        Ok(())
    } else {
        Err(anyhow!("it has {is} bytes and the asset {length}; remove it and try again"))
    }
}

/// Why a piece is not whole.
enum Broken {
    /// The same again may go further.
    Connection(anyhow::Error),
    /// It will not.
    Final(anyhow::Error),
}

fn piece(
    client: &Client,
    path: &str,
    tag: &str,
    range: std::ops::Range<u64>,
    to: &mut File,
    mut wrote: impl FnMut(u64),
) -> Result<(), Broken> {
    let mut answer = client.media("GET", path, Some((range.clone(), tag))).map_err(Broken::Connection)?;
    // With another tag the server sends the whole file.
    let from =
        answer.headers().get("content-range").and_then(|v| v.to_str().ok()?.strip_prefix("bytes ")?.split_once('-'));
    if answer.status().as_u16() != 206 || from.and_then(|(from, _)| from.parse().ok()) != Some(range.start) {
        return Err(Broken::Final(anyhow!("the asset has changed meanwhile; start again")));
    }
    let mut left = range.end - range.start;
    let mut block = vec![0; BLOCK];
    let mut body = answer.body_mut().as_reader();
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        let into = block.get_mut(..most).unwrap_or_default();
        let got = match body.read(into) {
            Ok(0) => return Err(Broken::Connection(anyhow!("the connection broke off"))),
            Ok(got) => got,
            Err(error) => return Err(Broken::Connection(error.into())),
        };
        let data = into.get(..got).unwrap_or_default();
        to.write_all(data).map_err(|e| Broken::Final(anyhow!("it cannot be written: {e}; make room")))?;
        left -= got as u64;
        wrote(got as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::net::TcpListener;

    use super::*;

    /// Serves a file by ranges; each answer of at most `most` bytes, then it breaks off.
    fn server(content: Vec<u8>, most: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines().map(|l| l.unwrap());
                let head: Vec<String> = lines.take_while(|l| !l.is_empty()).collect();
                let range =
                    head.iter().find_map(|l| l.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
                let fixed = "connection: close\r\netag: \"0a0b\"\r\n";
                let Some(range) = range else {
                    let _ = write!(stream, "HTTP/1.1 200 OK\r\n{fixed}content-length: {}\r\n\r\n", content.len());
                    continue;
                };
                let (from, to) = range.split_once('-').unwrap();
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                let all = content.len();
                let length = to + 1 - from;
                let _ = write!(
                    stream,
                    "HTTP/1.1 206 Partial Content\r\n{fixed}content-range: bytes {from}-{to}/{all}\r\ncontent-length: {length}\r\n\r\n"
                );
                let _ = stream.write_all(&content[from..(to + 1).min(from + most)]);
            }
        });
        format!("http://{address}")
    }

    fn download(base: &str, folder: &Path) -> Result<String> {
        let file = Some(folder.join("a.mp4"));
        let args = DownloadArgs { id: "a".to_owned(), file, video: None, audio: None };
        let mut out = Vec::new();
        run(&Client::new(base).unwrap(), &args, false, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_file_is_whole_though_each_answer_breaks_off_and_goes_on_from_what_is_there() {
        let content: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        let base = server(content.clone(), 30_000);
        let folder = tempfile::tempdir().unwrap();
        // Of an earlier call, and of another content of the same name.
        std::fs::write(folder.path().join("a.mp4.0a0b.part"), &content[..12_345]).unwrap();
        std::fs::write(folder.path().join("a.mp4.ffff.part"), b"other").unwrap();
        let said = download(&base, folder.path()).unwrap();
        assert!(said.ends_with("a.mp4 written, 100000 bytes\n"), "{said}");
        assert_eq!(std::fs::read(folder.path().join("a.mp4")).unwrap(), content);
        assert!(!folder.path().join("a.mp4.0a0b.part").exists());
        let error = download(&base, folder.path()).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
    }

    #[test]
    fn a_server_that_sends_nothing_ends_it_and_what_came_is_kept() {
        let base = server(vec![1; 1000], 0);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.mp4.0a0b.part"), [1; 10]).unwrap();
        let error = format!("{:#}", download(&base, folder.path()).unwrap_err());
        assert!(error.contains("the same command goes on"), "{error}");
        assert_eq!(std::fs::read(folder.path().join("a.mp4.0a0b.part")).unwrap().len(), 10);
    }
}

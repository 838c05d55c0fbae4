//! The demo's live source: a moving picture with a burned-in UTC clock and a tone, which an ffmpeg child makes and this
//! process publishes to its own RTMP port. The stream key never leaves the process: a program's arguments are for
//! everybody on the machine to read.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use millstream_access::StreamKey;
use millstream_access::stream_key::RANDOM_BYTES;
use millstream_control::channel::{ChannelConfig, ChannelName};
use millstream_ingest::flv::file::FileReader;
use millstream_ingest::key::StreamKey as PublishedKey;
use millstream_ingest::rtmp::client::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::config::Config;
use crate::config::address::Address;

/// Fonts that the clock may be drawn with, in order of preference.
const FONTS: [&str; 4] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationMono-Bold.ttf",
    "/usr/share/fonts/TTF/DejaVuSansMono-Bold.ttf",
];

/// Time between the end of the source and its next start.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Bytes read at once, of the picture and of what the server says.
const READ_BYTES: usize = 64 * 1024;

/// The demo's channel.
pub const CHANNEL: &str = "demo";

/// Adds the demo's channel to the configuration, and takes free ports where the usual ones are in use. Returns the
/// channel's key, which is another one each time.
///
/// # Errors
/// If the system has no randomness, or the channel's name were not accepted, which would be a fault of ours.
pub fn prepare(config: &mut Config) -> Result<StreamKey> {
    let mut random = [0; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut random).ok().context("the system gives no random bytes for the demo's stream key")?;
    let key = StreamKey::generate(random);
    let mut channel = ChannelConfig::new(ChannelName::new(CHANNEL)?);
    channel.title = "Millstream demo".to_owned();
    channel.stream_key = Some(key.clone());
    config.channel.retain(|other| other.name != channel.name);
    config.channel.push(channel);
    for address in [&mut config.server.http, &mut config.ingest.rtmp] {
        if let Some(wanted) = address.get()
            && std::net::TcpListener::bind(wanted).is_err()
        {
            *address = Address::local(0);
        }
    }
    Ok(key)
}

/// The ffmpeg arguments of the test source, which writes FLV to its standard output.
pub fn source_arguments(font: Option<&Path>) -> Vec<String> {
    let clock = font.map_or(String::new(), |font| {
        let text = |text: &str, y: &str, size: u32| {
            format!(
                ",drawtext=fontfile={}:text='{text}':x=(w-tw)/2:y={y}:fontsize={size}:fontcolor=white:box=1:boxcolor=black@0.65:boxborderw=12",
                font.display()
            )
        };
        format!(
            "{}{}",
            text(r"%{gmtime\:%H\\\:%M\\\:%S} UTC", "h*0.72", 64),
            text(r"frame %{frame_num}", "h*0.88", 28)
        )
    });
    let mut arguments: Vec<String> = ["-nostdin", "-hide_banner", "-loglevel", "error"].map(String::from).into();
    arguments.extend(
        ["-re", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-re", "-f", "lavfi", "-i"].map(String::from),
    );
    arguments.push("sine=frequency=440:beep_factor=4:sample_rate=48000".into());
    arguments.extend(["-filter_complex".into(), format!("[0:v]format=yuv420p{clock}[v];[1:a]volume=0.25[a]")]);
    arguments.extend(["-map", "[v]", "-map", "[a]", "-c:v", "libx264", "-preset", "ultrafast"].map(String::from));
    arguments.extend(["-tune", "zerolatency", "-g", "30", "-b:v", "3M", "-maxrate", "3M"].map(String::from));
    arguments.extend(["-bufsize", "3M", "-c:a", "aac", "-b:a", "128k", "-ac", "2"].map(String::from));
    arguments.extend(["-flush_packets", "1", "-f", "flv", "-flvflags", "no_duration_filesize", "-"].map(String::from));
    arguments
}

/// Keeps the test source running, and publishes it to `rtmp` under `key`, until `stop` says true.
///
/// # Errors
/// If ffmpeg is not installed, or the server takes no RTMP.
pub async fn run_source(rtmp: Option<String>, key: StreamKey, mut stop: watch::Receiver<bool>) -> Result<()> {
    let rtmp = rtmp.and_then(|rtmp| rtmp.parse().ok());
    let rtmp: SocketAddr = rtmp.context("the demo publishes over RTMP; give it an address instead of off")?;
    let font = FONTS.iter().map(PathBuf::from).find(|font| font.exists());
    if font.is_none() {
        tracing::warn!("no font found for the burned-in clock; install fonts-dejavu-core");
    }
    let arguments = source_arguments(font.as_deref());
    loop {
        let mut child = start(&arguments)?;
        let ended = tokio::select! {
            // The server stops, and so ends the connection.
            biased;
            () = stopped(&mut stop) => None,
            ended = publish(&mut child, rtmp, &key) => Some(ended),
        };
        let _ = child.kill().await;
        let Some(ended) = ended else { return Ok(()) };
        let cause = ended.err().map_or_else(|| "ffmpeg ended".to_owned(), |error| format!("{error:#}"));
        tracing::warn!(cause, "the demo's test source ended; it starts again");
        tokio::select! {
            () = tokio::time::sleep(RESTART_AFTER) => {}
            () = stopped(&mut stop) => return Ok(()),
        }
    }
}

/// Publishes what a source writes, until it or the connection ends.
async fn publish(source: &mut Child, rtmp: SocketAddr, key: &StreamKey) -> Result<()> {
    let mut pictures = source.stdout.take().context("ffmpeg has no output")?;
    let mut connection = TcpStream::connect(rtmp).await.context("the RTMP port cannot be reached")?;
    connection.set_nodelay(true)?;
    let mut client = Client::new("live", PublishedKey::new(key.expose()));
    let mut file = FileReader::default();
    let (mut from_source, mut from_server) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
    loop {
        connection.write_all(&client.take_output()).await.context("the connection broke")?;
        tokio::select! {
            read = connection.read(&mut from_server) => match read.context("the connection broke")? {
                0 => bail!("the server ended the connection"),
                n => client.handle_input(from_server.get(..n).unwrap_or_default())?,
            },
            // While the server does not read, ffmpeg waits.
            read = pictures.read(&mut from_source), if client.is_publishing() => {
                match read.context("ffmpeg cannot be read")? {
                    0 => return Ok(()),
                    n => file.push(from_source.get(..n).unwrap_or_default()),
                }
                while let Some(tag) = file.poll()? {
                    client.send(&tag);
                }
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn start(arguments: &[String]) -> Result<Child> {
    Command::new("ffmpeg")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("the demo's test source needs the ffmpeg command; install it with `apt-get install ffmpeg`")
}

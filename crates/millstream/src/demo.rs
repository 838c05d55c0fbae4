//! The demo's live source: an ffmpeg child that publishes a moving picture with a burned-in UTC clock and a tone.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use millstream_access::StreamKey;
use millstream_control::channel::{ChannelConfig, ChannelName};
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

/// The demo's channel.
pub const CHANNEL: &str = "demo";

/// Adds the demo's channel to the configuration, and takes free ports where the usual ones are in use. Returns the
/// channel's key.
///
/// # Errors
/// If the channel's name or key were not accepted, which would be a fault of ours.
pub fn prepare(config: &mut Config) -> Result<StreamKey> {
    let key = StreamKey::from_user(DEMO_KEY)?;
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

/// The key of the demo's channel, which is only reached over loopback.
const DEMO_KEY: &str = "demo-stream-key";

/// The ffmpeg arguments of the test source.
pub fn source_arguments(url: &str, font: Option<&Path>) -> Vec<String> {
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
    arguments.extend(["-bufsize", "3M", "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-f", "flv"].map(String::from));
    arguments.push(url.into());
    arguments
}

/// Keeps the test source running until `stop` says true.
///
/// # Errors
/// If ffmpeg is not installed.
pub async fn run_source(url: String, mut stop: watch::Receiver<bool>) -> Result<()> {
    let font = FONTS.iter().map(PathBuf::from).find(|font| font.exists());
    if font.is_none() {
        tracing::warn!("no font found for the burned-in clock; install fonts-dejavu-core");
    }
    let arguments = source_arguments(&url, font.as_deref());
    loop {
        let mut child = start(&arguments)?;
        tokio::select! {
            ended = child.wait() => {
                tracing::warn!(status = ?ended.ok(), "the demo's test source ended; it starts again");
            }
            () = stopped(&mut stop) => {
                let _ = child.kill().await;
                return Ok(());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART_AFTER) => {}
            () = stopped(&mut stop) => return Ok(()),
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
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("the demo's test source needs the ffmpeg command; install it with `apt-get install ffmpeg`")
}

//! `millstream serve` in a folder of its own.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::Viewer;
use crate::process;
use crate::wait::{Deadline, wait_for, within};

/// Longest wait for a server to be up.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// Longest wait for a server to end after SIGTERM.
const DOWN_WITHIN: Duration = Duration::from_secs(20);

/// A channel of the configuration file.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Its stream key.
    pub key: String,
    /// Further lines of TOML.
    pub settings: String,
}

impl Channel {
    /// A channel with defaults; the key is `test-key-NAME`.
    pub fn new(name: &str) -> Self {
        Channel { name: name.to_owned(), key: format!("test-key-{name}"), settings: String::new() }
    }

    /// Packages the contribution as it comes.
    pub fn passthrough(name: &str) -> Self {
        Channel::new(name).set("mode = \"passthrough\"")
    }

    /// Adds a line of TOML.
    pub fn set(mut self, line: &str) -> Self {
        self.settings += line;
        self.settings.push('\n');
        self
    }
}

/// A running server, or one that was killed and may be started again. Ends with the test.
pub struct Server {
    child: Option<Child>,
    folder: TempDir,
    channels: Vec<Channel>,
    extra: String,
    variables: Vec<(String, String)>,
    launcher: Vec<String>,
    http: String,
    rtmp: String,
    starts: u32,
}

impl Server {
    /// Starts a server with these channels on free ports of the loopback address, and waits until it listens.
    pub fn start(channels: &[Channel]) -> Self {
        Self::start_with(channels, "")
    }

    /// The same, with more TOML sections.
    pub fn start_with(channels: &[Channel], extra: &str) -> Self {
        Self::start_in(channels, extra, &[])
    }

    /// The same, with environment variables.
    pub fn start_in(channels: &[Channel], extra: &str, variables: &[(&str, &str)]) -> Self {
        Self::start_by(&[], channels, extra, variables)
    }

    /// The same, by a command that becomes the server.
    pub fn start_by(launcher: &[&str], channels: &[Channel], extra: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("millstream-test-").tempdir().unwrap();
        let mut server = Server {
            child: None,
            folder,
            channels: channels.to_vec(),
            extra: extra.to_owned(),
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            launcher: launcher.iter().map(|word| (*word).to_owned()).collect(),
            http: "127.0.0.1:0".to_owned(),
            rtmp: "127.0.0.1:0".to_owned(),
            starts: 0,
        };
        server.start_again();
        server
    }

    /// Starts it (again), under the addresses it had before.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server runs");
        let config = self.folder.path().join("millstream.toml");
        std::fs::write(&config, self.toml()).unwrap();
        let listening = self.folder.path().join("data/listening.json");
        let _ = std::fs::remove_file(&listening);
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        self.starts += 1;
        let mut words = self.launcher.iter().map(OsString::from).chain([binary("millstream").into_os_string()]);
        let child = Command::new(words.next().unwrap())
            .args(words)
            .args(["serve", "--config"])
            .arg(&config)
            .env_remove("RUST_LOG")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("target/release/millstream is not built; run scripts/build, or name another by MILLSTREAM_BIN");
        self.child = Some(child);
        let bound: Option<Value> = within(UP_WITHIN, || {
            let text = std::fs::read_to_string(&listening).ok()?;
            serde_json::from_str(&text).ok()
        });
        let Some(bound) = bound else { panic!("the server was not up within {UP_WITHIN:?}; its log:\n{}", self.log()) };
        let address = |name: &str| bound[name].as_str().unwrap_or_else(|| panic!("no {name} in {bound}")).to_owned();
        self.http = address("http");
        self.rtmp = address("rtmp");
    }

    fn toml(&self) -> String {
        let data = self.folder.path().join("data");
        let mut out = format!(
            "[server]\nhttp = \"{}\"\ndata_dir = \"{}\"\n[ingest]\nrtmp = \"{}\"\nsrt = \"off\"\nwebrtc = \"off\"\n{}\n",
            self.http,
            data.display(),
            self.rtmp,
            self.extra
        );
        for channel in &self.channels {
            let Channel { name, key, settings } = channel;
            out += &format!("[[channel]]\nname = \"{name}\"\nstream_key = \"{key}\"\n{settings}\n");
        }
        out
    }

    /// Other channels from the next start on.
    pub fn set_channels(&mut self, channels: &[Channel]) {
        self.channels = channels.to_vec();
    }

    /// Other TOML sections from the next start on.
    pub fn set_extra(&mut self, extra: &str) {
        extra.clone_into(&mut self.extra);
    }

    /// Another address for HTTP from the next start on.
    pub fn set_http(&mut self, address: &str) {
        address.clone_into(&mut self.http);
    }

    /// Absolute URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Address of the HTTP port.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Address of the RTMP port.
    pub fn rtmp(&self) -> &str {
        &self.rtmp
    }

    /// Where a broadcaster with this key publishes.
    pub fn publish_url(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.rtmp)
    }

    /// The folder that it lives in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server does not run").id()
    }

    /// Process ids of its encode workers.
    pub fn workers(&self) -> Vec<u32> {
        process::children(self.pid())
    }

    /// A viewer of a channel.
    pub fn viewer(&self, channel: &str) -> Viewer {
        Viewer::new(self.url(&format!("/live/{channel}/")))
    }

    /// The channel as the API sees it.
    pub fn channel(&self, name: &str) -> Value {
        crate::client::get_json(&self.url(&format!("/api/v1/channels/{name}"))).unwrap_or(Value::Null)
    }

    /// State of a channel.
    pub fn state(&self, name: &str) -> String {
        self.channel(name)["state"].as_str().unwrap_or("unknown").to_owned()
    }

    /// Waits until a channel is in a state.
    pub fn wait_state(&self, name: &str, state: &str, limit: Duration) {
        let mut last = String::new();
        let reached = within(limit, || {
            last = self.state(name);
            (last == state).then_some(())
        });
        assert!(reached.is_some(), "{name} was {last}, not {state}, after {limit:?}; log:\n{}", self.log());
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Runs the command line program against this server; gives its standard output.
    pub fn command(&self, arguments: &[&str]) -> Result<String, String> {
        self.command_as(None, arguments, "")
    }

    /// The same by an operator with a token, with something on standard input.
    pub fn command_as(&self, token: Option<&str>, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(binary("millstream"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("MILLSTREAM_SERVER_HTTP", &self.http)
            .env("MILLSTREAM_SERVER_DATA_DIR", self.folder.path().join("data"))
            .env_remove("MILLSTREAM_TOKEN")
            .envs(token.map(|token| ("MILLSTREAM_TOKEN", token)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that reads nothing may have closed it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let out = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }

    /// SIGTERM, and waits for the end. Gives the exit code and how long it took.
    pub fn stop(&mut self) -> (Option<i32>, Duration) {
        let mut child = self.child.take().expect("the server does not run");
        let asked = Deadline::after(DOWN_WITHIN);
        process::signal(child.id(), "TERM");
        let status = within(DOWN_WITHIN, || child.try_wait().unwrap());
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server did not end within {DOWN_WITHIN:?} of SIGTERM; log:\n{}", self.log());
        }
        (status.unwrap().code(), asked.elapsed())
    }

    /// SIGKILL. Gives the process ids of the workers that it leaves behind.
    pub fn kill(&mut self) -> Vec<u32> {
        let workers = self.workers();
        let mut child = self.child.take().expect("the server does not run");
        child.kill().unwrap();
        child.wait().unwrap();
        workers
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log.txt")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let workers = process::children(child.id());
            process::signal(child.id(), "TERM");
            if within(Duration::from_secs(5), || child.try_wait().ok().flatten()).is_none() {
                let _ = child.kill();
                let _ = child.wait();
            }
            for worker in workers {
                process::signal(worker, "KILL");
            }
        }
        if std::thread::panicking() {
            eprintln!("---- the server's log ----\n{}", self.log());
        }
    }
}

/// Waits until processes are gone.
pub fn wait_gone(what: &str, pids: &[u32], limit: Duration) {
    wait_for(what, limit, || (!pids.iter().any(|p| process::is_running(*p))).then_some(()));
}

/// A program of the release build, or `millstream` from `MILLSTREAM_BIN` and what lies beside it.
#[allow(clippy::disallowed_methods, reason = "the program under test is named by the environment")]
pub fn binary(name: &str) -> PathBuf {
    let millstream = match std::env::var("MILLSTREAM_BIN") {
        Ok(path) => PathBuf::from(path),
        Err(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/millstream"),
    };
    millstream.with_file_name(name)
}

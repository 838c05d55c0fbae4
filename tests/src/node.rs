//! `millstream serve` in any role, told by variables only, and what `curl` gets from it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::server::binary;
use crate::wait::within;

const UP: Duration = Duration::from_secs(30);

/// A running server or edge; it ends with the test.
pub struct Node {
    child: Child,
    folder: TempDir,
    bound: Value,
}

/// What `curl` got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// `1.1`, `2` or `3`.
    pub version: String,
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Got {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

impl Node {
    /// Starts one on free ports of the loopback address. A folder of its own is made first, and given to `prepare`, which
    /// gives the variables.
    pub fn start(arguments: &[&str], prepare: impl FnOnce(&Path) -> Vec<(&'static str, String)>) -> Node {
        Self::try_start(arguments, prepare).unwrap_or_else(|log| panic!("the server is not up; its log:\n{log}"))
    }

    /// The same; gives the log of one that ends at once.
    pub fn try_start(
        arguments: &[&str],
        prepare: impl FnOnce(&Path) -> Vec<(&'static str, String)>,
    ) -> Result<Node, String> {
        let folder = tempfile::Builder::new().prefix("millstream-node-").tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let is_edge = arguments.contains(&"edge");
        let mut command = Command::new(binary("millstream"));
        command.args(["serve", "--http", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("data")).args(arguments);
        if !is_edge {
            command.args(["--rtmp", "127.0.0.1:0"]);
        }
        command.envs(prepare(folder.path())).env_remove("RUST_LOG");
        let child = command
            .env("MILLSTREAM_INGEST_SRT", "off")
            .env("MILLSTREAM_INGEST_WEBRTC", "off")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("target/release/millstream is not built");
        let mut node = Node { child, folder, bound: Value::Null };
        let listening = node.folder.path().join("data/listening.json");
        let bound = within(UP, || match node.child.try_wait() {
            Ok(None) => serde_json::from_str(&std::fs::read_to_string(&listening).ok()?).ok(),
            _ => Some(Value::Null),
        });
        node.bound = bound.unwrap_or_default();
        if node.bound.is_object() { Ok(node) } else { Err(node.log()) }
    }

    /// A certificate for `localhost` that signs itself, in `cert.pem` and `key.pem` of a folder, and the variables by which
    /// a server uses it.
    pub fn https(folder: &Path) -> Vec<(&'static str, String)> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = |name: &str| folder.join(name).display().to_string();
        std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(file("cert.pem"), made.cert.pem()).unwrap();
        vec![
            ("MILLSTREAM_SERVER_HTTPS", "127.0.0.1:0".to_owned()),
            ("MILLSTREAM_SERVER_TLS_CERTIFICATE", file("cert.pem")),
            ("MILLSTREAM_SERVER_TLS_KEY", file("key.pem")),
        ]
    }

    /// URL of a path behind a door (`http`, `https`).
    pub fn url(&self, door: &str, path: &str) -> String {
        let port = self.bound[door].as_str().and_then(|bound| bound.rsplit_once(':')).map(|(_, port)| port.to_owned());
        format!("{door}://localhost:{}{path}", port.unwrap_or_else(|| panic!("no {door} in {}", self.bound)))
    }

    /// Where it listens for `rtmp`, `http`, ...
    pub fn address(&self, door: &str) -> String {
        self.bound[door].as_str().unwrap_or_default().to_owned()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// A GET by `curl`, which trusts this node's certificate only; the exit code if there is no answer.
    pub fn curl(&self, door: &str, path: &str, arguments: &[&str]) -> Result<Got, i32> {
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "10",
                "--include",
                "--ipv4",
                "--noproxy",
                "*",
                "--path-as-is",
            ])
            .arg("--cacert")
            .arg(self.file("cert.pem"))
            .args(arguments)
            .arg(self.url(door, path))
            .output()
            .expect("curl is not installed");
        if !output.status.success() {
            return Err(output.status.code().unwrap_or(-1));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split_whitespace();
        let version = words.next().unwrap_or_default().trim_start_matches("HTTP/").to_owned();
        let status = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Ok(Got { version, status, headers, body: body.to_owned() })
    }

    /// The status of a GET by `curl`.
    pub fn status(&self, door: &str, path: &str, arguments: &[&str]) -> u16 {
        self.curl(door, path, arguments).map_or(0, |got| got.status)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the log of a node ----\n{}", self.log());
        }
    }
}

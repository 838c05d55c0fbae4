//! The client of the API: how it finds the server, and how its errors read.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::config::{self, Flags};

/// Asked where nothing else names a server.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Talks to one server.
pub struct Client {
    agent: ureq::Agent,
    base: String,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Result<Self> {
        let base = base.trim_end_matches('/');
        if !base.starts_with("http://") || base.len() <= "http://".len() {
            bail!("{base} is no server (--server, MILLSTREAM_URL); write http://IP:PORT, such as {DEFAULT_SERVER}");
        }
        // Statuses are read here, and a proxy for the outside world has no part in talking to this machine.
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .build();
        Ok(Client { agent: config.into(), base: base.to_owned() })
    }

    /// The server named by `--server` or `MILLSTREAM_URL`, or the one whose `listening.json` lies in the data folder, or the default.
    pub fn find(server: Option<&str>, config: Option<&Path>, data_dir: Option<&Path>) -> Result<Self> {
        // An empty variable is one that is not set: scripts pass them on so.
        if let Some(server) = server.filter(|server| !server.is_empty()) {
            return Self::new(server);
        }
        let flags = Flags { data_dir: data_dir.map(Path::to_owned), ..Flags::default() };
        let loaded = config::load(config, &flags)?;
        let listening = std::fs::read_to_string(loaded.config.server.data_dir.join("listening.json")).ok();
        Self::new(&listening.and_then(|text| base_of(&text)).unwrap_or_else(|| DEFAULT_SERVER.to_owned()))
    }

    /// Where the server is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks for `path` below `/api/v1`. An empty answer is `null`.
    ///
    /// # Errors
    /// If no server answers, or it answers with an error: then its detail.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let uri = format!("{}/api/v1{path}", self.base);
        let request = ureq::http::Request::builder().method(method).uri(&uri);
        let answer = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string());
                self.agent.run(request.with_context(|| format!("{uri} is no address"))?)
            }
            None => self.agent.run(request.body(()).with_context(|| format!("{uri} is no address"))?),
        };
        self.read(answer).map(|(value, _)| value)
    }

    /// Sends a piece of a file to `path` below `/api/v1`, to stand at `offset` there. Returns the offset after it.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn append(&self, path: &str, offset: u64, piece: &[u8]) -> Result<u64> {
        let uri = format!("{}/api/v1{path}", self.base);
        let request = ureq::http::Request::builder().method("PATCH").uri(&uri);
        let request = request
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset.to_string())
            .body(piece)
            .with_context(|| format!("{uri} is no address"))?;
        let (_, headers) = self.read(self.agent.run(request))?;
        let at = headers.get("upload-offset").and_then(|v| v.to_str().ok()?.parse().ok());
        at.ok_or_else(|| anyhow!("{} did not say how much it took", self.base))
    }

    /// An answer's value and headers.
    fn read(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(Value, ureq::http::HeaderMap)> {
        let mut answer = answer.map_err(|error| {
            anyhow!(
                "no millstream server answers at {} ({}); start one with `millstream serve`, or name it with --server or \
                 MILLSTREAM_URL",
                self.base,
                error.to_string().trim_start_matches("io: ")
            )
        })?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.body_mut().read_to_string().with_context(|| format!("{} broke off its answer", self.base))?;
        let value: Option<Value> = if text.is_empty() { Some(Value::Null) } else { serde_json::from_str(&text).ok() };
        let detail = value.as_ref().and_then(|v| v.get("detail")).and_then(Value::as_str);
        match (status.is_success(), value.clone(), detail) {
            (true, Some(value), _) => Ok((value, headers)),
            (false, _, Some(detail)) => Err(anyhow!("{detail}")),
            _ => Err(anyhow!(
                "{} answers {status} and is no millstream server; name the right one with --server or MILLSTREAM_URL",
                self.base
            )),
        }
    }
}

/// The URL in `listening.json`: `{"http": "127.0.0.1:8080", …}`. An address for all interfaces is asked on loopback.
fn base_of(listening: &str) -> Option<String> {
    let listening: Value = serde_json::from_str(listening).ok()?;
    let mut address: std::net::SocketAddr = listening.get("http")?.as_str()?.parse().ok()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Some(format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_json_names_the_server() {
        for (text, base) in [
            ("{\"http\": \"127.0.0.1:41234\", \"rtmp\": \"127.0.0.1:1\"}", Some("http://127.0.0.1:41234")),
            ("{\"http\": \"0.0.0.0:80\"}", Some("http://127.0.0.1:80")),
            ("{\"http\": \"[::]:80\"}", Some("http://[::1]:80")),
            ("{\"rtmp\": \"127.0.0.1:1\"}", None),
            ("{", None),
        ] {
            assert_eq!(base_of(text).as_deref(), base);
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("listening.json"), "{\"http\": \"127.0.0.1:4\"}").unwrap();
        assert_eq!(Client::find(None, None, Some(folder.path())).unwrap().base(), "http://127.0.0.1:4");
        let named = Client::find(Some("http://127.0.0.1:5/"), None, Some(folder.path())).unwrap();
        assert_eq!(named.base(), "http://127.0.0.1:5");
        let empty = Client::find(Some(""), None, Some(folder.path())).unwrap();
        assert_eq!(empty.base(), "http://127.0.0.1:4");
    }

    #[test]
    fn errors_name_the_mend() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Client::new(&format!("http://{closed}")).unwrap().call("GET", "/channels", None).unwrap_err();
        assert!(error.to_string().contains("start one with `millstream serve`"), "{error}");
        assert!(error.to_string().contains("MILLSTREAM_URL"), "{error}");
        assert!(Client::new("127.0.0.1:80").err().unwrap().to_string().contains("write http://IP:PORT"));
    }
}

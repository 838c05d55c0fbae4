//! The client of the API: how it finds the server, and how its errors read.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::{self, Flags};

/// Asked where nothing else names a server.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The same for work that takes its time: clips whose ends are encoded.
const LONG_TIMEOUT: Duration = Duration::from_secs(90);
/// Longest transfer of a piece of media.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(600);

/// Talks to one server.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Result<Self> {
        let base = base.trim_end_matches('/');
        let authority = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
        if authority.is_none_or(str::is_empty) {
            bail!(
                "{base} is no server (--server, MILLSTREAM_URL); write http://IP:PORT or https://HOST, such as \
                 {DEFAULT_SERVER}"
            );
        }
        let roots = if base.starts_with("https://") { rustls_native_certs::load_native_certs().certs } else { vec![] };
        let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .root_certs(RootCerts::new_with_certs(&roots))
            .build();
        // Statuses are read here, and a proxy for the outside world has no part in talking to this machine.
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .tls_config(tls)
            .build();
        Ok(Client { agent: config.into(), base: base.to_owned(), token: None })
    }

    /// Presents this token, or none.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        Client { token, ..self }
    }

    fn request(&self, method: &str, uri: &str) -> ureq::http::request::Builder {
        let request = ureq::http::Request::builder().method(method).uri(uri);
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// The server named by `--server` or `MILLSTREAM_URL`, or the one whose `listening.json` lies in the data folder, or the default.
    pub fn find(server: Option<&str>, config: Option<&Path>, data_dir: Option<&Path>) -> Result<Self> {
        // An empty variable is one that is not set: scripts pass them on so.
        if let Some(server) = server.filter(|server| !server.is_empty()) {
            return Self::new(server);
        }
        let flags = Flags { data_dir: data_dir.map(Path::to_owned), ..Flags::default() };
        let loaded = config::load(config, &flags)?;
        let folder = &loaded.config.server.data_dir;
        let listening = std::fs::read_to_string(folder.join("listening.json")).ok();
        let client =
            Self::new(&listening.and_then(|text| base_of(&text)).unwrap_or_else(|| DEFAULT_SERVER.to_owned()))?;
        // The folder's token is for the folder's server, and is sent to no other.
        let file = folder.join(TOKEN_FILE);
        let token = if file.exists() { Some(read_token(&file)?) } else { None };
        Ok(client.with_token(token))
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
        self.call_within(TIMEOUT, method, path, body)
    }

    /// The same for what takes its time.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_long(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.call_within(LONG_TIMEOUT, method, path, body)
    }

    fn call_within(&self, limit: Duration, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let uri = format!("{}/api/v1{path}", self.base);
        let request = self.request(method, &uri);
        let answer = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string());
                let request = request.with_context(|| format!("{uri} is no address"))?;
                self.agent.run(self.agent.configure_request(request).timeout_global(Some(limit)).build())
            }
            None => self.agent.run(request.body(()).with_context(|| format!("{uri} is no address"))?),
        };
        self.read(answer).map(|(value, _)| value)
    }

    /// Asks for the media at `path`: all of it, or a range of what has this tag. Nothing but 200 and 206 is an answer.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn media(
        &self,
        method: &str,
        path: &str,
        part: Option<(std::ops::Range<u64>, &str)>,
    ) -> Result<ureq::http::Response<ureq::Body>> {
        let uri = format!("{}{path}", self.base);
        let mut request = ureq::http::Request::builder().method(method).uri(&uri);
        if let Some((range, tag)) = part {
            let range = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
            request = request.header("range", range).header("if-range", tag);
        }
        let request = request.body(()).with_context(|| format!("{uri} is no address"))?;
        let request = self.agent.configure_request(request).timeout_global(Some(MEDIA_TIMEOUT)).build();
        let mut answer = self.agent.run(request).map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let text = text.trim();
        // An answer to HEAD has no text.
        match (text, status.as_u16()) {
            ("", 404) => bail!(
                "there is no such asset, or no such rendition of it; `millstream asset list` shows those there are"
            ),
            ("", 409) => bail!(
                "there is no file of this asset yet: the recording goes on; make a clip of it, or wait for its end"
            ),
            ("", 410) => bail!("the asset was deleted"),
            ("", _) => bail!("{} answers {status}; try again", self.base),
            (text, _) => bail!("{text}"),
        }
    }

    /// Sends a piece of a file to `path` below `/api/v1`, to stand at `offset` there. Returns the offset after it.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn append(&self, path: &str, offset: u64, piece: &[u8]) -> Result<u64> {
        let uri = format!("{}/api/v1{path}", self.base);
        let request = self.request("PATCH", &uri);
        let request = request
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset.to_string())
            .body(piece)
            .with_context(|| format!("{uri} is no address"))?;
        let (_, headers) = self.read(self.agent.run(request))?;
        let at = headers.get("upload-offset").and_then(|v| v.to_str().ok()?.parse().ok());
        at.ok_or_else(|| anyhow!("{} did not say how much it took", self.base))
    }

    fn unreachable(&self, error: &ureq::Error) -> anyhow::Error {
        anyhow!(
            "no millstream server answers at {} ({}); start one with `millstream serve`, or name it with --server or \
             MILLSTREAM_URL",
            self.base,
            error.to_string().trim_start_matches("io: ")
        )
    }

    /// An answer's value and headers.
    fn read(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(Value, ureq::http::HeaderMap)> {
        let mut answer = answer.map_err(|error| self.unreachable(&error))?;
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

/// The file in the data folder whose token the command line presents to the server of that folder.
const TOKEN_FILE: &str = "token";
/// Longest file that is read as a token, in bytes.
const MAX_TOKEN_FILE: u64 = 4096;

/// The token in a file that its owner alone may read.
///
/// # Errors
/// It cannot be read, others may read it, or it holds no token.
pub fn read_token(file: &Path) -> Result<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = file.display();
    let metadata = std::fs::metadata(file).with_context(|| format!("the token file {shown} cannot be read"))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("others may read the token file {shown}; run chmod 600 on it");
    }
    if metadata.len() > MAX_TOKEN_FILE {
        bail!("{shown} is too long for a token file");
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("the token file {shown} cannot be read"))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        bail!("{shown} holds no token; write one with `millstream token create NAME --role ROLE --out {shown}`");
    }
    Ok(token.to_owned())
}

/// The URL in `listening.json`: `{"http": "127.0.0.1:8080", …}`. An address for all interfaces is asked on loopback.
fn base_of(listening: &str) -> Option<String> {
    let listening: Value = serde_json::from_str(listening).ok()?;
    base_of_address(listening.get("http")?.as_str()?)
}

/// Where this machine reaches a server that listens there.
pub fn base_of_address(address: &str) -> Option<String> {
    let mut address: std::net::SocketAddr = address.parse().ok()?;
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
    fn the_folders_token_is_for_its_own_server_and_its_owners_eyes() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "mst_abc\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = Client::find(None, None, Some(folder.path())).err().unwrap().to_string();
        assert!(error.contains("chmod 600") && !error.contains("mst_abc"), "{error}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Client::find(None, None, Some(folder.path())).unwrap().token.as_deref(), Some("mst_abc"));
        let other = Client::find(Some("http://127.0.0.1:5"), None, Some(folder.path())).unwrap();
        assert_eq!(other.token, None);
        std::fs::write(&file, " \n").unwrap();
        assert!(read_token(&file).unwrap_err().to_string().contains("holds no token"));
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

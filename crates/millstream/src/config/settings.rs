//! Every setting of the server, with its default. The doc comments are the reference page: keep them for users.

use std::path::PathBuf;

use millstream_access::secret::Secret;
use millstream_control::channel::{ChannelConfig, Seconds};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::address::Address;
use super::delivery::{Access, Edge};
use super::operators::Operators;
use super::protection::{Origin, Viewers};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[ingest]`
    pub ingest: Ingest,
    /// `[encode]`
    pub encode: Encode,
    /// `[archive]`
    pub archive: Archive,
    /// `[import]`
    pub import: Import,
    /// `[log]`
    pub log: Log,
    /// `[limits]`
    pub limits: Limits,
    /// `[edge]`
    pub edge: Edge,
    /// `[access]`
    pub access: Access,
    /// `[operators]`
    pub operators: Operators,
    /// `[origin]`
    pub origin: Origin,
    /// `[viewers]`
    pub viewers: Viewers,
    /// `[[channel]]`
    pub channel: Vec<ChannelConfig>,
}

/// The server itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address for viewers, the console and the API, as `IP:PORT`; port 0 takes a free one.
    #[schema(value_type = String)]
    pub http: Address,
    /// Address for the same over TLS (HTTP/1.1 and HTTP/2), as `IP:PORT`, or `off`. Needs `tls_certificate` and `tls_key`.
    #[schema(value_type = String)]
    pub https: Address,
    /// Whether HTTP/3 is offered beside `https`, on the UDP port of the same number. It costs more CPU for a byte than
    /// HTTP/2, and helps viewers whose links lose packets.
    pub http3: bool,
    /// PEM file with the certificate chain, the server's own certificate first. A changed file is used for new connections
    /// within seconds, or at once on SIGHUP; one that cannot be used is said in the log, and the former stays.
    #[schema(value_type = String)]
    pub tls_certificate: PathBuf,
    /// PEM file with the certificate's private key.
    #[schema(value_type = String)]
    pub tls_key: PathBuf,
    /// For how many seconds browsers that came by HTTPS are to use nothing else (`Strict-Transport-Security` on pages and the
    /// API); 0 says nothing. It holds for all ports of the name.
    pub hsts_seconds: u32,
    /// Folder for what the server keeps; made if it is not there.
    #[schema(value_type = String)]
    pub data_dir: PathBuf,
    /// Names, besides `localhost` and IP addresses, under which the console and the API may be opened on this machine.
    pub hosts: Vec<String>,
    /// How long a stop waits for channels to end cleanly and for answers to be sent, in seconds.
    #[schema(value_type = f64)]
    pub drain_seconds: Seconds,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            http: Address::local(8080),
            https: Address::OFF,
            http3: false,
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            hsts_seconds: 0,
            data_dir: PathBuf::from("./millstream-data"),
            hosts: Vec::new(),
            drain_seconds: Seconds::new(10),
        }
    }
}

/// Where contributions come in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// Address for RTMP, as `IP:PORT`, or `off`.
    #[schema(value_type = String)]
    pub rtmp: Address,
    /// Address for SRT, as `IP:PORT`, or `off`. Accepted and kept: the listener comes with a later version.
    #[schema(value_type = String)]
    pub srt: Address,
    /// Address for WHIP's media, as `IP:PORT`, or `off`. Accepted and kept: the listener comes with a later version.
    #[schema(value_type = String)]
    pub webrtc: Address,
    /// Service that is asked by `POST` before a publisher with a right key is let in, as a URL (docs/access.md); nobody is
    /// asked if empty.
    pub authorize_url: String,
    /// Secret by which the questions are signed, at least 16 characters; needed with `authorize_url`.
    #[schema(value_type = String)]
    pub authorize_secret: Secret,
    /// How long the service may take, in seconds, 0.1 to 10.
    #[schema(value_type = f64)]
    pub authorize_seconds: Seconds,
    /// What happens when the service gives no clear answer in time: `deny` or `allow`.
    #[schema(value_type = String)]
    pub authorize_on_failure: OnFailure,
}

impl Default for Ingest {
    fn default() -> Self {
        Ingest {
            rtmp: Address::local(1935),
            srt: Address::local(8890),
            webrtc: Address::local(8189),
            authorize_url: String::new(),
            authorize_secret: Secret::default(),
            authorize_seconds: Seconds::new(2),
            authorize_on_failure: OnFailure::Deny,
        }
    }
}

/// What is done when nobody answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nobody is let in.
    #[default]
    Deny,
    /// Whoever has a right key is let in.
    Allow,
}

/// The encode worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Encode {
    /// Path of `millstream-encoder`; empty for the one beside `millstream`.
    #[schema(value_type = String)]
    pub worker: PathBuf,
}

/// The object store of recordings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Archive {
    /// Where recordings go: `file://FOLDER`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`; empty
    /// for the folder `store` in `data_dir`. Definitions of channels stay in a local folder: this one, or `store`.
    pub url: String,
    /// The S3 endpoint of a store that is not Amazon's, as a URL.
    pub endpoint: String,
    /// The S3 region; empty for `AWS_REGION`.
    pub region: String,
    /// `path` or `virtual`: where the bucket's name stands in S3 URLs; empty for `path` whenever there is an endpoint.
    pub addressing: String,
    /// Profile in `~/.aws`; empty for `AWS_PROFILE`, or the usual variables and roles.
    pub profile: String,
    /// KMS key by which S3 encrypts recordings; `aws/s3` for Amazon's own.
    pub kms_key: String,
    /// Most bytes of finished segments that wait on the local disk, for each recording, while a store in the cloud is away.
    pub spool_bytes: u64,
    /// Recordings that ended so many days ago are deleted; 0 keeps them.
    pub keep_days: u32,
    /// The oldest ended recordings are deleted while all of them have more bytes than this; 0 for half of the disk in a
    /// local folder, and for no limit in the cloud.
    pub keep_bytes: u64,
}

impl Default for Archive {
    fn default() -> Self {
        Archive {
            url: String::new(),
            endpoint: String::new(),
            region: String::new(),
            addressing: String::new(),
            profile: String::new(),
            kms_key: String::new(),
            spool_bytes: 20 << 30,
            keep_days: 7,
            keep_bytes: 0,
        }
    }
}

/// Files that become assets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Import {
    /// Most bytes of files in `imports` in `data_dir`, those included that are announced and still come.
    pub spool_bytes: u64,
    /// An upload of which nothing came for so many hours is given up.
    pub upload_hours: u32,
    /// Length of segments of imported assets.
    #[schema(value_type = f64)]
    pub segment_seconds: Seconds,
}

impl Default for Import {
    fn default() -> Self {
        Import { spool_bytes: 100 << 30, upload_hours: 48, segment_seconds: Seconds::from_millis(2000) }
    }
}

/// The log, on standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, also by module: `info,millstream_ingest=debug`.
    pub level: String,
    /// `text` or `json`.
    #[schema(value_type = String)]
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Bounds on what peers may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most HTTP connections at once, 1 to 1000000.
    pub http_connections: u32,
    /// Most HTTP connections at once from one address (an IPv6 /64 is one), 1 to 1000000; 0 for no limit. Loopback has
    /// none. Raise it for viewers behind one proxy.
    pub http_connections_per_address: u32,
    /// HTTP connections that one address may open in a second, twice that in a burst; 0 for no limit. None for loopback,
    /// `access.trusted_proxies` and `access.edges`.
    pub http_connections_per_second_per_address: u32,
    /// Media requests that one viewer's address (an IPv6 /64 is one) may make in a second, twice that in a burst, at
    /// origins and edges; 0 for no limit. None for loopback, `access.edges`, and whoever gets through origin protection.
    /// Behind `access.trusted_proxies` the address that they say counts.
    pub media_requests_per_second_per_address: u32,
    /// Requests for pages and the API that one client address (an IPv6 /64 is one) may make in a second, twice that in a
    /// burst; 0 for no limit. Loopback has none. Behind `access.trusted_proxies` the address that they say counts.
    pub page_requests_per_second_per_address: u32,
    /// Most RTMP connections at once, 1 to 10000.
    pub rtmp_connections: u32,
    /// Most RTMP connections at once from one address (an IPv6 /64 is one), 1 to 10000.
    pub rtmp_connections_per_address: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            http_connections: 20_000,
            http_connections_per_address: 4000,
            http_connections_per_second_per_address: 1000,
            media_requests_per_second_per_address: 4000,
            page_requests_per_second_per_address: 500,
            rtmp_connections: 500,
            rtmp_connections_per_address: 50,
        }
    }
}

impl From<LogFormat> for millstream_telemetry::log::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

impl Config {
    /// The folder of channels' definitions.
    pub fn store_folder(&self) -> PathBuf {
        match self.archive.url.strip_prefix("file://") {
            Some(folder) => PathBuf::from(folder),
            None => self.server.data_dir.join("store"),
        }
    }

    /// The folder of trusted public keys.
    pub fn key_folder(&self) -> PathBuf {
        if self.access.keys.as_os_str().is_empty() {
            self.server.data_dir.join("keys")
        } else {
            self.access.keys.clone()
        }
    }

    /// The folder of private keys for the API.
    pub fn signing_folder(&self) -> PathBuf {
        if self.access.signing_keys.as_os_str().is_empty() {
            self.server.data_dir.join("signing")
        } else {
            self.access.signing_keys.clone()
        }
    }

    /// What is configured and has no effect yet, to be logged once at the start.
    pub fn notes(&self) -> Vec<String> {
        [("srt", self.ingest.srt), ("webrtc", self.ingest.webrtc)]
            .into_iter()
            .filter(|(_, address)| *address != Address::OFF)
            .map(|(key, address)| format!("ingest.{key} = {address} is kept; its listener comes with a later version"))
            .collect()
    }

    /// The effective configuration as TOML, without secrets.
    ///
    /// # Errors
    /// If it cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        #[derive(Serialize)]
        struct Printed<'a> {
            #[serde(flatten)]
            config: &'a ChannelConfig,
            #[serde(skip_serializing_if = "Option::is_none")]
            stream_key: Option<&'static str>,
        }
        #[derive(Serialize)]
        struct Channels<'a> {
            channel: Vec<Printed<'a>>,
        }
        let mut shown = Config { channel: Vec::new(), ..self.clone() };
        shown.ingest.authorize_url = without_secrets(&shown.ingest.authorize_url);
        let mut text = toml::to_string(&shown)?;
        text = text.replace("channel = []\n\n", "").replace("channel = []\n", "");
        if !self.channel.is_empty() {
            let channel = self
                .channel
                .iter()
                .map(|config| Printed { config, stream_key: config.stream_key.as_ref().map(|_| "(redacted)") })
                .collect();
            text.push('\n');
            text.push_str(&toml::to_string(&Channels { channel })?);
        }
        Ok(text)
    }
}

/// A URL without what may be a secret in it: user and password, and the query.
fn without_secrets(url: &str) -> String {
    let (place, query) = url.split_once('?').map_or((url, ""), |(place, _)| (place, "?(redacted)"));
    let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://(redacted)@{host}{path}{query}"),
        None => format!("{place}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_what_may_be_secret() {
        for (url, want) in [
            ("", ""),
            ("https://a.example/b", "https://a.example/b"),
            ("https://a.example/b?token=c&d", "https://a.example/b?(redacted)"),
            ("https://user:pass@a.example:1/b@c", "https://(redacted)@a.example:1/b@c"),
            ("https://user:p@ss@a.example?x", "https://(redacted)@a.example?(redacted)"),
        ] {
            assert_eq!(without_secrets(url), want);
        }
    }
}

//! Every setting of the server, with its default. The doc comments are the reference page: keep them for users.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use millstream_access::secret::Secret;
use millstream_control::channel::{ChannelConfig, Seconds};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

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
    /// Requests for pages and the API that one client address (an IPv6 /64 is one) may make in a second, twice that in a
    /// burst; 0 for no limit. Loopback has none. Behind `access.trusted_proxies` the address that they say counts.
    pub page_requests_per_second_per_address: u32,
    /// Most RTMP connections at once, 1 to 10000.
    pub rtmp_connections: u32,
    /// Most RTMP connections at once from one address, 1 to 10000.
    pub rtmp_connections_per_address: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            http_connections: 20_000,
            http_connections_per_address: 4000,
            page_requests_per_second_per_address: 500,
            rtmp_connections: 500,
            rtmp_connections_per_address: 50,
        }
    }
}

/// The edge role (`--role edge`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// Servers that the edge asks, the preferred one first: `http://HOST:PORT` or `https://HOST`. Origins, or other edges.
    pub origins: Vec<String>,
    /// PEM file with certificates that sign the origins', besides those of the system.
    #[schema(value_type = String)]
    pub origin_ca: PathBuf,
    /// Secret that is sent to the origins, as `origin.secrets` there has it; at least 16 characters.
    #[schema(value_type = String)]
    pub origin_secret: Secret,
    /// File with that secret instead, in one line; a change counts within seconds.
    #[schema(value_type = String)]
    pub origin_secret_file: PathBuf,
    /// Header in which it is sent: `origin.secret_header` of the origins.
    pub origin_secret_header: String,
    /// PEM file with the certificate that the edge shows to origins, for those with `origin.client_ca`. Read at the start.
    #[schema(value_type = String)]
    pub origin_certificate: PathBuf,
    /// PEM file with its private key.
    #[schema(value_type = String)]
    pub origin_key: PathBuf,
    /// Bytes of objects kept in memory.
    pub memory_bytes: u64,
    /// Bytes of media kept on disk; 0 keeps none, less than 67108864 counts as that.
    pub disk_bytes: u64,
    /// Folder of the disk cache; `edge-cache` in the data folder if empty.
    #[schema(value_type = String)]
    pub disk_path: PathBuf,
    /// Time without a word from an origin after which the next one is asked, too, in milliseconds; what is held on
    /// purpose counts from when it is due. Raise it for origins that are far away.
    pub failover_ms: u32,
    /// Requests that one client address may make in a second, twice that in a burst; 0 for no limit. Loopback has none.
    pub requests_per_second_per_address: u32,
    /// Requests of one client address that may wait for an origin at once; 0 for no limit. Loopback has none.
    pub waiting_per_address: u32,
}

impl Default for Edge {
    fn default() -> Self {
        Edge {
            origins: Vec::new(),
            origin_ca: PathBuf::new(),
            origin_secret: Secret::default(),
            origin_secret_file: PathBuf::new(),
            origin_secret_header: super::protection::SECRET_HEADER.to_owned(),
            origin_certificate: PathBuf::new(),
            origin_key: PathBuf::new(),
            memory_bytes: 512 << 20,
            disk_bytes: 0,
            disk_path: PathBuf::new(),
            failover_ms: 150,
            requests_per_second_per_address: 4000,
            waiting_per_address: 4000,
        }
    }
}

/// Who may watch: URLs and cookies signed in CloudFront's format, checked by origins and edges (docs/access.md).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Whether every media request needs a signed URL or signed cookies.
    pub require: bool,
    /// Paths that need one, if not all do: a request whose path begins so, such as `/live/news/`.
    pub paths: Vec<String>,
    /// Folder of trusted public keys, each in a file `KEY-PAIR-ID.pem`, also in folders that are key groups; `keys` in the
    /// data folder if empty. Changes count within seconds.
    #[schema(value_type = String)]
    pub keys: PathBuf,
    /// Folder of private keys, each in a file `KEY-PAIR-ID.private.pem`, with which `POST /api/v1/sign` signs; `signing` in
    /// the data folder if empty.
    #[schema(value_type = String)]
    pub signing_keys: PathBuf,
    /// Key groups that are trusted, besides the keys that are in none; all if empty.
    pub groups: Vec<String>,
    /// Networks from which no signature is needed: edges that checked it already. Addresses of connections.
    pub edges: Vec<String>,
    /// Networks of proxies whose word about a viewer is believed: its address, scheme and host.
    pub trusted_proxies: Vec<String>,
    /// Which headers these proxies set themselves: `x-forwarded` for `X-Forwarded-For`, `-Proto` and `-Host`; `cloudfront`
    /// for `CloudFront-Viewer-Address`, `CloudFront-Forwarded-Proto` and `CloudFront-Viewer-Country`.
    #[schema(value_type = String)]
    pub proxy_headers: ProxyHeaders,
    /// Web sites, such as `https://app.example`, whose pages may send signed cookies to this server from another host.
    pub sites: Vec<String>,
}

/// What trusted proxies say, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeaders {
    /// As most proxies and load balancers.
    #[default]
    XForwarded,
    /// As CloudFront.
    Cloudfront,
}

impl From<ProxyHeaders> for millstream_delivery::viewer::ProxyHeaders {
    fn from(headers: ProxyHeaders) -> Self {
        match headers {
            ProxyHeaders::XForwarded => Self::XForwarded,
            ProxyHeaders::Cloudfront => Self::CloudFront,
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

    /// Checks what no type says. Each error names its section and key.
    pub fn check(&self) -> Vec<(&'static str, &'static str, String)> {
        let mut errors = Vec::new();
        if self.server.http == Address::OFF {
            errors.push(("server", "http", "cannot be off; give an address such as 127.0.0.1:8080".to_owned()));
        }
        for (key, file) in [("tls_certificate", &self.server.tls_certificate), ("tls_key", &self.server.tls_key)] {
            if self.server.https != Address::OFF && file.as_os_str().is_empty() {
                errors.push(("server", key, "is needed for server.https; name a PEM file".to_owned()));
            }
        }
        if self.server.data_dir.as_os_str().is_empty() {
            errors.push(("server", "data_dir", "is empty; name a folder such as ./millstream-data".to_owned()));
        }
        let url = &self.archive.url;
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        if !url.is_empty() && (!["file", "s3", "s3a", "gs", "gcs", "az", "azure"].contains(&scheme) || rest.is_empty())
        {
            let mend =
                "use file://FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX, or leave it out";
            errors.push(("archive", "url", format!("is {url:?}; {mend}")));
        }
        if !["", "path", "virtual"].contains(&self.archive.addressing.as_str()) {
            let value = &self.archive.addressing;
            errors.push(("archive", "addressing", format!("is {value:?}; use path or virtual, or leave it out")));
        }
        for (key, networks) in [("edges", &self.access.edges), ("trusted_proxies", &self.access.trusted_proxies)] {
            if let Some(Err(error)) =
                networks.iter().map(|n| millstream_access::network::Network::parse(n)).find(Result::is_err)
            {
                errors.push(("access", key, error.to_string()));
            }
        }
        let hook = &self.ingest.authorize_url;
        if !hook.is_empty() {
            if !hook.starts_with("http://") && !hook.starts_with("https://") {
                errors.push(("ingest", "authorize_url", "is no URL; write https://HOST/PATH".to_owned()));
            }
            if self.ingest.authorize_secret.expose().len() < 16 {
                let mend = "needs at least 16 characters, by which the service knows that it is this server that asks";
                errors.push(("ingest", "authorize_secret", mend.to_owned()));
            }
        }
        if !(100..=10_000).contains(&self.ingest.authorize_seconds.millis()) {
            let value = self.ingest.authorize_seconds;
            errors.push(("ingest", "authorize_seconds", format!("is {value}; use 0.1 to 10")));
        }
        if self.access.paths.iter().any(|path| !path.starts_with("/live/") && !path.starts_with("/vod/")) {
            errors.push(("access", "paths", "must begin with /live/ or /vod/, such as /live/news/".to_owned()));
        }
        self.operators.check(&mut errors);
        self.origin.check(self.server.https != Address::OFF, &mut errors);
        self.viewers.check(&mut errors);
        super::protection::check_edge(&self.edge, &mut errors);
        if let Err(error) = millstream_telemetry::log::check(&self.log.level) {
            errors.push(("log", "level", format!("is not valid: {error}")));
        }
        for (key, value, most) in [
            ("http_connections", self.limits.http_connections, 1_000_000),
            ("rtmp_connections", self.limits.rtmp_connections, 10_000),
            ("rtmp_connections_per_address", self.limits.rtmp_connections_per_address, 10_000),
        ] {
            if !(1..=most).contains(&value) {
                errors.push(("limits", key, format!("is {value}; use 1 to {most}")));
            }
        }
        if self.limits.http_connections_per_address > 1_000_000 {
            let value = self.limits.http_connections_per_address;
            errors.push(("limits", "http_connections_per_address", format!("is {value}; use 0 to 1000000")));
        }
        errors
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
        let mut text = toml::to_string(&Config { channel: Vec::new(), ..self.clone() })?;
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

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(Option<SocketAddr>);

impl Address {
    /// Do not listen.
    pub const OFF: Address = Address(None);

    /// A port of the loopback address.
    pub const fn local(port: u16) -> Self {
        Address(Some(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)))
    }

    /// The address; `None` if off.
    pub const fn get(self) -> Option<SocketAddr> {
        self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("off"),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        match text.as_str() {
            "off" => Ok(Address::OFF),
            text => match text.parse() {
                Ok(address) => Ok(Address(Some(address))),
                Err(_) => Err(serde::de::Error::custom(format!(
                    "{text:?} is no address; write IP:PORT such as 127.0.0.1:8080 (0.0.0.0 for all interfaces), or off"
                ))),
            },
        }
    }
}

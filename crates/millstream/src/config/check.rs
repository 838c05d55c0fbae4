//! What no type says of a configuration: values that do not fit, or not together.

use super::address::Address;
use super::settings::Config;

impl Config {
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
        for error in self.access.sites.iter().filter_map(|text| super::protection::site(text).err()) {
            errors.push(("access", "sites", error));
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
}

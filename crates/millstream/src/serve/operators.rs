//! Who may use the API, as the configuration has it, and the first token.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use millstream_access::operator::{Token, TokenHash, session};
use millstream_control::operators::{Operators, Settings};
use millstream_media::time::Clock;

use crate::cli::client::{DEFAULT_SERVER, base_of_address};
use crate::config::Config;

/// The file of tokens and users in the data folder.
const FILE: &str = "operators.json";

/// Reads tokens and users. With them comes the first token, where there has to be one.
///
/// # Errors
/// The file is there and cannot be used.
pub fn open(
    config: &Config,
    listening: &BTreeMap<String, String>,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<Operators>, Option<Token>)> {
    let settings = settings(config, listening);
    let has_tls = listening.contains_key("https");
    if settings.beyond_loopback && !has_tls {
        tracing::warn!(
            "the API can be reached from other machines without TLS: passwords and tokens can be read on the way; set \
             server.https, or put a proxy with TLS before it"
        );
    }
    Ok(Operators::open(config.server.data_dir.join(FILE), settings, Arc::clone(clock))?)
}

/// An edge has no tokens and users but those of its configuration.
pub fn of_edge(config: &Config, listening: &BTreeMap<String, String>, clock: &Arc<dyn Clock>) -> Arc<Operators> {
    Operators::of_configuration(settings(config, listening), Arc::clone(clock))
}

fn settings(config: &Config, listening: &BTreeMap<String, String>) -> Settings {
    let set = &config.operators;
    let beyond = |address: &String| !address.parse::<SocketAddr>().is_ok_and(|a| a.ip().to_canonical().is_loopback());
    Settings {
        require: set.require,
        beyond_loopback: ["http", "https", "http3"].iter().filter_map(|name| listening.get(*name)).any(beyond),
        admin_token: TokenHash::of(set.admin_token.expose()),
        viewer_token: TokenHash::of(set.viewer_token.expose()),
        sessions: session::Config {
            idle: Duration::from_secs(u64::from(set.idle_minutes) * 60),
            longest: Duration::from_secs(u64::from(set.session_hours) * 3600),
            ..session::Config::default()
        },
    }
}

/// Says on standard error, and nowhere else, how somebody becomes the first admin.
pub fn print_first(token: &Token, listening: &BTreeMap<String, String>) {
    let base = listening.get("http").and_then(|address| base_of_address(address)).unwrap_or_default();
    let server = if base == DEFAULT_SERVER { String::new() } else { format!(" --server {base}") };
    eprintln!(
        "
The API and the console need an operator, and there is no admin yet. This token is one until it has made another, for a
day at most; the next start prints a new one:

    {}

On this machine:  MILLSTREAM_TOKEN=… millstream user add NAME --role admin{server}
Then open the console at {base}/ and log in; or log in there with the token, and add a user. More: docs/access.md.
",
        token.expose()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_beyond_this_machine() {
        let config = Config::default();
        for (name, address, want) in [
            ("http", "127.0.0.1:8080", false),
            ("http", "[::1]:8080", false),
            ("http", "[::ffff:127.0.0.1]:8080", false),
            ("http", "0.0.0.0:8080", true),
            ("http", "[::]:8080", true),
            ("https", "192.168.1.5:443", true),
            ("https", "unreadable", true),
            ("rtmp", "0.0.0.0:1935", false),
        ] {
            let listening = BTreeMap::from([(name.to_owned(), address.to_owned())]);
            assert_eq!(settings(&config, &listening).beyond_loopback, want, "{name} {address}");
        }
        assert!(settings(&config, &BTreeMap::new()).admin_token.is_none(), "an empty setting is no token");
    }
}

//! The commands against the real API on a free port, and an archive in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use millstream_archive::asset::{Asset, AssetId, State};
use millstream_archive::library::Library;
use millstream_archive::{Store, documents};
use millstream_control::api::{ApiState, PeerAddr, Signer, router};
use millstream_control::documents::Documents;
use millstream_control::operators::{Operators, Settings as OperatorSettings};
use millstream_control::registry::Registry;
use millstream_media::time::{Clock, MonoTime};

use super::*;
use crate::cli::{Cli, Command};

const NOW: UtcTime = UtcTime::from_millis(1_795_386_300_000);

struct Still;

impl Clock for Still {
    fn utc(&self) -> UtcTime {
        NOW
    }
    fn mono(&self) -> MonoTime {
        MonoTime(Duration::ZERO)
    }
}

struct Server {
    client: Client,
    store: Store,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let documents = Documents::local(folder.path()).unwrap();
        let registry = runtime.block_on(Registry::open(documents, Vec::new(), Arc::new(Still))).unwrap();
        let store = Store::open("memory://", &Default::default(), Arc::new(Still)).unwrap();
        let operators = Operators::of_configuration(OperatorSettings::default(), Arc::new(Still));
        let state = ApiState {
            registry,
            operators,
            openid: None,
            library: Library::new(store.clone(), Default::default(), Default::default()),
            clock: Arc::new(Still),
            started: MonoTime(Duration::ZERO),
            listening: Default::default(),
            hosts: Vec::new(),
            signer: Signer::new("no-folder".into()),
        };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let peer: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let app = router(state).layer(axum::Extension(PeerAddr(peer)));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Server { client: Client::new(&format!("http://{address}")).unwrap(), store, runtime, _folder: folder }
    }

    fn put(&self, id: &str, created_ago: u64) {
        let mut asset = Asset::recording(AssetId::new(id).unwrap(), "news", NOW - Duration::from_secs(created_ago), 2);
        asset.state = State::Ended;
        asset.start = Some(asset.created);
        asset.end = Some(asset.created + Duration::from_secs(125));
        asset.bytes = 2_500_000;
        self.runtime.block_on(documents::create_asset(&self.store, &asset)).unwrap();
    }

    fn run(&self, line: &[&str]) -> Result<String> {
        let words = ["millstream", "asset"].iter().chain(line);
        let Command::Asset(args) = Cli::try_parse_from(words)?.command else { bail!("not an asset command") };
        let mut out = Vec::new();
        run(&self.client, &args.action, NOW, args.target.json, &mut out)?;
        Ok(String::from_utf8(out)?)
    }
}

#[test]
fn assets_are_listed_shown_renamed_and_deleted() {
    let server = Server::start();
    assert!(server.run(&["list"]).unwrap().contains("no assets"));
    server.put("news-2", 300);
    server.put("news-1", 600);
    let listed = server.run(&["list", "--channel", "news"]).unwrap();
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines[0], "ID      KIND       STATE  START                DURATION  SIZE    TITLE");
    assert_eq!(lines[1], "news-2  recording  ended  2026-11-22 22:20:00  2:05      2.5 MB");
    let one = server.run(&["list", "--limit", "1"]).unwrap();
    assert!(one.contains("news-2") && !one.contains("news-1") && one.contains("there are more"), "{one}");
    let json: Value = serde_json::from_str(&server.run(&["list", "--limit", "1", "--json"]).unwrap()).unwrap();
    assert!(json["next"].is_string(), "{json}");

    assert_eq!(server.run(&["rename", "news-1", "Late news"]).unwrap(), "asset news-1 renamed\n");
    let shown = server.run(&["show", "news-1"]).unwrap();
    assert!(shown.lines().any(|l| l.starts_with("title") && l.ends_with("Late news")), "{shown}");
    let deleted = server.run(&["delete", "news-1"]).unwrap();
    assert_eq!(deleted, "asset news-1 plays no more; its media goes after 2026-11-22T23:25:00.000Z\n");
    let storage = server.run(&["storage"]).unwrap();
    assert!(
        storage.lines().any(|l| l.starts_with("news") && l.contains("5.0 MB") && l.ends_with("2.5 MB")),
        "{storage}"
    );
}

#[test]
fn mistakes_are_said_with_the_mend() {
    let server = Server::start();
    server.put("a", 100);
    for (line, message) in [
        (&["show", "none"][..], "`millstream asset list` shows those there are"),
        (&["show", "../server"], "is not allowed"),
        (&["list", "--kind", "film"], "give recording, import or clip"),
        (&["list", "--limit", "0"], "give 1 or more"),
        (&["clip", "news", "--start", "-90s"], "channel news has no recording"),
        (&["clip", "news", "--start", "-1m", "--end", "-2m"], "is not after start"),
        (&["clip", "news", "--start", "yesterday"], "-90s, -5m"),
        (&["clip", "--asset", "a", "--start", "-90s", "--precise"], "no encode worker; leave `precise` out"),
        (&["clip", "--start", "-90s"], "required"),
        (&["clip", "news", "--asset", "a", "--start", "-90s"], "cannot be used with"),
    ] {
        let error = format!("{:#}", server.run(line).unwrap_err());
        assert!(error.contains(message), "{line:?}: {error}");
    }
}

//! The commands against the real API on a free port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use millstream_archive::library::Library;
use millstream_control::api::{ApiState, PeerAddr, Signer, router};
use millstream_control::documents::Documents;
use millstream_control::operators::{Operators, Settings as OperatorSettings};
use millstream_control::registry::Registry;
use millstream_media::time::{Clock, MonoTime, UtcTime};
use serde_json::json;

use super::*;
use crate::cli::{Cli, Command};

struct Still;

impl Clock for Still {
    fn utc(&self) -> UtcTime {
        UtcTime::from_millis(1_721_482_857_600)
    }
    fn mono(&self) -> MonoTime {
        MonoTime(Duration::ZERO)
    }
}

struct Server {
    client: Client,
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let documents = Documents::local(folder.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let registry = runtime.block_on(Registry::open(documents, Vec::new(), Arc::new(Still))).unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("file://{}", folder.path().display());
        let store = millstream_archive::Store::open(&url, &Default::default(), Arc::new(Still)).unwrap();
        let operators = Operators::of_configuration(OperatorSettings::default(), Arc::new(Still));
        let state = ApiState {
            registry,
            operators,
            openid: None,
            library: Library::new(store, Default::default(), Default::default()),
            clock: Arc::new(Still),
            started: MonoTime(Duration::ZERO),
            listening: [("rtmp".to_owned(), "127.0.0.1:1935".to_owned())].into(),
            hosts: Vec::new(),
            signer: Signer::new("no-folder".into()),
        };
        let peer: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let app = router(state).layer(axum::Extension(PeerAddr(peer)));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Server { client: Client::new(&format!("http://{address}")).unwrap(), _runtime: runtime, _folder: folder }
    }

    fn run(&self, line: &[&str]) -> Result<String> {
        let words = ["millstream", "channel"].iter().chain(line);
        let Command::Channel(args) = Cli::try_parse_from(words)?.command else { bail!("not a channel command") };
        let mut out = Vec::new();
        run(&self.client, &args.action, args.target.json, &mut out)?;
        Ok(String::from_utf8(out)?)
    }
}

#[test]
fn a_channel_from_creation_to_deletion() {
    let server = Server::start();
    assert!(server.run(&["list"]).unwrap().contains("create one with"));
    let created = server.run(&["create", "news", "--title", "News", "--set", "dvr_seconds=60"]).unwrap();
    assert!(
        created.starts_with("channel news created\n  server      rtmp://127.0.0.1:1935/live\n  stream key  ms_"),
        "{created}"
    );
    assert!(created.contains("/watch/news\n"), "{created}");

    let listed = server.run(&["list"]).unwrap();
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines[0], "NAME  STATE    MODE  ENABLED  VIEWERS  SINCE                     TITLE");
    assert_eq!(lines[1], "news  offline  abr   true     0        2024-07-20T13:40:57.600Z  News");
    let json: Value = serde_json::from_str(&server.run(&["show", "news", "--json"]).unwrap()).unwrap();
    assert_eq!(json["config"]["dvr_seconds"], 60);

    assert_eq!(server.run(&["update", "news", "--set", "frame_rate=30000/1001"]).unwrap(), "channel news changed\n");
    let shown = server.run(&["show", "news"]).unwrap();
    assert!(shown.lines().any(|l| l.starts_with("config.frame_rate") && l.ends_with("30000/1001")), "{shown}");
    assert_eq!(server.run(&["stop", "news"]).unwrap(), "channel news stopped\n");
    assert_eq!(server.run(&["start", "news"]).unwrap(), "channel news started\n");
    let rotated = server.run(&["rotate-key", "news", "--stream-key", "my-own-key", "--json"]).unwrap();
    assert!(rotated.contains("my-own-key"));
    assert_eq!(server.run(&["delete", "news"]).unwrap(), "channel news deleted\n");
}

#[test]
fn what_the_server_refuses_is_said_with_the_mend() {
    let server = Server::start();
    server.run(&["create", "a"]).unwrap();
    for (line, message) in [
        (&["create", "a"][..], "channel a is there already"),
        (&["create", "b", "--mode", "fast"], "expected one of `abr`, `passthrough`, `cmaf`"),
        (&["create", "b", "--set", "dvr=1"], "did you mean dvr_seconds"),
        (&["create", "b", "--set", "dvr_seconds"], "write --set KEY=VALUE"),
        (&["create", "b", "--set", "ladder=@/nowhere.json"], "/nowhere.json cannot be read"),
        (&["show", "c"], "there is no channel c"),
        (&["show", "../server"], "is not allowed"),
        (&["update", "a"], "nothing to change"),
    ] {
        let error = format!("{:#}", server.run(line).unwrap_err());
        assert!(error.contains(message), "{line:?}: {error}");
    }
}

#[test]
fn values_are_json_or_text() {
    let settings = Settings {
        set: ["a=1", "b=true", "c=null", "d=auto", "e=30000/1001", "f=\"7\"", "g=[1]", "h=x=y"]
            .map(str::to_owned)
            .into(),
        title: Some("7".into()),
        mode: None,
    };
    assert_eq!(
        Value::Object(settings.to_json().unwrap()),
        json!({"a": 1, "b": true, "c": null, "d": "auto", "e": "30000/1001", "f": "7", "g": [1], "h": "x=y", "title": "7"})
    );
}

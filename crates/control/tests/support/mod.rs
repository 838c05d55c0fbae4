//! A node's control side on a temporary folder and a clock that stands still.
#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "part of a test, of which each file uses a part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use millstream_archive::Store;
use millstream_archive::library::Library;
use millstream_archive::retention::Policy;
use millstream_archive::running::Running;
use millstream_control::api::{ApiState, PeerAddr, Signer, router};
use millstream_control::channel::{ChannelConfig, ChannelName};
use millstream_control::documents::Documents;
use millstream_control::operators::openid::OpenId;
use millstream_control::operators::{Operators, Settings};
use millstream_control::registry::{Refusal, Registry};
use millstream_media::time::{Clock, MonoTime, UtcTime};
use serde_json::{Value, json};
use tower::ServiceExt;

/// 2024-07-20T13:40:57.600Z, 90 s after the start.
pub struct Still;

impl Clock for Still {
    fn utc(&self) -> UtcTime {
        UtcTime::from_millis(1_721_482_857_600)
    }
    fn mono(&self) -> MonoTime {
        MonoTime(Duration::from_secs(90))
    }
}

pub fn name(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

pub fn config(value: Value) -> ChannelConfig {
    ChannelConfig::from_json(value).unwrap()
}

pub async fn open(folder: &tempfile::TempDir, configured: Vec<ChannelConfig>) -> Arc<Registry> {
    let documents = Documents::local(folder.path()).unwrap();
    Registry::open(documents, configured, Arc::new(Still)).await.unwrap()
}

/// The channel that a key opens from this machine.
pub fn opens(registry: &Registry, app: &str, key: &str) -> Result<ChannelName, Refusal> {
    registry.authorize(app, key, "127.0.0.1".parse().unwrap()).map(|opened| opened.channel)
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Checks that this is a problem of `status` and returns its detail.
    pub fn problem(&self, status: u16) -> String {
        let body = self.json();
        assert_eq!(self.status.as_u16(), status, "{body}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!((&body["type"], &body["status"]), (&json!("about:blank"), &json!(status)));
        body["detail"].as_str().unwrap().to_owned()
    }
}

pub struct Api {
    pub router: Router,
    pub registry: Arc<Registry>,
    pub store: Store,
    pub running: Running,
    _folder: tempfile::TempDir,
}

impl Api {
    pub async fn new() -> Self {
        Self::with(Operators::of_configuration(Settings::default(), Arc::new(Still))).await
    }

    pub async fn with(operators: Arc<Operators>) -> Self {
        Self::with_issuer(operators, None).await
    }

    pub async fn with_issuer(operators: Arc<Operators>, openid: Option<Arc<OpenId>>) -> Self {
        let file = config(json!({"name": "file", "stream_key": "key-in-the-file"}));
        let folder = tempfile::tempdir().unwrap();
        let registry = open(&folder, vec![file]).await;
        let memory = Arc::new(object_store::memory::InMemory::new());
        let store = Store::new(memory, Default::default(), "memory://", false, Arc::new(Still));
        let running = Running::default();
        let library = Library::new(store.clone(), running.clone(), Policy::default());
        let state = ApiState {
            registry: registry.clone(),
            operators,
            openid,
            library,
            clock: Arc::new(Still),
            started: MonoTime(Duration::from_secs(30)),
            listening: [("http".to_owned(), "127.0.0.1:8080".to_owned())].into(),
            hosts: Vec::new(),
            signer: Signer::new(folder.path().join("signing")),
        };
        Api { router: Router::new().merge(router(state)), registry, store, running, _folder: folder }
    }

    /// Where its documents and keys lie.
    pub fn folder(&self) -> &std::path::Path {
        self._folder.path()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub fn request(method: &str, path: &str) -> http::request::Builder {
        let peer: SocketAddr = "127.0.0.1:50000".parse().unwrap();
        Request::builder().method(method).uri(path).header("host", "localhost:8080").extension(PeerAddr(peer))
    }

    pub async fn call(&self, method: &str, path: &str) -> Answer {
        self.send(Self::request(method, path).body(Body::empty()).unwrap()).await
    }

    pub async fn call_with(&self, method: &str, path: &str, body: Value) -> Answer {
        let request = Self::request(method, path).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}

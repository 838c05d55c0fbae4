//! The listener on real sockets: admission, one publisher for each channel, back-pressure, the end.
#![allow(clippy::expect_used, reason = "test harness")]
#![allow(clippy::disallowed_methods, reason = "the clock of these tests")]

mod support;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millstream_ingest::listener::{Admission, Authorizer, Config, Listener};
use millstream_ingest::rtmp::amf0::Value;
use millstream_ingest::rtmp::{self, CloseReason, PublishRequest, Refusal};
use millstream_ingest::source::{EndReason, SourceEvent, SourceInfo, SourceMessage};
use millstream_media::time::{Clock, MonoTime, UtcTime};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Nothing in these tests takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Real time, plus what a test has added.
struct TestClock {
    start: Instant,
    added: Mutex<Duration>,
}

impl TestClock {
    fn advance(&self, by: Duration) {
        *self.added.lock().expect("the clock") += by;
    }
}

impl Clock for TestClock {
    fn utc(&self) -> UtcTime {
        UtcTime(1_795_348_800_000_000_000) + self.mono().0
    }

    fn mono(&self) -> MonoTime {
        MonoTime(self.start.elapsed() + *self.added.lock().expect("the clock"))
    }
}

struct OneChannel {
    events: mpsc::Sender<SourceMessage>,
}

impl Authorizer for OneChannel {
    async fn authorize(&self, request: PublishRequest, _peer: SocketAddr) -> Result<Admission, Refusal> {
        match request.key.expose() {
            KEY => Ok(Admission::new("demo", self.events.clone())),
            "slow" => std::future::pending().await,
            _ => Err(Refusal::BadKey),
        }
    }
}

/// A running listener with one channel.
struct Server {
    address: SocketAddr,
    clock: Arc<TestClock>,
    events: mpsc::Receiver<SourceMessage>,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(config: Config, queue: usize) -> Server {
        let clock = Arc::new(TestClock { start: Instant::now(), added: Mutex::new(Duration::ZERO) });
        let (sender, events) = mpsc::channel(queue);
        let authorizer = OneChannel { events: sender };
        let listener = Listener::bind("127.0.0.1:0", config, authorizer, clock.clone()).await.expect("bind");
        let address = listener.local_addr().expect("bound");
        let (shutdown, stop) = oneshot::channel();
        let task = tokio::spawn(listener.run(async {
            let _ = stop.await;
        }));
        Server { address, clock, events, shutdown, task }
    }

    async fn next(&mut self) -> SourceMessage {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("an event")
    }

    async fn started(&mut self) -> SourceInfo {
        match self.next().await.event {
            SourceEvent::Started(info) => info,
            other => panic!("{other:?}"),
        }
    }

    async fn ended(&mut self) -> EndReason {
        loop {
            if let SourceEvent::Ended(reason) = self.next().await.event {
                return reason;
            }
        }
    }
}

/// A [`Client`] on a socket.
struct Encoder {
    client: Client,
    stream: TcpStream,
}

impl Encoder {
    async fn connect(server: &Server, key: &str) -> Encoder {
        let stream = TcpStream::connect(server.address).await.expect("connect");
        Encoder { client: Client::new("live", key), stream }
    }

    async fn send(&mut self) {
        let bytes = self.client.take_output();
        self.stream.write_all(&bytes).await.expect("send");
    }

    /// Reads once; false when the server has hung up.
    async fn read(&mut self) -> bool {
        let mut buffer = [0; 16_384];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("an answer in time");
        let n = read.unwrap_or(0);
        self.client.handle_input(&buffer[..n]);
        n > 0
    }

    /// Talks until it is publishing or the server hangs up.
    async fn publish(&mut self) -> bool {
        loop {
            self.send().await;
            if self.client.publishing || !self.read().await {
                return self.client.publishing;
            }
        }
    }

    async fn publishing(server: &Server) -> Encoder {
        let mut encoder = Encoder::connect(server, KEY).await;
        assert!(encoder.publish().await, "{:?}", encoder.client.codes);
        encoder
    }

    async fn headers(&mut self) {
        self.client.video(0, &avc(true, 0, 0, AVCC));
        self.client.audio(0, &aac(0, ASC));
        self.send().await;
    }

    async fn frame(&mut self, timestamp: u32, bytes: usize) {
        let nal = vec![0x65; bytes];
        self.client.video(timestamp, &avc(true, 1, 40, &nals(&[&nal])));
        self.send().await;
    }

    async fn hung_up(&mut self) {
        while self.read().await {}
    }
}

#[tokio::test]
async fn a_contribution_comes_through_in_order() {
    let mut server = Server::start(Config::default(), 4).await;
    let mut encoder = Encoder::publishing(&server).await;
    let info = server.started().await;
    assert_eq!(info.encoder.as_deref(), Some("FMLE/3.0 (compatible; FMSc/1.0)"));
    encoder.headers().await;
    for k in 0..3 {
        encoder.frame(k * 40, 100).await;
    }
    encoder.client.unpublish();
    encoder.send().await;
    let mut story = Vec::new();
    loop {
        match server.next().await.event {
            SourceEvent::VideoConfig(_) => story.push("video config".to_owned()),
            SourceEvent::AudioConfig(_) => story.push("audio config".to_owned()),
            SourceEvent::Unit { unit, arrived } => {
                assert!(arrived >= info.started);
                story.push(format!("{} {}", unit.media, unit.dts.0 / 1_000_000));
            }
            SourceEvent::Ended(reason) => {
                assert_eq!(reason, EndReason::Unpublished);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(story, ["video config", "audio config", "video 0", "video 40", "video 80"]);
    assert!(info.bytes_in.get() > 3000);
    // The connection stays: the encoder may publish again, and hangs up itself.
    encoder.client.publishing = false;
    encoder.client.invoke(&["publish".into(), Value::from(8.0), Value::Null, KEY.into(), "live".into()]);
    assert!(encoder.publish().await);
    server.started().await;
}

/// STANDARDS 6.9, CHECK-6a: the code, within a second, and never Publish.Start.
#[tokio::test]
async fn a_bad_key_is_denied_at_once() {
    let mut server = Server::start(Config::default(), 4).await;
    let began = Instant::now();
    let mut encoder = Encoder::connect(&server, "wrong").await;
    assert!(!encoder.publish().await);
    encoder.hung_up().await;
    assert_eq!(encoder.client.codes, ["NetConnection.Connect.Success", "NetStream.Publish.Denied"]);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(server.events.try_recv().is_err());
}

/// Sends frames until `done`.
async fn frames_until(encoder: &mut Encoder, server: &mut Server, done: impl Future<Output = ()>) {
    tokio::pin!(done);
    for k in 0.. {
        encoder.frame(k * 40, 100).await;
        tokio::select! {
            () = &mut done => return,
            _ = server.next() => {}
        }
    }
}

#[tokio::test]
async fn a_second_publisher_is_refused_and_the_first_goes_on() {
    let mut server = Server::start(Config::default(), 16).await;
    let mut first = Encoder::publishing(&server).await;
    server.started().await;
    first.headers().await;
    let mut second = Encoder::connect(&server, KEY).await;
    let refused = async {
        assert!(!second.publish().await);
        assert_eq!(second.client.codes, ["NetConnection.Connect.Success", "NetStream.Publish.BadName"]);
    };
    let began = Instant::now();
    frames_until(&mut first, &mut server, refused).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    first.client.unpublish();
    first.send().await;
    assert_eq!(server.ended().await, EndReason::Unpublished);
}

#[tokio::test]
async fn a_publisher_silent_for_two_seconds_is_taken_over() {
    let mut server = Server::start(Config::default(), 16).await;
    let mut first = Encoder::publishing(&server).await;
    server.started().await;
    first.headers().await;
    for _ in 0..2 {
        server.next().await;
    }
    server.clock.advance(Duration::from_secs(2));
    let mut second = Encoder::publishing(&server).await;
    let (mut started, mut ended) = (None, None);
    for _ in 0..2 {
        let message = server.next().await;
        match message.event {
            SourceEvent::Started(_) => started = Some(message.connection),
            SourceEvent::Ended(reason) => ended = Some((message.connection, reason)),
            other => panic!("{other:?}"),
        }
    }
    let (old, reason) = ended.expect("the first one's end");
    assert_eq!(reason, EndReason::TakenOver);
    assert_ne!(Some(old), started);
    first.hung_up().await;
    second.headers().await;
    assert_eq!(Some(server.next().await.connection), started);
    // The channel is the second one's: a third is refused.
    let mut third = Encoder::connect(&server, KEY).await;
    let refused = async { assert!(!third.publish().await) };
    frames_until(&mut second, &mut server, refused).await;
}

#[tokio::test]
async fn a_channel_is_free_again_after_its_publisher_is_lost() {
    let mut server = Server::start(Config::default(), 16).await;
    let mut encoder = Encoder::publishing(&server).await;
    server.started().await;
    for _ in 0..3 {
        drop(encoder);
        assert_eq!(server.ended().await, EndReason::Disconnected);
        encoder = Encoder::publishing(&server).await;
        server.started().await;
    }
}

/// A full queue stops the reading; nothing is dropped.
#[tokio::test]
async fn a_slow_owner_slows_the_encoder_down() {
    let mut server = Server::start(Config::default(), 1).await;
    let mut encoder = Encoder::publishing(&server).await;
    let info = server.started().await;
    const FRAMES: u32 = 400;
    const BYTES: usize = 100_000;
    let sending = tokio::spawn(async move {
        encoder.headers().await;
        for k in 0..FRAMES {
            encoder.frame(k * 40, BYTES).await;
        }
        encoder.client.unpublish();
        encoder.send().await;
        encoder
    });
    let mut times = Vec::new();
    loop {
        match server.next().await.event {
            SourceEvent::Unit { unit, .. } => {
                times.push(unit.dts.0 / 40_000_000);
                // Ahead of the owner: one in the queue, one in hand, and one read.
                let most = (times.len() + 3) * BYTES + 100_000;
                assert!(
                    info.bytes_in.get() < most as u64,
                    "{} bytes read, {} units taken",
                    info.bytes_in.get(),
                    times.len()
                );
            }
            SourceEvent::Ended(reason) => {
                assert_eq!(reason, EndReason::Unpublished);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(times, (0..i64::from(FRAMES)).collect::<Vec<_>>());
    drop(sending.await.expect("the encoder"));
}

#[tokio::test]
async fn metadata_is_told_when_it_changes_and_trouble_with_it_once() {
    let mut server = Server::start(Config::default(), 16).await;
    let mut encoder = Encoder::publishing(&server).await;
    server.started().await;
    for width in [640.0, 640.0, 1280.0] {
        let properties = Value::object([("width", Value::from(width))]);
        encoder.client.data(&["@setDataFrame".into(), "onMetaData".into(), properties]);
        encoder.client.raw_data(&[2, 0, 9]);
    }
    encoder.client.unpublish();
    encoder.send().await;
    let mut story = Vec::new();
    loop {
        match server.next().await.event {
            SourceEvent::Metadata(metadata) => story.push(metadata.width.unwrap_or(0)),
            SourceEvent::Warning(_) => story.push(0),
            SourceEvent::Ended(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(story, [640, 0, 1280]);
}

#[tokio::test]
async fn an_owner_that_goes_away_ends_the_connection() {
    let server = Server::start(Config::default(), 16).await;
    let mut encoder = Encoder::publishing(&server).await;
    drop(server.events);
    encoder.headers().await;
    encoder.hung_up().await;
}

#[tokio::test]
async fn a_stalled_publisher_is_closed_and_reported() {
    let idle_timeout = Duration::from_millis(50);
    let session = rtmp::Config { idle_timeout, ..rtmp::Config::default() };
    let mut server = Server::start(Config { session, ..Config::default() }, 16).await;
    let mut encoder = Encoder::publishing(&server).await;
    server.started().await;
    let reason = server.ended().await;
    assert_eq!(reason, EndReason::Closed(CloseReason::Idle(idle_timeout)));
    assert_eq!(reason.to_string(), "no bytes from the encoder for 50ms");
    encoder.hung_up().await;
}

#[tokio::test]
async fn a_key_store_that_does_not_answer_is_not_waited_for() {
    let config = Config { authorize_timeout: Duration::from_millis(50), ..Config::default() };
    let server = Server::start(config, 16).await;
    let mut encoder = Encoder::connect(&server, "slow").await;
    assert!(!encoder.publish().await);
    assert_eq!(encoder.client.codes.last().map(String::as_str), Some("NetStream.Publish.Rejected"));
}

#[tokio::test]
async fn connections_of_one_address_are_bounded_and_places_come_back() {
    let config = Config { max_connections_per_address: 2, ..Config::default() };
    let mut server = Server::start(config, 16).await;
    let mut first = Encoder::publishing(&server).await;
    server.started().await;
    let idle = Encoder::connect(&server, KEY).await;
    let mut third = Encoder::connect(&server, KEY).await;
    third.hung_up().await;
    drop(idle);
    first.client.unpublish();
    first.send().await;
    assert_eq!(server.ended().await, EndReason::Unpublished);
    drop(first);
    loop {
        let mut again = Encoder::connect(&server, KEY).await;
        let mut byte = [0; 1];
        again.send().await;
        if again.stream.read(&mut byte).await.is_ok_and(|n| n == 1) {
            break;
        }
    }
}

/// One customer has a whole IPv6 /64: the owner says what counts as one.
#[tokio::test]
async fn addresses_of_one_client_are_counted_together() {
    let config =
        Config { max_connections_per_address: 1, counted_as: |_| IpAddr::from([127, 0, 0, 1]), ..Config::default() };
    let mut server = Server::start(config, 16).await;
    let _first = Encoder::publishing(&server).await;
    server.started().await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(server.address).await.unwrap();
    assert_eq!(other.read(&mut [0; 1]).await.unwrap_or(0), 0, "another address of the same client");
}

#[tokio::test]
async fn garbage_is_hung_up_on() {
    let mut server = Server::start(Config::default(), 16).await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[3; 100_000], &[0xff; 10]] {
        let mut stream = TcpStream::connect(server.address).await.expect("connect");
        // The server may hang up before it has read everything.
        let _ = stream.write_all(garbage).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("hung up in time");
    }
    assert!(server.events.try_recv().is_err());
    Encoder::publishing(&server).await;
}

#[tokio::test]
async fn shutdown_ends_every_connection() {
    let mut server = Server::start(Config::default(), 16).await;
    let mut encoder = Encoder::publishing(&server).await;
    server.started().await;
    let mut idle = Encoder::connect(&server, KEY).await;
    server.shutdown.send(()).expect("running");
    tokio::time::timeout(PATIENCE, async {
        encoder.hung_up().await;
        idle.hung_up().await;
        drop((encoder, idle));
        server.task.await.expect("no panic");
    })
    .await
    .expect("in time");
    let message = server.events.recv().await.expect("an event");
    assert!(matches!(message.event, SourceEvent::Ended(EndReason::Stopped)), "{message:?}");
    assert!(TcpStream::connect(server.address).await.is_err());
}

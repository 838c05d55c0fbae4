//! One RTMP connection: moves bytes between the socket and the pure session, and events to the channel's owner.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use millstream_media::time::UtcTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::flv::{Demuxer, Item, Metadata, Tag};
use crate::listener::{Admission, Authorizer, Shared};
use crate::rtmp::{CloseReason, Event, Output, PublishRequest, Refusal, Session};
use crate::source::{
    ByteCount, ConnectionId, EndReason, Protocol, SourceEvent, SourceInfo, SourceMessage, SourceWarning,
};

/// Bytes read at once; bounds what one step of the session can put out.
const READ_BYTES: usize = 64 * 1024;

/// After the last word: time and bytes for the peer to hang up in, so that a reset does not eat that word.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Time the owner has to take the `Ended` event off a full queue.
const ENDED_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a connection to its end.
pub(crate) async fn run<A: Authorizer>(
    shared: &Shared<A>,
    id: ConnectionId,
    stream: TcpStream,
    peer: SocketAddr,
    end: watch::Receiver<Option<EndReason>>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "rtmp: cannot set TCP_NODELAY");
    }
    let session = Session::new(shared.config.session.clone(), rand::random(), shared.clock.mono());
    let mut connection = Connection {
        shared,
        id,
        stream,
        peer,
        end,
        session,
        demuxer: Demuxer::new(),
        metadata: None,
        bad_metadata_told: false,
        admission: None,
        refusal_told: false,
        occupied: None,
        bytes_in: ByteCount::default(),
        out: BytesMut::new(),
    };
    let reason = connection.converse().await;
    connection.finish(reason).await;
}

struct Connection<'a, A> {
    shared: &'a Shared<A>,
    id: ConnectionId,
    stream: TcpStream,
    peer: SocketAddr,
    end: watch::Receiver<Option<EndReason>>,
    session: Session,
    demuxer: Demuxer,
    metadata: Option<Metadata>,
    bad_metadata_told: bool,
    admission: Option<Admission>,
    /// The authorizer has said why it refused.
    refusal_told: bool,
    /// The channel that another one publishes to.
    occupied: Option<String>,
    bytes_in: ByteCount,
    out: BytesMut,
}

impl<A: Authorizer> Connection<'_, A> {
    /// Reads, steps the session, writes, until something ends it.
    async fn converse(&mut self) -> EndReason {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let now = self.shared.clock.mono();
            let wait = self.session.poll_timeout().map_or(Duration::MAX, |at| at.since(now));
            tokio::select! {
                // Reading comes before the time-out: after a long wait for the owner, bytes may be there that show
                // the peer to be alive.
                biased;
                reason = ended(&mut self.end) => return reason,
                () = revoked(self.admission.as_mut().map(|a| &mut a.revoked)) => return EndReason::Revoked,
                read = self.stream.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return EndReason::Disconnected,
                    Ok(n) => {
                        self.bytes_in.add(n as u64);
                        self.session.handle_input(buffer.get(..n).unwrap_or_default(), self.shared.clock.mono());
                    }
                },
                () = tokio::time::sleep(wait) => self.session.handle_timeout(self.shared.clock.mono()),
            }
            let arrived = self.shared.clock.utc();
            if let Err(reason) = self.drain(arrived).await {
                return reason;
            }
        }
    }

    /// Does everything the session asks for. What it says is sent even when it is its last word.
    async fn drain(&mut self, arrived: UtcTime) -> Result<(), EndReason> {
        let mut result = Ok(());
        while let Some(output) = self.session.poll_output() {
            result = match output {
                Output::Send(bytes) => {
                    self.out.extend_from_slice(&bytes);
                    Ok(())
                }
                Output::Event(event) => self.event(event, arrived).await,
                Output::Close(reason) => Err(EndReason::Closed(reason)),
            };
            if result.is_err() {
                break;
            }
        }
        let flushed = self.flush().await;
        result.and(flushed)
    }

    async fn flush(&mut self) -> Result<(), EndReason> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = timeout(self.shared.config.write_timeout, self.stream.write_all(&self.out)).await;
        self.out.clear();
        match written {
            Ok(Ok(())) => Ok(()),
            _ => Err(EndReason::Disconnected),
        }
    }

    async fn event(&mut self, event: Event, arrived: UtcTime) -> Result<(), EndReason> {
        match event {
            Event::PublishRequest(request) => {
                self.flush().await?;
                match self.decide(request).await {
                    Ok(()) => self.session.accept(self.shared.clock.mono()),
                    Err(refusal) => self.session.reject(refusal),
                }
                Ok(())
            }
            Event::Tag(tag) => self.tag(&tag, arrived).await,
            Event::Metadata(metadata) => {
                if self.metadata.as_ref() == Some(&metadata) {
                    return Ok(());
                }
                self.metadata = Some(metadata.clone());
                self.deliver(SourceEvent::Metadata(metadata)).await
            }
            Event::BadMetadata(error) => {
                if std::mem::replace(&mut self.bad_metadata_told, true) {
                    return Ok(());
                }
                self.deliver(SourceEvent::Warning(SourceWarning::Metadata(error))).await
            }
            Event::Unpublished => {
                // The client hangs up itself (GStreamer takes it ill if the server does), or publishes again.
                self.conclude(EndReason::Unpublished).await;
                Ok(())
            }
        }
    }

    /// Asks the authorizer, claims the channel, and tells its owner.
    async fn decide(&mut self, request: PublishRequest) -> Result<(), Refusal> {
        let encoder = request.encoder.clone();
        let asked = self.shared.authorizer.authorize(request, self.peer);
        let admission = match timeout(self.shared.config.authorize_timeout, asked).await {
            Ok(answer) => {
                self.refusal_told = answer.is_err();
                answer?
            }
            Err(_) => return Err(Refusal::Unavailable),
        };
        if !self.shared.claim(&admission.channel, self.id, admission.takeover).await {
            self.occupied = Some(admission.channel);
            return Err(Refusal::AlreadyPublishing);
        }
        let info = SourceInfo {
            protocol: Protocol::Rtmp,
            remote: self.peer,
            encoder,
            started: self.shared.clock.utc(),
            bytes_in: self.bytes_in.clone(),
        };
        let encoder = info.encoder.as_deref().unwrap_or_default();
        // The channel's own line says that it began, as well as how it ended.
        debug!(connection = self.id.0, peer = %self.peer, channel = admission.channel, encoder, "rtmp: publishing");
        self.admission = Some(admission);
        self.deliver(SourceEvent::Started(info)).await.map_err(|_| Refusal::Unavailable)
    }

    async fn tag(&mut self, tag: &Tag, arrived: UtcTime) -> Result<(), EndReason> {
        if let Some(admission) = &self.admission {
            self.shared.media(&admission.channel, self.id);
        }
        for item in self.demuxer.push(tag) {
            let event = match item {
                Item::VideoConfig(config) => SourceEvent::VideoConfig(config),
                Item::AudioConfig(config) => SourceEvent::AudioConfig(config),
                Item::Unit(unit) => SourceEvent::Unit { unit, arrived },
                Item::Problem(problem) => {
                    let channel = self.admission.as_ref().map_or("", |a| a.channel.as_str());
                    debug!(connection = self.id.0, channel, %problem, "rtmp: trouble with the contribution");
                    SourceEvent::Warning(SourceWarning::Media(problem))
                }
            };
            self.deliver(event).await?;
        }
        Ok(())
    }

    /// Waits for room in the owner's queue; meanwhile nothing is read.
    async fn deliver(&mut self, event: SourceEvent) -> Result<(), EndReason> {
        let Some(Admission { events, revoked: key, .. }) = &mut self.admission else { return Ok(()) };
        let message = SourceMessage { connection: self.id, event };
        tokio::select! {
            biased;
            sent = events.send(message) => sent.map_err(|_| EndReason::Stopped),
            reason = ended(&mut self.end) => Err(reason),
            () = revoked(Some(key)) => Err(EndReason::Revoked),
        }
    }

    /// The connection is over: so is its contribution, if it has one.
    async fn finish(mut self, reason: EndReason) {
        if self.admission.is_some() {
            self.conclude(reason).await;
        } else {
            let bytes = self.bytes_in.get();
            match reason {
                EndReason::Closed(CloseReason::Refused(_) | CloseReason::BadApp | CloseReason::Play)
                    if !self.refusal_told =>
                {
                    let channel = self.occupied.as_deref();
                    warn!(connection = self.id.0, channel, peer = %self.peer, %reason, "rtmp: refused");
                }
                _ => debug!(connection = self.id.0, peer = %self.peer, %reason, bytes, "rtmp: connection closed"),
            }
        }
        self.hang_up().await;
    }

    /// Tells the owner that the contribution is over, and gives the channel back.
    async fn conclude(&mut self, reason: EndReason) {
        let Some(admission) = self.admission.take() else { return };
        let (connection, channel) = (self.id.0, admission.channel.as_str());
        let (bytes, dropped_tags) = (self.bytes_in.get(), self.demuxer.dropped());
        debug!(connection, channel, %reason, bytes, dropped_tags, "rtmp: contribution ended");
        let message = SourceMessage { connection: self.id, event: SourceEvent::Ended(reason) };
        // An owner that has dropped its receiver knows already.
        if timeout(ENDED_TIMEOUT, admission.events.send(message)).await.is_err() {
            warn!(connection, channel, "rtmp: the channel does not take the end of its contribution");
        }
        self.shared.release(channel, self.id);
        self.demuxer = Demuxer::new();
        (self.metadata, self.bad_metadata_told) = (None, false);
    }

    async fn hang_up(&mut self) {
        let linger = async {
            self.stream.shutdown().await?;
            let mut buffer = vec![0; READ_BYTES];
            let mut total = 0;
            while total < LINGER_BYTES {
                match self.stream.read(&mut buffer).await? {
                    0 => break,
                    n => total += n,
                }
            }
            Ok::<(), std::io::Error>(())
        };
        // Whether the peer hangs up in time or not, dropping the socket ends the connection.
        drop(timeout(LINGER, linger).await);
    }
}

/// Waits until the connection is told to end.
async fn ended(end: &mut watch::Receiver<Option<EndReason>>) -> EndReason {
    match end.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(EndReason::Stopped),
        Err(_) => EndReason::Stopped,
    }
}

/// Waits until the key that let the contribution in is revoked; for ever, if nobody can revoke it.
async fn revoked(key: Option<&mut watch::Receiver<bool>>) {
    if let Some(key) = key
        && key.wait_for(|revoked| *revoked).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

//! What a peer can do to a session is bounded: garbage, slowness, floods (STANDARDS 6.1 and the limits of `Config`).

mod support;

use bytes::{BufMut, BytesMut};
use millstream_ingest::rtmp::amf0::Value;
use millstream_ingest::rtmp::chunk::{self, kind};
use millstream_ingest::rtmp::{CloseReason, Config, Error, Output, Session};
use proptest::prelude::*;
use support::*;

fn last_output(session: &mut Session) -> Option<Output> {
    std::iter::from_fn(|| session.poll_output()).last()
}

fn protocol_error(closed: &Option<CloseReason>) -> &Error {
    match closed {
        Some(CloseReason::Protocol(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_protocol_is_named_at_its_first_byte() {
    let mut session = Session::new(Config::default(), 1, at(0));
    session.handle_input(b"GET / HTTP/1.1\r\n\r\n", at(0));
    let error = Error::Version { version: b'G' };
    assert_eq!(last_output(&mut session), Some(Output::Close(CloseReason::Protocol(error))));
    session.handle_input(&[3; 5000], at(0));
    assert_eq!(last_output(&mut session), None, "a closed session is silent");
}

#[test]
fn a_slow_handshake_runs_out_of_time_however_often_a_byte_comes() {
    let mut session = Session::new(Config::default(), 1, at(0));
    session.handle_input(&[3], at(0));
    for second in 0..5 {
        session.handle_input(&[0], at(second * 1000));
        session.handle_timeout(at(second * 1000));
        assert!(!matches!(last_output(&mut session), Some(Output::Close(_))));
    }
    assert_eq!(session.poll_timeout(), Some(at(5000)));
    session.handle_timeout(at(5000));
    assert!(matches!(last_output(&mut session), Some(Output::Close(CloseReason::HandshakeTimeout(_)))));
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn a_client_that_never_publishes_runs_out_of_time() {
    let mut session = Session::new(Config::default(), 1, at(0));
    let mut b = BytesMut::new();
    b.put_u8(3);
    b.put_bytes(0, 3072);
    session.handle_input(&b, at(100));
    assert_eq!(session.poll_timeout(), Some(at(10_000)));
    session.handle_timeout(at(9999));
    assert!(!matches!(last_output(&mut session), Some(Output::Close(_))));
    session.handle_timeout(at(10_000));
    assert!(matches!(last_output(&mut session), Some(Output::Close(CloseReason::PublishTimeout(_)))));
}

#[test]
fn a_publisher_that_stops_mid_frame_runs_out_of_time() {
    let mut pair = Pair::publishing();
    pair.now = at(60_000);
    let mut b = BytesMut::new();
    message(&mut b, 6, kind::VIDEO, 0, &[0x27; 9000], 4096);
    pair.feed(&b[..5000]);
    assert_eq!(pair.session.poll_timeout(), Some(at(70_000)));
    pair.session.handle_timeout(at(70_000));
    pair.drain();
    assert!(matches!(pair.closed, Some(CloseReason::Idle(_))), "{:?}", pair.closed);
}

#[test]
fn bytes_without_a_publish_are_bounded() {
    let mut pair = Pair::new(Client::new("live", KEY));
    pair.client.take_output();
    let mut b = BytesMut::new();
    b.put_u8(3);
    b.put_bytes(0, 3072);
    // Ignored messages, for ever.
    for _ in 0..40 {
        message(&mut b, 5, 99, 0, &[0; 2000], 128);
    }
    pair.feed(&b);
    assert_eq!(*protocol_error(&pair.closed), Error::NoPublish { limit: 65_536 });
}

#[test]
fn message_lengths_are_bounded_by_their_type() {
    for (message_kind, length, limit) in [
        (kind::AUDIO, 0xff_ffff, 1024 * 1024),
        (kind::COMMAND_AMF0, 65_537, 65_536),
        (kind::DATA_AMF0, 65_537, 65_536),
        (kind::USER_CONTROL, 65_537, 65_536),
        (99, 65_537, 65_536),
    ] {
        let mut pair = Pair::publishing();
        let mut b = BytesMut::new();
        chunk(&mut b, 20, Header::Full { timestamp: 0, length, kind: message_kind, stream_id: 1 }, &[0; 10]);
        pair.feed(&b);
        assert!(
            matches!(protocol_error(&pair.closed), Error::MessageTooLong { kind, limit: l, .. } if *kind == message_kind && *l == limit),
            "{:?}",
            pair.closed
        );
    }
}

#[test]
fn chunk_streams_are_bounded() {
    let mut pair = Pair::publishing();
    let mut b = BytesMut::new();
    for csid in 100..200 {
        chunk(&mut b, csid, Header::Full { timestamp: 0, length: 5000, kind: kind::VIDEO, stream_id: 1 }, &[0; 4096]);
    }
    pair.feed(&b);
    assert!(matches!(protocol_error(&pair.closed), Error::TooManyChunkStreams { limit: 64, .. }));
}

#[test]
fn unfinished_bytes_are_bounded_over_all_chunk_streams() {
    let limits = chunk::Limits { max_partial_bytes: 100_000, ..chunk::Limits::default() };
    let mut pair = Pair::with_config(Client::new("live", KEY), Config { chunk: limits, ..Config::default() });
    pair.run();
    let mut b = BytesMut::new();
    for csid in 10..60 {
        chunk(&mut b, csid, Header::Full { timestamp: 0, length: 5000, kind: kind::VIDEO, stream_id: 1 }, &[0; 4096]);
    }
    pair.feed(&b);
    assert!(matches!(protocol_error(&pair.closed), Error::TooManyPartialBytes { limit: 100_000, .. }));
}

#[test]
fn streams_and_values_are_bounded() {
    let mut pair = Pair::publishing();
    for _ in 0..16 {
        pair.client.invoke(&["createStream".into(), Value::from(9.0), Value::Null]);
    }
    pair.run();
    assert!(matches!(protocol_error(&pair.closed), Error::TooManyStreams { limit: 16, .. }));

    let mut pair = Pair::publishing();
    let mut deep = Value::Null;
    for _ in 0..12 {
        deep = Value::object([("a", deep)]);
    }
    pair.client.invoke(&["what".into(), Value::from(9.0), deep]);
    pair.run();
    assert!(matches!(protocol_error(&pair.closed), Error::Command { .. }));
}

#[test]
fn errors_name_the_byte() {
    let mut pair = Pair::new(Client::new("live", KEY));
    pair.client.take_output();
    let mut b = BytesMut::new();
    b.put_u8(3);
    b.put_bytes(0, 3072);
    message(&mut b, 5, 99, 0, &[0; 20], 128);
    let offset = b.len() as u64;
    chunk(&mut b, 30, Header::Same, &[]);
    pair.feed(&b);
    assert_eq!(*protocol_error(&pair.closed), Error::NoHeader { offset, csid: 30, format: 3 });
}

/// A session that has been fed a stream up to and including its publish, and some media.
fn recorded() -> Vec<u8> {
    let mut client = Client::new("live", KEY);
    let mut session = Session::new(Config::default(), 1, at(0));
    let mut recording = Vec::new();
    let mut sent = false;
    loop {
        if client.publishing && !sent {
            sent = true;
            client.data(&["@setDataFrame".into(), "onMetaData".into(), Value::object([("width", Value::from(640.0))])]);
            client.video(0, &avc(true, 0, 0, AVCC));
            client.audio(0, &aac(0, ASC));
            for k in 0..10 {
                client.set_chunk_size(if k % 2 == 0 { 128 } else { 1000 });
                client.video(0x00ff_fff0 + k * 40, &avc(k == 0, 1, 80, &nals(&[&[0x65; 700]])));
                client.audio(0x00ff_fff0 + k * 40 + 3, &aac(1, &[k as u8; 300]));
            }
            client.unpublish();
        }
        let bytes = client.take_output();
        if bytes.is_empty() {
            return recording;
        }
        recording.extend_from_slice(&bytes);
        session.handle_input(&bytes, at(0));
        while let Some(output) = session.poll_output() {
            match output {
                Output::Send(bytes) => client.handle_input(&bytes),
                Output::Event(millstream_ingest::rtmp::Event::PublishRequest(_)) => session.accept(at(0)),
                _ => {}
            }
        }
    }
}

/// Feeds `bytes` cut at `pieces` and answers the events and the close, as text.
fn replay(bytes: &[u8], pieces: &[usize]) -> (Vec<String>, Option<CloseReason>) {
    let mut rest = bytes;
    let mut sizes = pieces.iter().cycle();
    let mut session = Session::new(Config::default(), 1, at(0));
    let (mut events, mut closed) = (Vec::new(), None);
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |s| (*s).clamp(1, rest.len()));
        let (piece, after) = rest.split_at(size);
        rest = after;
        session.handle_input(piece, at(0));
        while let Some(output) = session.poll_output() {
            match output {
                Output::Event(event) => {
                    if matches!(event, millstream_ingest::rtmp::Event::PublishRequest(_)) {
                        session.accept(at(0));
                    }
                    events.push(format!("{event:?}"));
                }
                Output::Close(reason) => closed = Some(reason),
                Output::Send(_) => {}
            }
        }
    }
    (events, closed)
}

#[test]
fn a_recording_replays() {
    let recording = recorded();
    let (events, closed) = replay(&recording, &[usize::MAX]);
    assert_eq!((events.len(), closed), (1 + 1 + 2 + 20 + 1, None), "{events:?}");
}

proptest! {
    /// However the network cuts the bytes, the session says the same.
    #[test]
    fn any_split_gives_the_same_events(pieces in prop::collection::vec(1..300_usize, 1..40)) {
        let recording = recorded();
        prop_assert_eq!(replay(&recording, &pieces), replay(&recording, &[usize::MAX]));
    }

    /// A recording with bytes changed: events or an error, never a panic, and the same for any split.
    #[test]
    fn changed_bytes_do_not_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        pieces in prop::collection::vec(1..2000_usize, 1..10),
    ) {
        let mut recording = recorded();
        for (at, value) in changes {
            let at = at.index(recording.len());
            recording[at] = value;
        }
        let (events, closed) = replay(&recording, &pieces);
        let (whole_events, whole_closed) = replay(&recording, &[65_536]);
        prop_assert_eq!(events, whole_events);
        prop_assert_eq!(closed.is_some(), whole_closed.is_some());
    }

    /// Garbage behind a proper handshake.
    #[test]
    fn garbage_does_not_panic(garbage in prop::collection::vec(any::<u8>(), 0..5000)) {
        let mut bytes = vec![3];
        bytes.resize(1 + 3072, 0);
        bytes.extend(garbage);
        replay(&bytes, &[1000]);
    }
}

//! The conversation around a stream: OBS's order, refusals, pings, acknowledgements, the end (STANDARDS 6.7 to 6.10).

mod support;

use bytes::{BufMut, BytesMut};
use millstream_ingest::flv::file::FileTag;
use millstream_ingest::flv::{Metadata, TagKind};
use millstream_ingest::key::StreamKey;
use millstream_ingest::rtmp::amf0::Value;
use millstream_ingest::rtmp::chunk::kind;
use millstream_ingest::rtmp::client::{Client as OwnClient, ClientError};
use millstream_ingest::rtmp::{CloseReason, Config, Error, Event, Output, Refusal, Session, amf0, command};
use support::*;

#[test]
fn obs_order_leads_to_publish_start() {
    let mut pair = Pair::new(Client::new("live", KEY));
    pair.run();
    assert_eq!(pair.client.codes, ["NetConnection.Connect.Success", "NetStream.Publish.Start"]);
    let Event::PublishRequest(request) = &pair.events[0] else { panic!("{:?}", pair.events) };
    assert_eq!(request.key.expose(), KEY);
    assert_eq!(request.encoder.as_deref(), Some("FMLE/3.0 (compatible; FMSc/1.0)"));
    assert!(!format!("{:?}", pair.events).contains(KEY), "the key is in no event's text");
    // STANDARDS 6.4: window, bandwidth, StreamBegin 0 come before the result of connect, StreamBegin 1 before Start.
    let kinds: Vec<u8> = pair.client.control.iter().map(|c| c.0).collect();
    assert_eq!(kinds, [kind::WINDOW_ACK_SIZE, kind::SET_PEER_BANDWIDTH, kind::USER_CONTROL, kind::USER_CONTROL]);
    assert_eq!(pair.client.control[2].1[..], [0, 0, 0, 0, 0, 0]);
    assert_eq!(pair.client.control[3].1[..], [0, 0, 0, 0, 0, 1]);
}

#[test]
fn applications_are_taken_with_slash_and_query() {
    for (app, ok) in
        [("live", true), ("live/", true), ("live?a=b", true), ("", false), ("live/x", false), ("vod", false)]
    {
        let mut pair = Pair::new(Client::new(app, KEY));
        pair.run();
        assert_eq!(pair.client.publishing, ok, "{app:?}");
        if !ok {
            // STANDARDS 6.10.
            assert_eq!(pair.client.codes, ["NetConnection.Connect.InvalidApp"]);
            assert_eq!(pair.closed, Some(CloseReason::BadApp));
        }
    }
}

/// STANDARDS 6.9: OBS knows these codes, and Publish.Start never comes before them.
#[test]
fn refusals_say_so_and_never_start() {
    for (refusal, code) in [
        (Refusal::BadKey, "NetStream.Publish.Denied"),
        (Refusal::AlreadyPublishing, "NetStream.Publish.BadName"),
        (Refusal::ChannelStopped, "NetStream.Publish.Rejected"),
        (Refusal::Unavailable, "NetStream.Publish.Rejected"),
    ] {
        let mut pair = Pair::new(Client::new("live", "wrong"));
        pair.decision = Err(refusal);
        pair.run();
        assert_eq!(pair.client.codes, ["NetConnection.Connect.Success", code]);
        assert_eq!(pair.closed, Some(CloseReason::Refused(refusal)));
        pair.feed(&[0; 1000]);
        assert!(pair.tags().is_empty());
    }
}

#[test]
fn playing_is_refused() {
    let mut pair = Pair::publishing();
    pair.client.invoke(&["play".into(), Value::from(9.0), Value::Null, "x".into()]);
    pair.run();
    assert_eq!(pair.client.codes.last().map(String::as_str), Some("NetStream.Play.Failed"));
    assert_eq!(pair.closed, Some(CloseReason::Play));
}

#[test]
fn media_sent_before_the_answer_waits_for_it() {
    // The session holds what follows publish, and refuses to hold too much.
    let mut session = Session::new(Config { max_held_bytes: 5000, ..Config::default() }, 1, at(0));
    let mut b = BytesMut::new();
    b.put_u8(3);
    b.put_bytes(0, 2 * 1536);
    let connect = Value::object([("app", "live".into())]);
    message(&mut b, 3, kind::COMMAND_AMF0, 0, &body(&["connect".into(), Value::from(1.0), connect]), 128);
    message(&mut b, 3, kind::COMMAND_AMF0, 0, &body(&["createStream".into(), Value::from(2.0), Value::Null]), 128);
    let publish = ["publish".into(), Value::from(3.0), Value::Null, KEY.into()];
    message(&mut b, 3, kind::COMMAND_AMF0, 0, &body(&publish), 128);
    message(&mut b, 6, kind::VIDEO, 40, &[7; 1000], 128);
    session.handle_input(&b, at(0));
    let outputs: Vec<Output> = std::iter::from_fn(|| session.poll_output()).collect();
    assert!(matches!(outputs.last(), Some(Output::Event(Event::PublishRequest(_)))), "{outputs:?}");
    assert!(session.is_deciding());
    session.accept(at(10));
    let outputs: Vec<Output> = std::iter::from_fn(|| session.poll_output()).collect();
    assert!(matches!(outputs.last(), Some(Output::Event(Event::Tag(tag))) if tag.body.len() == 1000), "{outputs:?}");

    let mut session = Session::new(Config { max_held_bytes: 500, ..Config::default() }, 1, at(0));
    session.handle_input(&b, at(0));
    let last = std::iter::from_fn(|| session.poll_output()).last();
    assert_eq!(last, Some(Output::Close(CloseReason::Protocol(Error::Impatient { limit: 500 }))));
}

#[test]
fn metadata_is_read_in_both_spellings() {
    let properties = Value::EcmaArray(vec![
        ("width".into(), Value::from(1280.0)),
        ("height".into(), Value::from(f64::NAN)),
        ("framerate".into(), Value::from(30.0)),
        ("videodatarate".into(), Value::from(2500.0)),
        ("encoder".into(), Value::from("obs-output module\n(libobs version 29.0.2)")),
    ]);
    let expected = Metadata {
        width: Some(1280),
        frame_rate: Some(30.0),
        video_bit_rate: Some(2_500_000),
        encoder: Some("obs-output module(libobs version 29.0.2)".into()),
        ..Metadata::default()
    };
    let mut pair = Pair::publishing();
    pair.client.data(&["@setDataFrame".into(), "onMetaData".into(), properties.clone()]);
    pair.client.data(&["onMetaData".into(), properties]);
    pair.client.data(&["onTextData".into(), Value::Null]);
    pair.run();
    assert_eq!(pair.events, [Event::Metadata(expected.clone()), Event::Metadata(expected)]);
}

#[test]
fn metadata_that_cannot_be_read_does_not_end_the_stream() {
    let mut pair = Pair::publishing();
    let mut b = BytesMut::new();
    message(&mut b, 4, kind::DATA_AMF0, 0, &[2, 0, 9, b'x'], 4096);
    pair.feed(&b);
    assert!(matches!(pair.events[..], [Event::BadMetadata(_)]), "{:?}", pair.events);
    assert_eq!(pair.closed, None);
}

#[test]
fn amf3_wrapped_commands_and_data_are_read() {
    let mut pair = Pair::publishing();
    let mut b = BytesMut::new();
    let wrapped = |values: &[Value]| [&[0], &body(values)[..]].concat();
    let meta = Value::object([("width", Value::from(640.0))]);
    message(&mut b, 4, kind::DATA_AMF3, 0, &wrapped(&["onMetaData".into(), meta]), 4096);
    let delete = ["deleteStream".into(), Value::from(7.0), Value::Null, Value::from(1.0)];
    message(&mut b, 3, kind::COMMAND_AMF3, 0, &wrapped(&delete), 4096);
    pair.feed(&b);
    assert!(matches!(pair.events[..], [Event::Metadata(_), Event::Unpublished]), "{:?}", pair.events);
}

#[test]
fn pings_are_answered() {
    let mut pair = Pair::publishing();
    pair.client.control.clear();
    let mut b = BytesMut::new();
    message(&mut b, 2, kind::USER_CONTROL, 0, &[0, 6, 1, 2, 3, 4], 4096);
    pair.feed(&b);
    assert_eq!(pair.client.control, [(kind::USER_CONTROL, vec![0, 7, 1, 2, 3, 4].into())]);
}

/// STANDARDS 6.4: an acknowledgement for each window that the client has set.
#[test]
fn each_window_is_acknowledged() {
    let mut pair = Pair::publishing();
    pair.client.control.clear();
    let mut b = BytesMut::new();
    message(&mut b, 2, kind::WINDOW_ACK_SIZE, 0, &10_000_u32.to_be_bytes(), 4096);
    pair.feed(&b);
    for _ in 0..10 {
        pair.client.video(0, &[0x27; 9990]);
    }
    pair.run();
    let acknowledged: Vec<u32> = pair
        .client
        .control
        .iter()
        .filter(|c| c.0 == kind::ACKNOWLEDGEMENT)
        .map(|c| u32::from_be_bytes(c.1[..].try_into().expect("four bytes")))
        .collect();
    assert!((8..=11).contains(&acknowledged.len()), "{acknowledged:?}");
    assert!(acknowledged.windows(2).all(|w| w[1] - w[0] >= 10_000), "{acknowledged:?}");
}

#[test]
fn the_end_comes_once_and_another_publish_may_follow() {
    let mut pair = Pair::publishing();
    pair.client.unpublish();
    pair.client.video(0, &[0x27; 10]);
    pair.run();
    assert_eq!(pair.events, [Event::Unpublished], "media after the end is ignored");
    assert_eq!(pair.client.codes.last().map(String::as_str), Some("NetStream.Unpublish.Success"));
    pair.events.clear();
    pair.client.invoke(&["publish".into(), Value::from(8.0), Value::Null, "again".into(), "live".into()]);
    pair.client.video(0, &[0x27; 10]);
    pair.run();
    assert!(matches!(pair.events[..], [Event::PublishRequest(_), Event::Tag(_)]), "{:?}", pair.events);
}

#[test]
fn enhanced_clients_are_told_what_is_taken() {
    let limits = amf0::Limits::default();
    let result = command::connect_result(1.0, true);
    let values = amf0::decode(result.payload, &limits).expect("AMF0");
    let list = values[2].get("fourCcList").expect("fourCcList");
    assert_eq!(*list, Value::StrictArray(["avc1", "hvc1", "av01", "mp4a", "Opus"].map(Value::from).to_vec()));
    assert!(values[2].get("capsEx").is_some());
    let plain = command::connect_result(1.0, false);
    let values = amf0::decode(plain.payload, &limits).expect("AMF0");
    assert_eq!(values[2].get("fourCcList"), None);
}

#[test]
fn commands_out_of_order_are_errors() {
    let mut pair = Pair::publishing();
    pair.client.invoke(&["publish".into(), Value::from(8.0), Value::Null, "twice".into()]);
    pair.run();
    let expected = |c: &Option<CloseReason>, name: &str| matches!(c, Some(CloseReason::Protocol(Error::OutOfOrder { command, .. })) if *command == name);
    assert!(expected(&pair.closed, "publish"), "{:?}", pair.closed);
    let mut pair = Pair::publishing();
    pair.client.invoke(&["connect".into(), Value::from(8.0), Value::object([("app", "live".into())])]);
    pair.run();
    assert!(expected(&pair.closed, "connect"), "{:?}", pair.closed);
}

#[test]
fn unknown_commands_and_messages_are_ignored() {
    let mut pair = Pair::publishing();
    pair.client.invoke(&["_checkbw".into(), Value::from(8.0), Value::Null]);
    let mut b = BytesMut::new();
    message(&mut b, 5, 99, 0, b"what", 4096);
    message(&mut b, 5, 16, 0, b"shared object", 4096);
    pair.feed(&b);
    assert_eq!((pair.events.len(), &pair.closed), (0, &None));
}

/// Moves bytes between our own client and a session until both are silent, or one will not go on. Gives the events.
fn converse(
    client: &mut OwnClient,
    session: &mut Session,
    decision: Result<(), Refusal>,
) -> Result<Vec<Event>, ClientError> {
    let mut events = Vec::new();
    loop {
        let sent = client.take_output();
        if sent.is_empty() {
            return Ok(events);
        }
        for piece in sent.chunks(1000) {
            session.handle_input(piece, at(0));
            while let Some(output) = session.poll_output() {
                match output {
                    Output::Send(bytes) => bytes.chunks(7).try_for_each(|piece| client.handle_input(piece))?,
                    Output::Event(Event::PublishRequest(request)) => {
                        assert_eq!(request.key.expose(), KEY);
                        match decision {
                            Ok(()) => session.accept(at(0)),
                            Err(refusal) => session.reject(refusal),
                        }
                    }
                    Output::Event(event) => events.push(event),
                    Output::Close(reason) => panic!("{reason:?}"),
                }
            }
        }
    }
}

fn own_pair() -> (OwnClient, Session) {
    (OwnClient::new("live", StreamKey::new(KEY)), Session::new(Config::default(), 42, at(0)))
}

/// The client by which the demo feeds its own server.
#[test]
fn our_own_client_publishes() {
    let (mut client, mut session) = own_pair();
    let tag = |kind, timestamp, body: &'static [u8]| FileTag { kind, timestamp, body: body.into() };
    client.send(&tag(kind::VIDEO, 0, b"too early"));
    assert_eq!(converse(&mut client, &mut session, Ok(())).unwrap(), []);
    assert!(client.is_publishing());
    let long: &'static [u8] = &[0x27; 200_000];
    client.send(&tag(kind::VIDEO, 40, long));
    client.send(&tag(kind::AUDIO, 0x0100_0007, b"\xaf\x01sound"));
    let events = converse(&mut client, &mut session, Ok(())).unwrap();
    let [Event::Tag(video), Event::Tag(audio)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((video.kind, &video.body[..]), (TagKind::Video, long));
    assert_eq!((audio.kind, &audio.body[..]), (TagKind::Audio, &b"\xaf\x01sound"[..]));
    assert!(!format!("{client:?}").contains(KEY), "the key is in no text");
}

#[test]
fn our_own_client_is_told_why_not() {
    let (mut client, mut session) = own_pair();
    let why = converse(&mut client, &mut session, Err(Refusal::BadKey)).unwrap_err().to_string();
    assert!(why.contains("NetStream.Publish.Denied") && !why.contains(KEY), "{why}");
    assert!(own_pair().0.handle_input(b"HTTP/1.1 400").is_err());
}

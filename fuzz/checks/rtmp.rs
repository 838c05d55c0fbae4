//! What the RTMP, AMF0 and FLV fuzz targets assert. The ordinary tests of `millstream-ingest` include this file, too,
//! and replay the corpora through it.

use bytes::Bytes;
use millstream_ingest::flv::{Demuxer, Tag, TagKind};
use millstream_ingest::rtmp::chunk::{ChunkReader, Limits, Message};
use millstream_ingest::rtmp::{Config, Event, Output, Session, amf0};
use millstream_media::time::MonoTime;

/// Bytes held for each byte of input.
pub const PER_BYTE: usize = 1024;

/// A handshake, then `data`: no panic, and the same events for one piece as for pieces of the length in its first byte.
pub fn session(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else { return };
    let mut stream = vec![0; 1 + 2 * 1536];
    stream[0] = 3;
    stream.extend_from_slice(data);
    let whole = events(&stream, usize::MAX);
    let cut = events(&stream, usize::from(piece) + 1);
    assert_eq!(whole, cut);
}

fn events(stream: &[u8], piece: usize) -> Vec<Event> {
    let mut session = Session::new(Config::default(), 1, MonoTime::default());
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    for piece in stream.chunks(piece.min(stream.len())) {
        session.handle_input(piece, MonoTime::default());
        while let Some(output) = session.poll_output() {
            if let Output::Event(event) = output {
                match &event {
                    Event::PublishRequest(_) => session.accept(MonoTime::default()),
                    Event::Tag(tag) => demuxer.push(tag).for_each(drop),
                    _ => {}
                }
                events.push(event);
            }
        }
    }
    // A limit that counts whole reads may strike a little earlier or later; the tags are what counts.
    events.retain(|e| matches!(e, Event::Tag(_)));
    if stream.len() > 60_000 {
        events.clear();
    }
    events
}

/// Chunks: no panic, no message longer than its bytes, and the same messages for pieces of 1 byte.
pub fn chunk(data: &[u8]) {
    let read = |piece: usize| {
        let mut reader = ChunkReader::new(Limits::default(), 0);
        let mut messages: Vec<Message> = Vec::new();
        'all: for mut input in data.chunks(piece) {
            loop {
                match reader.read(&mut input) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(_) => break 'all,
                }
            }
        }
        messages
    };
    let whole = read(data.len().max(1));
    assert!(whole.iter().map(|m| m.payload.len()).sum::<usize>() <= data.len());
    assert_eq!(whole, read(1));
}

/// AMF0: what can be read can be written and read again.
pub fn amf0(data: &[u8]) {
    let limits = amf0::Limits::default();
    if let Ok(values) = amf0::decode(Bytes::copy_from_slice(data), &limits) {
        let written = amf0::encode(&values);
        let again = amf0::decode(written.clone(), &limits).expect("what we write can be read");
        // NaN is not equal to itself; bytes are.
        assert_eq!(amf0::encode(&again), written);
    }
}

/// FLV tags behind one-byte lengths, the lowest bit of which says audio: no panic, at most two items each.
pub fn flv(mut data: &[u8]) {
    let mut demuxer = Demuxer::new();
    while let Some((&head, rest)) = data.split_first() {
        let (body, rest) = rest.split_at(usize::from(head >> 1).min(rest.len()));
        data = rest;
        let kind = if head & 1 == 1 { TagKind::Audio } else { TagKind::Video };
        let tag = Tag { kind, time_ms: i64::from(head), body: Bytes::copy_from_slice(body) };
        assert!(demuxer.push(&tag).count() <= 2);
    }
}

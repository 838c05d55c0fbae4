//! The fuzz targets' corpora, replayed; and the seeds that they are made from.
#![allow(clippy::expect_used, reason = "test harness")]

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/rtmp.rs"]
mod checks;
#[path = "../../../fuzz/checks/cmaf_ingest.rs"]
mod cmaf_ingest;
#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;
mod support;

use std::path::PathBuf;

use bytes::{BufMut, BytesMut};
use millstream_ingest::rtmp::amf0::Value;
use millstream_ingest::rtmp::chunk::kind;
use support::*;

fn replay(target: &str, check: fn(&[u8])) {
    corpus::replay(target, |data| bounds::hold(checks::PER_BYTE, data, check));
}

#[test]
fn cmaf_ingest() {
    corpus::replay("cmaf_ingest", |data| bounds::hold(cmaf_ingest::PER_BYTE, data, cmaf_ingest::check));
}

#[test]
fn rtmp_session() {
    replay("rtmp_session", checks::session);
}

#[test]
fn rtmp_chunk() {
    replay("rtmp_chunk", checks::chunk);
}

#[test]
fn amf0() {
    replay("amf0", checks::amf0);
}

#[test]
fn flv_tag() {
    replay("flv_tag", checks::flv);
}

/// Everything a publisher sends after its handshake.
fn publisher() -> BytesMut {
    let mut b = BytesMut::new();
    let object = Value::object([
        ("app", "live".into()),
        ("flashVer", "x".into()),
        ("fourCcList", Value::StrictArray(vec!["*".into()])),
    ]);
    let mut invoke = |values: &[Value]| message(&mut b, 3, kind::COMMAND_AMF0, 0, &body(values), 128);
    invoke(&["connect".into(), Value::from(1.0), object]);
    invoke(&["releaseStream".into(), Value::from(2.0), Value::Null, "k".into()]);
    invoke(&["FCPublish".into(), Value::from(3.0), Value::Null, "k".into()]);
    invoke(&["createStream".into(), Value::from(4.0), Value::Null]);
    invoke(&["publish".into(), Value::from(5.0), Value::Null, "k".into(), "live".into()]);
    let meta = Value::EcmaArray(vec![("width".into(), Value::from(640.0)), ("encoder".into(), "x".into())]);
    message(&mut b, 4, kind::DATA_AMF0, 0, &body(&["@setDataFrame".into(), "onMetaData".into(), meta]), 128);
    message(&mut b, 6, kind::VIDEO, 0, &avc(true, 0, 0, AVCC), 128);
    message(&mut b, 4, kind::AUDIO, 0, &aac(0, ASC), 128);
    message(&mut b, 2, kind::SET_CHUNK_SIZE, 0, &64_u32.to_be_bytes(), 128);
    message(&mut b, 6, kind::VIDEO, 0x0100_0000, &avc(true, 1, 80, &nals(&[&[0x65; 150]])), 64);
    chunk(&mut b, 4, Header::SameStream { delta: 21, length: 12, kind: kind::AUDIO }, &aac(1, &[1; 10]));
    chunk(&mut b, 4, Header::SameLength { delta: 21 }, &aac(1, &[2; 10]));
    chunk(&mut b, 4, Header::Same, &aac(1, &[3; 10]));
    message(&mut b, 2, kind::USER_CONTROL, 0, &[0, 6, 0, 0, 0, 1], 64);
    message(&mut b, 2, kind::ABORT, 0, &6_u32.to_be_bytes(), 64);
    message(
        &mut b,
        3,
        kind::COMMAND_AMF0,
        0,
        &body(&["deleteStream".into(), Value::from(6.0), Value::Null, Value::from(1.0)]),
        64,
    );
    b
}

/// Writes the seeds: `cargo test -p millstream-ingest --test fuzz_corpus -- --ignored`.
#[test]
#[ignore = "writes into the tree"]
fn write_seeds() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        std::fs::create_dir_all(&folder).expect("the folder");
        std::fs::write(folder.join(name), bytes).expect("a seed");
    };
    let stream = publisher();
    write("rtmp_session", "publisher", &[&[99][..], &stream].concat());
    write("rtmp_chunk", "publisher", &stream);
    let mut broken = BytesMut::new();
    chunk(&mut broken, 6, Header::Full { timestamp: 0, length: 300, kind: kind::VIDEO, stream_id: 1 }, &[1; 128]);
    chunk(&mut broken, 6, Header::Full { timestamp: 0, length: 3, kind: kind::VIDEO, stream_id: 1 }, &[1; 3]);
    write("rtmp_chunk", "header_inside_message", &broken);
    let mut interleaved = BytesMut::new();
    chunk(
        &mut interleaved,
        400,
        Header::Full { timestamp: 0xff_ffff, length: 140, kind: kind::VIDEO, stream_id: 1 },
        &[1; 128],
    );
    chunk(&mut interleaved, 70, Header::Full { timestamp: 0, length: 3, kind: kind::AUDIO, stream_id: 1 }, &[1; 3]);
    chunk(&mut interleaved, 400, Header::SameExtended(0xff_ffff), &[1; 12]);
    write("rtmp_chunk", "interleaved_extended", &interleaved);
    let all = [
        Value::from(1.5),
        Value::Boolean(true),
        "text".into(),
        Value::object([("a", Value::Null), ("b", Value::object([("c", Value::Undefined)]))]),
        Value::EcmaArray(vec![("d".into(), Value::Date(0.0))]),
        Value::StrictArray(vec![Value::from(f64::NAN), Value::String("x".repeat(70))]),
    ];
    write("amf0", "every_type", &body(&all));
    write("amf0", "open_ecma_array", &[8, 0, 0, 0, 9, 0, 1, b'a', 1, 1]);
    let mut tags = BytesMut::new();
    let mut tag = |audio: bool, tag_body: &[u8]| {
        tags.put_u8((tag_body.len() as u8) << 1 | u8::from(audio));
        tags.put_slice(tag_body);
    };
    tag(false, &avc(true, 0, 0, AVCC));
    tag(true, &aac(0, ASC));
    tag(false, &avc(true, 1, -40, &nals(&[&[6, 6, 1, 0x84, 0x80], &[0x65, 1, 2, 3]])));
    tag(true, &aac(1, &[1, 2, 3]));
    write("flv_tag", "legacy", &tags.split());
    let mut tag = |audio: bool, tag_body: &[u8]| {
        tags.put_u8((tag_body.len() as u8) << 1 | u8::from(audio));
        tags.put_slice(tag_body);
    };
    tag(false, &[b"\x90avc1", AVCC].concat());
    tag(false, &[&b"\x97\x02\x07\xa1\x20\x03avc1"[..], &nals(&[&[0x65, 1]])].concat());
    tag(false, &[&b"\x96\x13avc1\x01\0\0\x01x\0\0\0\x06"[..], &nals(&[&[0x65, 1]])].concat());
    tag(false, b"\x90av01\x81\x01\x0c\0\n\x0c\x02\0\0\r&'\xfb8\x05\xf0\0\x80");
    tag(false, b"\x90hvc1\x01\x01\x60");
    tag(true, b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0");
    tag(true, b"\x91Opusxyz");
    write("flv_tag", "enhanced", &tags);
}

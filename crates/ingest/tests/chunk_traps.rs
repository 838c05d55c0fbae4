//! The chunk stream cases that other implementations fall over, each by its name, and the rest of RTMP 5.3.

mod support;

use bytes::{BufMut, BytesMut};
use millstream_ingest::flv::TagKind::{Audio, Video};
use millstream_ingest::rtmp::chunk::kind;
use millstream_ingest::rtmp::{CloseReason, Error, Event};
use support::*;

fn full(timestamp: u32, length: usize, message_kind: u8) -> Header {
    Header::Full { timestamp, length, kind: message_kind, stream_id: 1 }
}

/// Feeds chunks to a session that is publishing with chunk size 4096.
fn fed(build: impl FnOnce(&mut BytesMut)) -> Pair {
    let mut pair = Pair::publishing();
    let mut bytes = BytesMut::new();
    build(&mut bytes);
    pair.feed(&bytes);
    pair
}

#[test]
fn an_audio_chunk_interleaved_in_a_video_message() {
    let mut pair = Pair::publishing();
    pair.client.set_chunk_size(128);
    pair.run();
    let mut b = BytesMut::new();
    chunk(&mut b, 6, full(40, 300, kind::VIDEO), &[1; 128]);
    chunk(&mut b, 4, full(41, 200, kind::AUDIO), &[2; 128]);
    chunk(&mut b, 6, Header::Same, &[3; 128]);
    chunk(&mut b, 4, Header::Same, &[4; 72]);
    chunk(&mut b, 6, Header::Same, &[5; 44]);
    pair.feed(&b);
    assert_eq!(pair.tags(), [(Audio, 41, 200), (Video, 40, 300)]);
    let Event::Tag(video) = &pair.events[1] else { panic!("{:?}", pair.events) };
    assert_eq!(video.body[..], [vec![1; 128], vec![3; 128], vec![5; 44]].concat());
}

#[test]
fn a_type_3_chunk_that_starts_a_message_repeats_the_delta() {
    let pair = fed(|b| {
        chunk(b, 4, full(1000, 10, kind::AUDIO), &[0; 10]);
        chunk(b, 4, Header::SameLength { delta: 21 }, &[0; 10]);
        chunk(b, 4, Header::Same, &[0; 10]);
        chunk(b, 4, Header::Same, &[0; 10]);
    });
    assert_eq!(pair.times(), [1000, 1021, 1042, 1063]);
}

/// RTMP 5.3.1.2.4: after a type 0 chunk its timestamp is the delta. FFmpeg sends 23, 46 this way.
#[test]
fn a_type_3_chunk_after_a_full_one_takes_its_timestamp_as_delta() {
    let pair = fed(|b| {
        chunk(b, 4, full(23, 10, kind::AUDIO), &[0; 10]);
        chunk(b, 4, Header::Same, &[0; 10]);
    });
    assert_eq!(pair.times(), [23, 46]);
}

#[test]
fn the_clock_wraps_in_deltas() {
    for delta in
        [|d, length| Header::SameStream { delta: d, length, kind: kind::VIDEO }, |d, _| Header::SameLength { delta: d }]
    {
        let pair = fed(|b| {
            chunk(b, 6, full(u32::MAX - 49, 5, kind::VIDEO), &[0; 5]);
            chunk(b, 6, delta(40, 5), &[0; 5]);
            chunk(b, 6, delta(40, 5), &[0; 5]);
            chunk(b, 6, Header::Same, &[0; 5]);
        });
        let start = i64::from(u32::MAX - 49);
        assert_eq!(pair.times(), [start, start + 40, start + 80, start + 120]);
    }
}

/// CHECK-6a: a stream that starts at 2^32 − 30,000 ms, every timestamp extended, over the wrap.
#[test]
fn the_clock_wraps_in_full_timestamps() {
    let mut pair = Pair::publishing();
    let start = u32::MAX - 29_999;
    for k in 0..1500_u32 {
        pair.client.video(start.wrapping_add(k * 40), &[0x27; 6000]);
        pair.client.audio(start.wrapping_add(k * 40 + 7), &[0xaf; 30]);
    }
    pair.run();
    let expected: Vec<i64> = (0..1500).flat_map(|k| [0, 7].map(|o| i64::from(start) + k * 40 + o)).collect();
    assert_eq!(pair.times(), expected);
}

#[test]
fn a_header_inside_a_message_is_an_error_not_a_panic() {
    for length in [1, 100, 6000, 70_000] {
        let pair = fed(|b| {
            chunk(b, 6, full(0, 6000, kind::VIDEO), &[0; 4096]);
            chunk(b, 6, full(0, length, kind::VIDEO), &[0; 1]);
        });
        assert!(
            matches!(pair.closed, Some(CloseReason::Protocol(Error::HeaderInsideMessage { csid: 6, .. }))),
            "{:?}",
            pair.closed
        );
    }
}

/// 8 MB in chunks of 128 bytes: linear, not a copy of the message for each chunk (which takes minutes).
#[test]
#[allow(clippy::disallowed_methods, reason = "it measures real time")]
fn a_large_message_in_small_chunks_is_linear() {
    let mut pair = Pair::publishing();
    pair.client.set_chunk_size(128);
    pair.run();
    pair.pieces = vec![65_536];
    pair.client.video(0, &vec![0x27; 8 * 1024 * 1024]);
    let began = std::time::Instant::now();
    pair.run();
    assert_eq!(pair.tags(), [(Video, 0, 8 * 1024 * 1024)]);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn extended_timestamps_come_with_type_3_chunks_too() {
    let t = 0x0100_0000;
    let pair = fed(|b| {
        chunk(b, 6, full(t, 6000, kind::VIDEO), &[1; 4096]);
        chunk(b, 6, Header::SameExtended(t), &[1; 1904]);
        // Exactly 0xffffff is extended as well.
        chunk(b, 6, full(0xff_ffff, 5, kind::VIDEO), &[1; 5]);
        chunk(b, 6, Header::SameLength { delta: 40 }, &[1; 5]);
        chunk(b, 6, Header::Same, &[1; 5]);
    });
    assert_eq!(pair.closed, None);
    assert_eq!(
        pair.tags(),
        [(Video, 0x100_0000, 6000), (Video, 0xff_ffff, 5), (Video, 0x100_0027, 5), (Video, 0x100_004f, 5)]
    );
}

#[test]
fn chunk_stream_ids_of_every_length() {
    for csid in [3, 63, 64, 319, 320, 65_599] {
        let pair = fed(|b| message(b, csid, kind::AUDIO, 5, &[1; 10_000], 4096));
        assert_eq!(pair.tags(), [(Audio, 5, 10_000)], "csid {csid}");
    }
}

#[test]
fn the_chunk_size_changes_between_and_inside_messages() {
    let mut pair = Pair::publishing();
    for size in [1, 127, 60_000, 0xff_ffff, 0x7fff_ffff] {
        pair.client.set_chunk_size(size);
        pair.client.video(9, &[1; 1000]);
        pair.run();
        assert_eq!(pair.events.len(), 1, "chunk size {size}: {:?}", pair.closed);
        pair.events.clear();
    }
    pair.client.set_chunk_size(128);
    pair.run();
    let mut b = BytesMut::new();
    chunk(&mut b, 6, full(1, 300, kind::VIDEO), &[1; 128]);
    message(&mut b, 2, kind::SET_CHUNK_SIZE, 0, &200_u32.to_be_bytes(), 128);
    chunk(&mut b, 6, Header::Same, &[1; 172]);
    pair.feed(&b);
    assert_eq!(pair.tags(), [(Video, 1, 300)]);
}

#[test]
fn impossible_chunk_sizes_are_errors() {
    for size in [0_u32, 0x8000_0000, u32::MAX] {
        let pair = fed(|b| message(b, 2, kind::SET_CHUNK_SIZE, 0, &size.to_be_bytes(), 4096));
        assert!(matches!(pair.closed, Some(CloseReason::Protocol(Error::ChunkSize { .. }))), "{:?}", pair.closed);
    }
}

#[test]
fn an_aborted_message_is_forgotten() {
    let pair = fed(|b| {
        chunk(b, 6, full(0, 6000, kind::VIDEO), &[1; 4096]);
        message(b, 2, kind::ABORT, 0, &6_u32.to_be_bytes(), 4096);
        message(b, 2, kind::ABORT, 0, &77_u32.to_be_bytes(), 4096);
        message(b, 6, kind::VIDEO, 40, &[2; 10], 4096);
    });
    assert_eq!((pair.tags(), &pair.closed), (vec![(Video, 40, 10)], &None));
}

/// librtmp (OBS) answers pings on a chunk stream of their own that begins with a type 1 header.
#[test]
fn a_chunk_stream_may_begin_with_type_1() {
    let pair = fed(|b| {
        chunk(b, 9, Header::SameStream { delta: 0, length: 6, kind: kind::USER_CONTROL }, &[0, 7, 0, 0, 0, 1]);
        message(b, 6, kind::VIDEO, 40, &[2; 10], 4096);
    });
    assert_eq!((pair.tags(), &pair.closed), (vec![(Video, 40, 10)], &None));
}

#[test]
fn a_chunk_stream_may_not_begin_without_a_length() {
    for header in [Header::SameLength { delta: 1 }, Header::Same] {
        let pair = fed(|b| chunk(b, 30, header, &[1]));
        assert!(matches!(pair.closed, Some(CloseReason::Protocol(Error::NoHeader { csid: 30, .. }))));
    }
}

#[test]
fn empty_messages_are_whole_at_once() {
    let pair = fed(|b| {
        chunk(b, 4, full(5, 0, kind::AUDIO), &[]);
        chunk(b, 4, Header::Same, &[]);
        message(b, 6, kind::VIDEO, 40, &[2; 10], 4096);
    });
    assert_eq!(pair.tags(), [(Audio, 5, 0), (Audio, 10, 0), (Video, 40, 10)]);
}

#[test]
fn an_aggregate_message_is_a_run_of_tags_on_the_messages_clock() {
    let mut body = BytesMut::new();
    for (message_kind, time, len) in [(9_u8, 5000_u32, 3_usize), (8, 5010, 4), (9, 5040, 5)] {
        body.put_u8(message_kind);
        body.put_uint(len as u64, 3);
        body.put_uint(u64::from(time), 3);
        body.put_u32(0);
        body.put_bytes(0x27, len);
        body.put_u32(11 + len as u32);
    }
    let pair = fed(|b| message(b, 6, kind::AGGREGATE, 900, &body, 4096));
    assert_eq!(pair.tags(), [(Video, 900, 3), (Audio, 910, 4), (Video, 940, 5)]);
    for cut in 1..body.len() - 4 {
        let pair = fed(|b| message(b, 6, kind::AGGREGATE, 900, &body[..cut], 4096));
        let whole_tags = [14, 18, 33, 37, 53].contains(&cut);
        assert_eq!(pair.closed.is_none(), whole_tags, "cut at {cut}: {:?}", pair.closed);
    }
}

#[test]
fn the_tags_of_an_aggregate_are_bounded() {
    let tags = |n: usize| [8_u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11].repeat(n);
    assert_eq!(fed(|b| message(b, 6, kind::AGGREGATE, 0, &tags(1024), 4096)).tags().len(), 1024);
    let pair = fed(|b| message(b, 6, kind::AGGREGATE, 0, &tags(1025), 4096));
    assert!(matches!(pair.closed, Some(CloseReason::Protocol(Error::Malformed { .. }))), "{:?}", pair.closed);
}

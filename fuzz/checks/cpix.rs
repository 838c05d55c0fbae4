//! Answers of a key server: no bytes panic, and what is taken is whole: the keys that were asked for, lines that stay lines,
//! boxes that are boxes, and no error that repeats a key.
//!
//! The input: a byte of flags for the question, then the answer.

use millstream_media::protection::{KeySystem, Scheme};
use millstream_package::protection::cpix::Request;
use quick_xml::events::Event;
use quick_xml::reader::NsReader;

/// Bytes held for each byte of input.
pub const PER_BYTE: usize = 256;

const ALL: [KeySystem; 4] = [KeySystem::Widevine, KeySystem::PlayReady, KeySystem::FairPlay, KeySystem::ClearKey];

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let Some((flags, answer)) = data.split_first() else { return };
    let count = usize::from(flags & 3) + 1;
    let request = Request {
        content_id: "news",
        scheme: if flags & 4 == 0 { Scheme::Cbcs } else { Scheme::Cenc },
        systems: &ALL[..count],
        period: (flags & 8 != 0).then_some(7),
        audio_key: flags & 16 != 0,
        recipient: None,
    };
    let taken = match request.read(answer) {
        Ok(taken) => taken,
        Err(error) => {
            // A line of a log, with nothing of the document in it.
            assert!(error.to_string().len() < 256, "{error}");
            return;
        }
    };
    let (video, audio) = request.key_ids();
    assert_eq!((taken.pair.video.id(), taken.pair.audio.id()), (video, audio));
    assert_eq!(taken.said.len(), if request.audio_key { 2 } else { 1 });
    for (signalling, boxes) in taken.said.values() {
        for line in signalling.hls.iter().chain(&signalling.hls_session) {
            assert!(line.starts_with("METHOD=SAMPLE-AES,") && !line.contains(char::is_control));
        }
        assert!(request.scheme == Scheme::Cbcs && !signalling.hls.is_empty() || signalling.hls.is_empty());
        for bytes in boxes {
            assert_eq!(bytes.len() as u64, u64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
        }
        for system in &signalling.dash {
            stands_in_an_element(&system.inner);
        }
    }
}

/// Of an MPD, whose end it may not move.
fn stands_in_an_element(inner: &str) {
    let document = format!("<a xmlns=\"urn:mpeg:dash:schema:mpd:2011\">{inner}</a>");
    let mut reader = NsReader::from_str(&document);
    let mut depth = 0_usize;
    loop {
        match reader.read_event().expect("XML that is well-formed") {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Eof => return,
            event => assert!(depth > 0, "{event:?} outside of the element"),
        }
    }
}

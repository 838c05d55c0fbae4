//! Commands: what a publishing client asks, and the messages it is answered with (RTMP 7.2, STANDARDS 6.7 to 6.10).

use bytes::Bytes;

use super::amf0::{self, Value};
use super::chunk::{Message, kind};
use crate::text::printable;

/// Longest encoder name kept, in characters.
const MAX_ENCODER_NAME: usize = 64;

/// A command as far as this server understands it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `connect`.
    Connect {
        /// Transaction id.
        transaction: f64,
        /// The application, without a trailing slash and query.
        app: String,
        /// `flashVer`: the encoder's name for itself, printable and short.
        encoder: Option<String>,
        /// The client speaks Enhanced RTMP (it sent `fourCcList` or one of the info maps; STANDARDS 6.18).
        enhanced: bool,
    },
    /// `createStream`.
    CreateStream {
        /// Transaction id.
        transaction: f64,
    },
    /// `releaseStream` or `FCPublish`: relics of Flash, answered and otherwise ignored.
    Relic {
        /// Transaction id.
        transaction: f64,
    },
    /// `publish`.
    Publish {
        /// Transaction id.
        transaction: f64,
        /// The publishing name: the stream key.
        name: String,
    },
    /// `FCUnpublish`, `deleteStream` or `closeStream`: the end of the stream.
    Unpublish,
    /// `play`, `play2`: not served here.
    Play {
        /// Transaction id.
        transaction: f64,
    },
    /// Anything else, ignored.
    Other,
}

impl Command {
    /// Reads the body of a command message.
    pub fn parse(payload: Bytes, limits: &amf0::Limits) -> Result<Command, amf0::Error> {
        let values = amf0::decode(payload, limits)?;
        let transaction = values.get(1).and_then(Value::as_number).unwrap_or(0.0);
        // The argument after name, transaction id and command object.
        let argument = || values.get(3).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(match values.first().and_then(Value::as_str).unwrap_or_default() {
            "connect" => connect(transaction, values.get(2).unwrap_or(&Value::Null)),
            "createStream" => Command::CreateStream { transaction },
            "releaseStream" | "FCPublish" => Command::Relic { transaction },
            "publish" => Command::Publish { transaction, name: argument() },
            "FCUnpublish" | "deleteStream" | "closeStream" => Command::Unpublish,
            "play" | "play2" => Command::Play { transaction },
            _ => Command::Other,
        })
    }
}

fn connect(transaction: f64, object: &Value) -> Command {
    let text = |name| object.get(name).and_then(Value::as_str);
    let app = text("app").unwrap_or_default();
    let app = app.split('?').next().unwrap_or_default().trim_end_matches('/').to_owned();
    let encoder = text("flashVer").filter(|s| !s.is_empty()).map(|s| printable(s, MAX_ENCODER_NAME));
    let enhanced =
        ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap"].into_iter().any(|name| object.get(name).is_some());
    Command::Connect { transaction, app, encoder, enhanced }
}

/// FourCCs in the answer to `connect`: what we take over Enhanced RTMP.
const FOUR_CCS: [&str; 5] = ["avc1", "hvc1", "av01", "mp4a", "Opus"];

/// FourCC info flag: the server can pass the codec on (ER2).
const CAN_FORWARD: f64 = 4.0;

/// `capsEx`: multitrack is understood (track 0 is used), ModEx, nanosecond offsets (ER2).
const CAPS_EX: f64 = (2 + 4 + 8) as f64;

fn command(stream_id: u32, values: &[Value]) -> Message {
    Message { kind: kind::COMMAND_AMF0, stream_id, timestamp: 0, payload: amf0::encode(values) }
}

/// `_result` of `connect`.
pub fn connect_result(transaction: f64, enhanced: bool) -> Message {
    let mut properties = vec![
        ("fmsVer".to_owned(), Value::from("FMS/3,5,7,7009")),
        ("capabilities".to_owned(), Value::from(31.0)),
        ("mode".to_owned(), Value::from(1.0)),
    ];
    if enhanced {
        let list = |names: &[&str]| Value::StrictArray(names.iter().map(|n| Value::from(*n)).collect());
        let map = |names: &[&str]| Value::Object(names.iter().map(|n| ((*n).to_owned(), CAN_FORWARD.into())).collect());
        properties.push(("fourCcList".to_owned(), list(&FOUR_CCS)));
        properties.push(("videoFourCcInfoMap".to_owned(), map(&["avc1", "hvc1", "av01"])));
        properties.push(("audioFourCcInfoMap".to_owned(), map(&["mp4a", "Opus"])));
        properties.push(("capsEx".to_owned(), CAPS_EX.into()));
    }
    let info = Value::object([
        ("level", "status".into()),
        ("code", "NetConnection.Connect.Success".into()),
        ("description", "Connection succeeded.".into()),
        ("objectEncoding", Value::from(0.0)),
    ]);
    command(0, &["_result".into(), transaction.into(), Value::Object(properties), info])
}

/// `_error` of `connect` for an application that is not served (STANDARDS 6.10).
pub fn connect_error(transaction: f64, description: &str) -> Message {
    let info = Value::object([
        ("level", "error".into()),
        ("code", "NetConnection.Connect.InvalidApp".into()),
        ("description", description.into()),
    ]);
    command(0, &["_error".into(), transaction.into(), Value::Null, info])
}

/// `_result` of `createStream`.
pub fn create_stream_result(transaction: f64, stream_id: u32) -> Message {
    command(0, &["_result".into(), transaction.into(), Value::Null, Value::from(f64::from(stream_id))])
}

/// `_result` with nothing in it.
pub fn empty_result(transaction: f64) -> Message {
    command(0, &["_result".into(), transaction.into(), Value::Null, Value::Undefined])
}

/// `onStatus` (RTMP 7.2.2, STANDARDS 6.8).
pub fn on_status(stream_id: u32, level: &str, code: &str, description: &str) -> Message {
    let info = Value::object([("level", level.into()), ("code", code.into()), ("description", description.into())]);
    command(stream_id, &["onStatus".into(), Value::from(0.0), Value::Null, info])
}

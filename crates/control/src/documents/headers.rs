//! CMAF headers of an encoder that sends them once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The headers of a channel's tracks as its encoder sent them, by track and in base64: `channels/NAME.headers.json`.
///
/// An encoder that goes on after a break, of its own or of the server, need not send them again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CmafHeaders(pub BTreeMap<String, String>);

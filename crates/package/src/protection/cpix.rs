//! The document that is exchanged with a key server: CPIX 2.3 as SPEKE 2.0 has it. Text in, text out.

mod document;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use millstream_media::protection::{DashSystem, KeyId, KeySystem, Scheme, Signalling};
use quick_xml::escape::escape;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use xxhash_rust::xxh3::xxh3_128;

use super::keys::{ContentKey, KeyPair};
use super::sealed::{CBC, Recipient};
use document::Document;

/// Longest answer of a key server that is read, in bytes.
pub const MAX_ANSWER: usize = 1 << 20;
/// Longest of the things that go into playlists, MPDs and init segments, in bytes.
const MAX_DATA: usize = 64 * 1024;
/// Deepest nesting of an answer.
const MAX_DEPTH: usize = 32;
/// Most lines of one kind for one key of one system.
const MAX_LINES: usize = 4;
/// What our delivery data is called.
const DELIVERY: &str = "millstream";

/// Why an answer cannot be used. None of these repeats a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not well-formed, or not of this kind.
    #[error("the answer is no CPIX document: {0}")]
    Form(String),
    /// It is longer than [`MAX_ANSWER`], or has something that is too long.
    #[error("the answer has more than is taken of {0}")]
    TooLong(&'static str),
    /// A key that was asked for is not there.
    #[error("the answer has no key for {0}")]
    NoKey(KeyId),
    /// A key is sent encrypted, though no certificate was sent.
    #[error("the answer has encrypted keys; set speke.certificate, or let the server send pskc:PlainValue")]
    Encrypted,
    /// A key is sent in the clear, though a certificate was sent.
    #[error("the answer has keys in the clear, though they are to be encrypted for speke.certificate")]
    Clear,
    /// Encrypted keys cannot be opened.
    #[error("the answer's delivery data cannot be used: {0}")]
    Delivery(&'static str),
    /// Something is not what its place asks for.
    #[error("{what} of key {key} is not valid: {why}")]
    Value {
        /// Where.
        what: &'static str,
        /// Whose.
        key: KeyId,
        /// What is wrong.
        why: &'static str,
    },
    /// A system that was asked for is not there, so that its players could play nothing.
    #[error("the answer says nothing of {system:?} for key {key}")]
    NoSystem {
        /// Which.
        system: KeySystem,
        /// Whose.
        key: KeyId,
    },
}

/// What is asked of a key server, for one crypto period of one channel.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The content's name at the key server.
    pub content_id: &'a str,
    /// The scheme of all keys.
    pub scheme: Scheme,
    /// The systems that are to be told of.
    pub systems: &'a [KeySystem],
    /// The crypto period; none if keys do not change.
    pub period: Option<u64>,
    /// Whether sound has a key of its own.
    pub audio_key: bool,
    /// For whom keys are to be encrypted; none if they are to come in the clear.
    pub recipient: Option<&'a Recipient>,
}

/// What a key server gave: keys, and what is said of each.
#[derive(Clone, Debug, PartialEq)]
pub struct PeriodKeys {
    /// The keys.
    pub pair: KeyPair,
    /// Signalling and `pssh` boxes by key.
    pub said: BTreeMap<KeyId, (Signalling, Vec<Bytes>)>,
}

impl Request<'_> {
    /// Ids of the keys for pictures and for sound. They follow from content, period and kind, so that two origins ask for
    /// the same keys, and one that starts again too.
    pub fn key_ids(&self) -> (KeyId, KeyId) {
        let of = |kind: &str| {
            let name = format!("millstream\n{}\n{}\n{kind}", self.content_id, self.period.unwrap_or(0));
            let mut id = xxh3_128(name.as_bytes()).to_be_bytes();
            // Version 8 of RFC 9562: a UUID of one's own making.
            id[6] = id[6] & 0x0f | 0x80;
            id[8] = id[8] & 0x3f | 0x80;
            KeyId(id)
        };
        if self.audio_key { (of("video"), of("audio")) } else { (of("all"), of("all")) }
    }

    fn keys(&self) -> Vec<(KeyId, &'static str)> {
        let (video, audio) = self.key_ids();
        if self.audio_key { vec![(video, "VIDEO"), (audio, "AUDIO")] } else { vec![(video, "ALL")] }
    }

    /// The document that is posted.
    pub fn to_xml(&self) -> String {
        let keys = self.keys();
        let scheme = self.scheme.as_str();
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<cpix:CPIX contentId=\"{}\" version=\"2.3\" \
             xmlns:cpix=\"urn:dashif:org:cpix\" xmlns:pskc=\"urn:ietf:params:xml:ns:keyprov:pskc\"",
            escape(self.content_id)
        );
        // Writing to a String cannot fail.
        if let Some(recipient) = self.recipient {
            let _ = write!(
                out,
                " xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" xmlns:enc=\"http://www.w3.org/2001/04/xmlenc#\">\n\
                 <cpix:DeliveryDataList>\n<cpix:DeliveryData id=\"{DELIVERY}\">\n<cpix:DeliveryKey>\n<ds:X509Data>\n\
                 <ds:X509Certificate>{}</ds:X509Certificate>\n</ds:X509Data>\n</cpix:DeliveryKey>\n\
                 </cpix:DeliveryData>\n</cpix:DeliveryDataList",
                recipient.certificate()
            );
        }
        out.push_str(">\n<cpix:ContentKeyList>\n");
        for (id, _) in &keys {
            let _ = writeln!(out, "<cpix:ContentKey kid=\"{id}\" commonEncryptionScheme=\"{scheme}\"/>");
        }
        out.push_str("</cpix:ContentKeyList>\n<cpix:DRMSystemList>\n");
        for (id, _) in &keys {
            for system in self.systems {
                let _ = writeln!(out, "<cpix:DRMSystem kid=\"{id}\" systemId=\"{}\">", system.id());
                if *system != KeySystem::FairPlay {
                    out.push_str("<cpix:PSSH/>\n<cpix:ContentProtectionData/>\n");
                }
                if self.scheme == Scheme::Cbcs {
                    out.push_str(
                        "<cpix:HLSSignalingData playlist=\"media\"/>\n<cpix:HLSSignalingData playlist=\"master\"/>\n",
                    );
                }
                out.push_str("</cpix:DRMSystem>\n");
            }
        }
        out.push_str("</cpix:DRMSystemList>\n");
        let period = self.period.map(|index| format!("period-{index}"));
        if let (Some(name), Some(index)) = (&period, self.period) {
            let _ = writeln!(
                out,
                "<cpix:ContentKeyPeriodList>\n<cpix:ContentKeyPeriod id=\"{name}\" index=\"{index}\"/>\n\
                 </cpix:ContentKeyPeriodList>"
            );
        }
        out.push_str("<cpix:ContentKeyUsageRuleList>\n");
        for (id, kind) in &keys {
            let _ = writeln!(out, "<cpix:ContentKeyUsageRule kid=\"{id}\" intendedTrackType=\"{kind}\">");
            if let Some(name) = &period {
                let _ = writeln!(out, "<cpix:KeyPeriodFilter periodId=\"{name}\"/>");
            }
            out.push_str(match *kind {
                "VIDEO" => "<cpix:VideoFilter/>\n",
                "AUDIO" => "<cpix:AudioFilter/>\n",
                _ => "<cpix:VideoFilter/>\n<cpix:AudioFilter/>\n",
            });
            out.push_str("</cpix:ContentKeyUsageRule>\n");
        }
        out.push_str("</cpix:ContentKeyUsageRuleList>\n</cpix:CPIX>\n");
        out
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// [`Error`]; nothing of it is used then.
    pub fn read(&self, answer: &[u8]) -> Result<PeriodKeys, Error> {
        if answer.len() > MAX_ANSWER {
            return Err(Error::TooLong("an answer"));
        }
        let text = std::str::from_utf8(answer).map_err(|_| Error::Form("it is not UTF-8".to_owned()))?;
        let document = Document::parse(text)?;
        let opened = self.recipient.map(|recipient| document.open(recipient)).transpose()?;
        let key = |id: KeyId| -> Result<ContentKey, Error> {
            let sent = document.keys.get(&id).ok_or(Error::NoKey(id))?;
            let plain = match (&sent.plain, &sent.sealed.value, &opened) {
                (_, Some(value), Some(keys)) => {
                    let what = "the encrypted value";
                    sent.sealed.is(CBC).map_err(|why| Error::Value { what, key: id, why })?;
                    let mac = sent.mac.as_deref().map(|mac| decoded(mac, "ValueMAC", id)).transpose()?;
                    let opened = keys.content_key(&decoded(value, what, id)?, mac.as_deref());
                    opened.map_err(|why| Error::Value { what, key: id, why })?
                }
                (Some(_), None, Some(_)) => return Err(Error::Clear),
                (Some(plain), _, None) => sixteen(plain, "the value", id)?,
                (None, Some(_), None) => return Err(Error::Encrypted),
                (None, None, _) => return Err(Error::NoKey(id)),
            };
            let iv = sent.iv.as_deref().map(|iv| sixteen(iv, "explicitIV", id)).transpose()?;
            Ok(ContentKey::new(id, plain, iv))
        };
        let (video, audio) = self.key_ids();
        let pair = KeyPair { video: key(video)?, audio: key(audio)? };
        let mut said = BTreeMap::new();
        for (id, _) in self.keys() {
            said.insert(id, self.said(id, &document)?);
        }
        Ok(PeriodKeys { pair, said })
    }

    fn said(&self, id: KeyId, document: &Document) -> Result<(Signalling, Vec<Bytes>), Error> {
        let mut signalling =
            Signalling { scheme: self.scheme, key_id: id, hls: Vec::new(), hls_session: Vec::new(), dash: Vec::new() };
        let mut boxes = Vec::new();
        for system in self.systems {
            let none = || Error::NoSystem { system: *system, key: id };
            let sent = document.systems.get(&(id, system.id())).ok_or_else(none)?;
            let pssh = sent.pssh.as_deref().map(|text| pssh_box(text, *system, id)).transpose()?;
            if let Some((bytes, _)) = &pssh {
                boxes.push(bytes.clone());
            }
            let inner = match (&sent.dash, &pssh) {
                (Some(text), _) => fragment(text, id)?,
                (None, Some((_, text))) => {
                    format!("<cenc:pssh xmlns:cenc=\"urn:mpeg:cenc:2013\">{text}</cenc:pssh>")
                }
                (None, None) => String::new(),
            };
            if *system != KeySystem::FairPlay {
                signalling.dash.push(DashSystem {
                    scheme_id_uri: format!("urn:uuid:{}", system.id()),
                    value: system.dash_value().to_owned(),
                    inner,
                });
            }
            if self.scheme == Scheme::Cbcs {
                signalling.hls.extend(lines(&sent.media, "#EXT-X-KEY:", id)?);
                signalling.hls_session.extend(lines(&sent.master, "#EXT-X-SESSION-KEY:", id)?);
            }
        }
        if self.scheme == Scheme::Cbcs && signalling.hls.is_empty() {
            return Err(Error::Value {
                what: "HLSSignalingData",
                key: id,
                why: "no system has a line for media playlists",
            });
        }
        Ok((signalling, boxes))
    }
}

fn decoded(text: &str, what: &'static str, key: KeyId) -> Result<Vec<u8>, Error> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = STANDARD.decode(text).map_err(|_| Error::Value { what, key, why: "it is no base64" })?;
    if bytes.len() > MAX_DATA { Err(Error::TooLong(what)) } else { Ok(bytes) }
}

fn sixteen(text: &str, what: &'static str, key: KeyId) -> Result<[u8; 16], Error> {
    let bytes = decoded(text, what, key)?;
    bytes.try_into().map_err(|_| Error::Value { what, key, why: "it has not 16 bytes" })
}

/// A whole `pssh` box of this system, and its base64.
fn pssh_box(text: &str, system: KeySystem, key: KeyId) -> Result<(Bytes, String), Error> {
    let bytes = decoded(text, "PSSH", key)?;
    let whole = bytes.get(..4) == Some(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes()[..]);
    if !whole || bytes.get(4..8) != Some(b"pssh") || bytes.get(12..28) != Some(&system.id().0[..]) {
        return Err(Error::Value { what: "PSSH", key, why: "it is no pssh box of its system" });
    }
    let text = STANDARD.encode(&bytes);
    Ok((Bytes::from(bytes), text))
}

/// Attribute lists of lines that begin so; other lines are passed over.
fn lines(sent: &[String], prefix: &str, key: KeyId) -> Result<Vec<String>, Error> {
    const WHAT: &str = "HLSSignalingData";
    let mut out = Vec::new();
    for text in sent {
        let bytes = decoded(text, WHAT, key)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::Value { what: WHAT, key, why: "it is not UTF-8" })?;
        for list in text.lines().filter_map(|line| line.trim().strip_prefix(prefix)) {
            // STANDARDS 1.51: what is encrypted is cbcs.
            if !list.starts_with("METHOD=SAMPLE-AES,") || list.chars().any(char::is_control) {
                return Err(Error::Value { what: WHAT, key, why: "it does not begin with METHOD=SAMPLE-AES" });
            }
            out.push(list.to_owned());
        }
    }
    if out.len() > MAX_LINES { Err(Error::TooLong(WHAT)) } else { Ok(out) }
}

/// A fragment of XML that stands for itself: well-formed, every prefix declared in it, no document type.
fn fragment(text: &str, key: KeyId) -> Result<String, Error> {
    let fault = |why| Error::Value { what: "ContentProtectionData", key, why };
    let bytes = decoded(text, "ContentProtectionData", key)?;
    let text = String::from_utf8(bytes).map_err(|_| fault("it is not UTF-8"))?;
    let mut reader = NsReader::from_str(&text);
    let mut depth = 0_usize;
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|_| fault("it is not well-formed"))?;
        if matches!(namespace, ResolveResult::Unknown(_)) {
            return Err(fault("it uses a prefix that it does not declare"));
        }
        let start = match &event {
            Event::Start(start) => {
                depth += 1;
                start
            }
            Event::Empty(start) => start,
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Event::Eof if depth == 0 => return Ok(text),
            Event::Eof => return Err(fault("it is not well-formed")),
            Event::DocType(_) | Event::Decl(_) | Event::PI(_) => return Err(fault("it is no fragment")),
            _ => continue,
        };
        let start = start.to_owned();
        if depth > MAX_DEPTH {
            return Err(Error::TooLong("nested elements"));
        }
        for attribute in start.attributes() {
            let name = attribute.map_err(|_| fault("it is not well-formed"))?.key;
            let declares = name.as_namespace_binding().is_some();
            if !declares && matches!(reader.resolver().resolve_attribute(name).0, ResolveResult::Unknown(_)) {
                return Err(fault("it uses a prefix that it does not declare"));
            }
        }
    }
}

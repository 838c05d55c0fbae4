//! A key server's answer as it was sent: XML to what matters of it, in base64 still.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream_media::protection::KeyId;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::{DELIVERY, Error, MAX_DEPTH};
use crate::protection::sealed::{DocumentKeys, HMAC, OAEP, Recipient};

/// Most recipients of an answer.
const MAX_RECIPIENTS: usize = 16;

/// Something encrypted as it was sent.
#[derive(Default)]
pub(super) struct Sealed {
    /// How (XML Encryption).
    algorithm: Option<String>,
    /// In base64.
    pub(super) value: Option<String>,
}

impl Sealed {
    pub(super) fn is(&self, algorithm: &str) -> Result<(), &'static str> {
        let same = self.algorithm.as_deref() == Some(algorithm);
        if same { Ok(()) } else { Err("its EncryptionMethod is none that is known here") }
    }

    fn bytes(&self) -> Result<Vec<u8>, Error> {
        self.is(OAEP).map_err(Error::Delivery)?;
        let text: String = self.value.iter().flat_map(|text| text.chars()).filter(|c| !c.is_whitespace()).collect();
        STANDARD.decode(text).map_err(|_| Error::Delivery("a CipherValue is no base64"))
    }
}

/// What is said to one recipient.
#[derive(Default)]
struct Delivery {
    id: Option<String>,
    document_key: Sealed,
    mac_algorithm: Option<String>,
    mac_key: Sealed,
}

/// A key as it was sent, in base64.
#[derive(Default)]
pub(super) struct SentKey {
    pub(super) plain: Option<String>,
    pub(super) sealed: Sealed,
    pub(super) mac: Option<String>,
    pub(super) iv: Option<String>,
}

/// What was sent of a system, in base64.
#[derive(Default)]
pub(super) struct SentSystem {
    pub(super) pssh: Option<String>,
    pub(super) dash: Option<String>,
    pub(super) media: Vec<String>,
    pub(super) master: Vec<String>,
}

/// An answer, as far as it matters.
#[derive(Default)]
pub(super) struct Document {
    deliveries: Vec<Delivery>,
    pub(super) keys: BTreeMap<KeyId, SentKey>,
    pub(super) systems: BTreeMap<(KeyId, KeyId), SentSystem>,
}

/// Whose text is read.
enum Place {
    Key(KeyId),
    System(KeyId, KeyId),
    /// Of the newest delivery.
    DocumentKey,
    Mac,
}

impl Document {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut reader = Reader::from_str(text);
        let (mut out, mut open): (Document, Vec<String>) = (Document::default(), Vec::new());
        let (mut place, mut master, mut content) = (None, false, String::new());
        loop {
            // What the library says of it repeats the document, and so perhaps a key.
            let event = reader.read_event();
            let event = event.map_err(|_| Error::Form(format!("it breaks off at byte {}", reader.error_position())))?;
            match &event {
                Event::Start(start) | Event::Empty(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    if open.is_empty() && name != "CPIX" {
                        return Err(Error::Form("its root is another element".to_owned()));
                    }
                    match name.as_str() {
                        "ContentKey" => {
                            let id = key_id(start, "kid")?;
                            out.keys.entry(id).or_default().iv = attribute(start, "explicitIV")?;
                            place = Some(Place::Key(id));
                        }
                        "DRMSystem" => {
                            let (id, system) = (key_id(start, "kid")?, key_id(start, "systemId")?);
                            out.systems.entry((id, system)).or_default();
                            place = Some(Place::System(id, system));
                        }
                        "DeliveryData" => {
                            if out.deliveries.len() >= MAX_RECIPIENTS {
                                return Err(Error::TooLong("recipients"));
                            }
                            out.deliveries.push(Delivery { id: attribute(start, "id")?, ..Delivery::default() });
                        }
                        "DocumentKey" => place = Some(Place::DocumentKey),
                        "MACMethod" => {
                            if let Some(delivery) = out.deliveries.last_mut() {
                                delivery.mac_algorithm = Some(attribute(start, "Algorithm")?.unwrap_or_default());
                            }
                            place = Some(Place::Mac);
                        }
                        "EncryptionMethod" => {
                            let algorithm = attribute(start, "Algorithm")?;
                            if let Some(sealed) = out.sealed(&place) {
                                sealed.algorithm = algorithm;
                            }
                        }
                        "HLSSignalingData" => master = attribute(start, "playlist")?.as_deref() == Some("master"),
                        _ => {}
                    }
                    content.clear();
                    if matches!(event, Event::Start(_)) {
                        if open.len() >= MAX_DEPTH {
                            return Err(Error::TooLong("nested elements"));
                        }
                        open.push(name);
                    }
                }
                Event::Text(part) => content.push_str(&part.xml10_content()),
                Event::CData(part) => content.push_str(&part.xml10_content()),
                Event::DocType(_) => return Err(Error::Form("it has a document type".to_owned())),
                Event::End(_) => {
                    let Some(name) = open.pop() else { return Err(Error::Form("an end without a start".to_owned())) };
                    let text = std::mem::take(&mut content);
                    out.take(&name, &mut place, master, text.trim());
                    if open.is_empty() {
                        return Ok(out);
                    }
                }
                Event::Eof => return Err(Error::Form("it ends before its root does".to_owned())),
                _ => {}
            }
        }
    }

    fn take(&mut self, name: &str, place: &mut Option<Place>, master: bool, text: &str) {
        if matches!(name, "ContentKey" | "DRMSystem" | "DocumentKey" | "MACMethod") {
            *place = None;
            return;
        }
        let some = || Some(text.to_owned()).filter(|text| !text.is_empty());
        if name == "CipherValue" {
            if let Some(sealed) = self.sealed(place) {
                sealed.value = some();
            }
            return;
        }
        match place {
            Some(Place::Key(id)) => {
                let key = self.keys.entry(*id).or_default();
                match name {
                    "PlainValue" => key.plain = some(),
                    "EncryptedValue" if key.sealed.value.is_none() => key.sealed.value = Some(String::new()),
                    "ValueMAC" => key.mac = some(),
                    _ => {}
                }
            }
            Some(Place::System(id, system)) => {
                let system = self.systems.entry((*id, *system)).or_default();
                match name {
                    "PSSH" => system.pssh = some(),
                    "ContentProtectionData" => system.dash = some(),
                    "HLSSignalingData" if master => system.master.extend(some()),
                    "HLSSignalingData" => system.media.extend(some()),
                    _ => {}
                }
            }
            Some(Place::DocumentKey | Place::Mac) | None => {}
        }
    }

    /// What is encrypted in this place.
    fn sealed(&mut self, place: &Option<Place>) -> Option<&mut Sealed> {
        match place {
            Some(Place::Key(id)) => Some(&mut self.keys.entry(*id).or_default().sealed),
            Some(Place::DocumentKey) => Some(&mut self.deliveries.last_mut()?.document_key),
            Some(Place::Mac) => Some(&mut self.deliveries.last_mut()?.mac_key),
            Some(Place::System(..)) | None => None,
        }
    }

    /// The keys by which the document's content keys are encrypted for us.
    pub(super) fn open(&self, recipient: &Recipient) -> Result<DocumentKeys, Error> {
        let ours = self.deliveries.iter().find(|delivery| delivery.id.as_deref() == Some(DELIVERY));
        let only = || self.deliveries.first().filter(|_| self.deliveries.len() == 1);
        let Some(delivery) = ours.or_else(only) else {
            let any_clear = self.keys.values().any(|key| key.plain.is_some());
            return Err(if any_clear { Error::Clear } else { Error::Delivery("there is none for us") });
        };
        let mac = match delivery.mac_algorithm.as_deref() {
            None => None,
            Some(HMAC) => Some(delivery.mac_key.bytes()?),
            Some(_) => return Err(Error::Delivery("its MACMethod is not hmac-sha512")),
        };
        if delivery.document_key.value.is_none() && self.keys.values().any(|key| key.plain.is_some()) {
            return Err(Error::Clear);
        }
        DocumentKeys::open(recipient, &delivery.document_key.bytes()?, mac.as_deref()).map_err(Error::Delivery)
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, Error> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| malformed_attribute())?;
        if attribute.key.as_ref() == name {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            return value.map(|value| Some(value.into_owned())).map_err(|_| malformed_attribute());
        }
    }
    Ok(None)
}

fn malformed_attribute() -> Error {
    Error::Form("an attribute is not well-formed".to_owned())
}

fn key_id(start: &BytesStart<'_>, name: &'static str) -> Result<KeyId, Error> {
    let id = attribute(start, name)?.and_then(|text| KeyId::parse(&text));
    id.ok_or_else(|| Error::Form(format!("an element {} without a UUID in {name}", start.local_name().as_ref())))
}

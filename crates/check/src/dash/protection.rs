//! `ContentProtection`: its form, and that it says what the header says: rule 3.17 in an MPD (ISO/IEC 23001-7 11.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::mpd::Representation;
use super::tree::Element;
use crate::boxes::encryption::{pssh_system, uuid};
use crate::boxes::header::Header;
use crate::boxes::walk::name;
use crate::finding::Findings;

/// Says the scheme and the key's id.
const COMMON: &str = "urn:mpeg:dash:mp4protection:2011";

/// The form of each element.
pub fn check(representation: &Representation, url: &str, findings: &mut Findings) {
    for element in &representation.protection {
        let Some(scheme) = element.get("schemeIdUri") else {
            findings.error_at("3.17", url, element.line, "a ContentProtection without @schemeIdUri");
            continue;
        };
        let system = scheme.to_ascii_lowercase().strip_prefix("urn:uuid:").map(str::to_owned);
        for pssh in element.all("pssh") {
            let said = STANDARD.decode(pssh.text.trim()).ok().and_then(|bytes| pssh_system(&bytes)).map(uuid);
            match (said, &system) {
                (None, _) => findings.error_at("3.17", url, pssh.line, "cenc:pssh is no pssh box in base64"),
                (Some(said), Some(system)) if said != *system => {
                    findings.error_at(
                        "3.17",
                        url,
                        pssh.line,
                        format!("cenc:pssh is of {said}, its element of {system}"),
                    );
                }
                (Some(_), _) => {}
            }
        }
        if let Some(id) = default_key_id(element)
            && (id.len() != 36 || id.split('-').map(str::len).ne([8, 4, 4, 4, 12]))
        {
            findings.error_at("3.17", url, element.line, format!("@cenc:default_KID {id} is no UUID"));
        }
    }
}

fn default_key_id(element: &Element) -> Option<&str> {
    let mut all = element.attributes.iter();
    all.find(|(name, _)| name.rsplit(':').next() == Some("default_KID")).map(|(_, value)| value.as_str())
}

/// What an MPD says of a representation's encryption is what its header says.
pub fn against_header(representation: &Representation, header: &Header, url: &str, findings: &mut Findings) {
    let id = &representation.id;
    let all = &representation.protection;
    let common = all.iter().find(|e| e.get("schemeIdUri") == Some(COMMON));
    let line = common.map_or(representation.tree.line, |e| e.line);
    let mut fault = |message: String| findings.error_at("3.17", url, line, format!("{id}: {message}"));
    let Some(encryption) = &header.encryption else {
        if !all.is_empty() {
            fault("ContentProtection, but the header says that it is clear".to_owned());
        }
        return;
    };
    let Some(common) = common else {
        fault("the header says that it is encrypted, but there is no ContentProtection of mp4protection".to_owned());
        return;
    };
    let scheme = name(encryption.scheme);
    if common.get("value") != Some(scheme.as_str()) {
        fault(format!("ContentProtection says scheme {}, the header {scheme}", common.get("value").unwrap_or("none")));
    }
    let key_id = encryption.key_id_text();
    match default_key_id(common) {
        None => fault("ContentProtection of mp4protection without @cenc:default_KID".to_owned()),
        Some(said) if !said.eq_ignore_ascii_case(&key_id) => {
            fault(format!("@cenc:default_KID is {said}, the header has {key_id}"));
        }
        Some(_) => {}
    }
}

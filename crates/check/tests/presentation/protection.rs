//! The faultless presentation, encrypted: what headers, chunks, playlists and the MPD say of it. Media bytes stay as they
//! are; nobody here decrypts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{bx, words};

/// A scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    Cbcs,
    Cenc,
}

const SYSTEM: [u8; 16] =
    [0x10, 0x77, 0xef, 0xec, 0xc0, 0xb2, 0x4d, 0x02, 0xac, 0xe3, 0x3c, 0x1e, 0x52, 0xe2, 0xfb, 0x4b];

fn key_id(rendition: &str) -> [u8; 16] {
    [if rendition == "audio" { 0xa0 } else { 0xb0 }; 16]
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Attributes of a key.
pub fn hls(rendition: &str) -> String {
    let name = if rendition == "audio" { "audio" } else { "video" };
    format!("METHOD=SAMPLE-AES,URI=\"../{name}.key\",KEYFORMAT=\"identity\",KEYFORMATVERSIONS=\"1\"")
}

pub fn pssh(rendition: &str) -> Vec<u8> {
    bx(b"pssh", &[&[1, 0, 0, 0], &SYSTEM, &words(&[1]), &key_id(rendition), &words(&[0])])
}

impl Protection {
    fn name(self) -> &'static str {
        if self == Protection::Cbcs { "cbcs" } else { "cenc" }
    }

    pub fn dash(self, rendition: &str) -> String {
        format!(
            "<ContentProtection schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" value=\"{}\" cenc:default_KID=\"{}\" \
             xmlns:cenc=\"urn:mpeg:cenc:2013\"/><ContentProtection schemeIdUri=\"urn:uuid:{}\"><cenc:pssh \
             xmlns:cenc=\"urn:mpeg:cenc:2013\">{}</cenc:pssh></ContentProtection>",
            self.name(),
            uuid(key_id(rendition)),
            uuid(SYSTEM),
            STANDARD.encode(pssh(rendition))
        )
    }

    pub fn sinf(self, original: &[u8; 4], rendition: &str) -> Vec<u8> {
        let tenc = match self {
            Protection::Cbcs => {
                let pattern = if rendition == "audio" { 0 } else { 0x19 };
                [&[1, 0, 0, 0, 0, pattern, 1, 0][..], &key_id(rendition), &[16], &[7; 16]].concat()
            }
            Protection::Cenc => [&[0, 0, 0, 0, 0, 0, 1, 8][..], &key_id(rendition)].concat(),
        };
        let schm = [&words(&[0])[..], self.name().as_bytes(), &words(&[0x0001_0000])].concat();
        bx(b"sinf", &[&bx(b"frma", &[original]), &bx(b"schm", &[&schm]), &bx(b"schi", &[&bx(b"tenc", &[&tenc])])])
    }

    /// `senc`, `saio` and `saiz`, with `before` bytes of `moof` before them.
    pub fn senc(self, rendition: &str, start: u64, sizes: &[u32], before: usize) -> Vec<u8> {
        let video = rendition != "audio";
        let entry = |(i, size): (usize, &u32)| {
            let mut out = Vec::new();
            if self == Protection::Cenc {
                out.extend_from_slice(&(start + i as u64).to_be_bytes());
            }
            if video {
                out.extend_from_slice(&[0, 1]);
                let protected = if self == Protection::Cenc { 32 } else { 33 };
                out.extend_from_slice(&((size - protected) as u16).to_be_bytes());
                out.extend_from_slice(&protected.to_be_bytes());
            }
            out
        };
        let entries: Vec<Vec<u8>> = sizes.iter().enumerate().map(entry).collect();
        let size = entries.first().map_or(0, Vec::len);
        let flags = if video { 2 } else { 0 };
        let senc = bx(b"senc", &[&words(&[flags, sizes.len() as u32]), &entries.concat()]);
        if size == 0 {
            return senc;
        }
        let saio = bx(b"saio", &[&words(&[0, 1, before as u32 + 16])]);
        let saiz = bx(b"saiz", &[&words(&[0]), &[size as u8], &words(&[sizes.len() as u32])]);
        [senc, saio, saiz].concat()
    }
}

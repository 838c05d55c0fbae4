//! What tus says in headers about a file that is to come. Pure.

use base64::Engine as _;
use http::{HeaderMap, HeaderName};

/// Bytes of the file.
pub const LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// Where a body begins in the file.
pub const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// Keys and Base64 values, separated by commas.
pub const METADATA: HeaderName = HeaderName::from_static("upload-metadata");

/// A file that is to come, as its sender says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// Bytes of the file.
    pub size: u64,
    /// Its name.
    pub file: String,
    /// The asset's name in URLs.
    pub id: Option<String>,
    /// The asset's title.
    pub title: Option<String>,
    /// What the client knows the file by.
    pub fingerprint: Option<String>,
}

/// Why headers say nothing that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No length, or none that is a number.
    #[error("Upload-Length is no number; send the file's bytes")]
    Length,
    /// Values that are no Base64, or no text.
    #[error("Upload-Metadata is not Base64 of UTF-8 text; encode its values so")]
    Metadata,
}

impl Upload {
    /// Reads `Upload-Length` and `Upload-Metadata`; keys without a meaning here are ignored.
    ///
    /// # Errors
    /// [`Malformed`], which is answered 400.
    pub fn read(headers: &HeaderMap) -> Result<Self, Malformed> {
        let mut upload = Upload { size: number(headers, &LENGTH).ok_or(Malformed::Length)?, ..Upload::default() };
        let metadata = headers.get(METADATA).map(|v| v.to_str().unwrap_or_default()).unwrap_or_default();
        for pair in metadata.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim());
            let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(Malformed::Metadata)?;
            match key {
                "filename" => upload.file = text,
                "id" => upload.id = Some(text),
                "title" => upload.title = Some(text),
                "fingerprint" => upload.fingerprint = Some(text),
                _ => {}
            }
        }
        Ok(upload)
    }
}

/// A header that is a decimal number: digits alone.
pub fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(length: &'static str, metadata: &'static str) -> Result<Upload, Malformed> {
        let mut headers = HeaderMap::new();
        headers.insert(LENGTH, HeaderValue::from_static(length));
        headers.insert(METADATA, HeaderValue::from_static(metadata));
        Upload::read(&headers)
    }

    #[test]
    fn headers_of_an_upload() {
        let upload = read("12", "filename YS5tcDQ=, title  w6Q=,unknown,id YQ==").unwrap();
        assert_eq!((upload.size, upload.file.as_str(), upload.title.as_deref()), (12, "a.mp4", Some("ä")));
        assert_eq!((upload.id.as_deref(), upload.fingerprint), (Some("a"), None));
        for length in ["", "+5", "-1", "0x10", "1e3", "18446744073709551616", "5 "] {
            assert_eq!(read(length, ""), Err(Malformed::Length), "{length}");
        }
        for metadata in ["filename a.mp4", "filename /w=="] {
            assert_eq!(read("1", metadata), Err(Malformed::Metadata), "{metadata}");
        }
        assert_eq!(Upload::read(&HeaderMap::new()), Err(Malformed::Length));
    }
}

//! The base64 of signed URLs and cookies: `-` for `+`, `_` for `=`, `~` for `/` (STANDARDS 7.5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The text of these bytes.
pub fn encode(bytes: &[u8]) -> String {
    let swap = |c: char| match c {
        '+' => '-',
        '=' => '_',
        '/' => '~',
        other => other,
    };
    STANDARD.encode(bytes).chars().map(swap).collect()
}

/// The bytes of a text; `None` if it is not the one spelling of any.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let swap = |b: u8| match b {
        b'-' => Some(b'+'),
        b'_' => Some(b'='),
        b'~' => Some(b'/'),
        b if b.is_ascii_alphanumeric() => Some(b),
        _ => None,
    };
    STANDARD.decode(text.bytes().map(swap).collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_alphabet_of_urls() {
        assert_eq!(encode(&[0xfb, 0xef, 0xff, 0xff]), "--~~~w__");
        assert_eq!(decode("--~~~w__"), Some(vec![0xfb, 0xef, 0xff, 0xff]));
        for wrong in ["++++", "//==", "QQ", "QR__", "Q", "QQ=="] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }
}

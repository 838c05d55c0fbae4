//! What the outline of a file that cannot be opened says about its fault. Pure.
//!
//! Only MP4 and its kin are looked into: there the index (`moov`) is often at the end, so that a copy which broke off
//! has media and cannot be read.

/// Most boxes looked at.
const MAX_BOXES: usize = 64;

/// Why a file of `size` bytes cannot be read, if its outline shows it. `read` reads at an offset and gives how many
/// bytes there were.
pub fn fault(size: u64, read: impl Fn(u64, &mut [u8]) -> usize) -> Option<String> {
    let mut at = 0;
    let (mut is_mp4, mut has_index) = (false, false);
    for _ in 0..MAX_BOXES {
        if at >= size {
            break;
        }
        let mut head = [0; 16];
        if read(at, &mut head) < 8 {
            break;
        }
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = head;
        let kind: [u8; 4] = kind;
        is_mp4 |= at == 0 && kind == *b"ftyp";
        if !is_mp4 {
            return None;
        }
        has_index |= kind == *b"moov";
        let length = match u32::from_be_bytes([a, b, c, d]) {
            0 => size - at,
            1 => {
                let [.., h0, h1, h2, h3, h4, h5, h6, h7] = head;
                u64::from_be_bytes([h0, h1, h2, h3, h4, h5, h6, h7])
            }
            n => n.into(),
        };
        if length < 8 {
            break;
        }
        let end = at.saturating_add(length);
        if end > size {
            let name = String::from_utf8_lossy(&kind).into_owned();
            return Some(format!(
                "the file is truncated: its {name} box ends at byte {end} and the file at byte {size}; copy it again, or \
                 record it to its end"
            ));
        }
        at = end;
    }
    (is_mp4 && !has_index).then(|| {
        "the file is an MP4 without its index (moov box), as one whose recording broke off; restore it with a repair \
         program, or record as fragmented MP4 or MKV"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<String> {
        fault(bytes.len() as u64, |at, into| {
            let rest = bytes.get(at as usize..).unwrap_or_default();
            let n = rest.len().min(into.len());
            into[..n].copy_from_slice(&rest[..n]);
            n
        })
    }

    fn a_box(kind: &[u8; 4], length: u32, body: usize) -> Vec<u8> {
        let mut out = length.to_be_bytes().to_vec();
        out.extend_from_slice(kind);
        out.resize(8 + body, 0);
        out
    }

    #[test]
    fn a_copy_that_broke_off_is_told_with_its_length() {
        let cut = [a_box(b"ftyp", 16, 8), a_box(b"mdat", 1000, 100)].concat();
        assert!(of(&cut).unwrap().contains("mdat box ends at byte 1016 and the file at byte 124"));
        let unfinished = [a_box(b"ftyp", 16, 8), a_box(b"mdat", 0, 100)].concat();
        assert!(of(&unfinished).unwrap().contains("without its index"));
    }

    #[test]
    fn other_files_and_whole_ones_say_nothing() {
        for bytes in [
            Vec::new(),
            b"RIFF".to_vec(),
            vec![0; 4000],
            [a_box(b"ftyp", 16, 8), a_box(b"moov", 16, 8), a_box(b"mdat", 16, 8)].concat(),
        ] {
            assert_eq!(of(&bytes), None);
        }
        // A box of no length ends the walk.
        assert!(of(&[a_box(b"ftyp", 16, 8), a_box(b"free", 3, 8)].concat()).unwrap().contains("without its index"));
    }
}

//! Common Encryption as a player undoes it, by what the boxes say: init and segments become what any decoder plays.

use std::collections::BTreeMap;

use aes::Aes128;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt as _, BlockEncrypt as _, KeyInit as _};
use millstream_check::boxes::walk::{Box, be16, be32, boxes, child, children, descend};

/// Keys by key id.
pub type Keys = BTreeMap<[u8; 16], [u8; 16]>;

/// What an init segment says of its encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// `cbcs` or `cenc`.
    pub scheme: [u8; 4],
    /// Which key.
    pub key_id: [u8; 16],
    iv_size: usize,
    constant_iv: Vec<u8>,
    /// Blocks encrypted and left, by turns.
    pattern: (usize, usize),
}

/// Reads an init segment. Gives what it says and the init segment of the clear track.
///
/// # Panics
/// If it is none of an encrypted track.
pub fn init(bytes: &[u8]) -> (Track, Vec<u8>) {
    let mut out = bytes.to_vec();
    let top = boxes(bytes).unwrap();
    let moov = top.iter().find(|b| b.is(b"moov")).unwrap();
    let path: [&[u8; 4]; 5] = [b"trak", b"mdia", b"minf", b"stbl", b"stsd"];
    let stsd = descend(moov, &path).unwrap();
    let entry = *boxes(&stsd.body[8..]).unwrap().first().unwrap();
    let fixed = if entry.is(b"encv") { 78 } else { 28 };
    assert!(entry.is(b"encv") || entry.is(b"enca"), "the track is clear: {}", entry.name());
    let inner = boxes(&entry.body[fixed..]).unwrap();
    let sinf = inner.iter().find(|b| b.is(b"sinf")).unwrap();
    let original = child(sinf, b"frma").unwrap().body;
    let scheme: [u8; 4] = child(sinf, b"schm").unwrap().body[4..8].try_into().unwrap();
    let tenc = descend(sinf, &[b"schi", b"tenc"]).unwrap().body;
    let iv_size = usize::from(tenc[7]);
    let track = Track {
        scheme,
        key_id: tenc[8..24].try_into().unwrap(),
        iv_size,
        constant_iv: if iv_size == 0 { tenc[25..].to_vec() } else { Vec::new() },
        pattern: (usize::from(tenc[5] >> 4), usize::from(tenc[5] & 15)),
    };
    let place = |b: &Box<'_>| b.body.as_ptr() as usize - bytes.as_ptr() as usize - 4;
    out[place(&entry)..place(&entry) + 4].copy_from_slice(original);
    for gone in std::iter::once(*sinf).chain(children(moov).into_iter().filter(|b| b.is(b"pssh"))) {
        out[place(&gone)..place(&gone) + 4].copy_from_slice(b"free");
    }
    (track, out)
}

/// Decrypts a segment.
///
/// # Panics
/// If its boxes do not add up, or the key is not there.
pub fn segment(bytes: &[u8], track: &Track, keys: &Keys) -> Vec<u8> {
    let key = keys.get(&track.key_id).unwrap_or_else(|| panic!("no key for {:02x?}", track.key_id));
    let aes = Aes128::new(GenericArray::from_slice(key));
    let mut out = bytes.to_vec();
    let mut sizes: Vec<usize> = Vec::new();
    let mut entries: Vec<Entry> = Vec::new();
    for this in boxes(bytes).unwrap() {
        if this.is(b"moof") {
            let traf = child(&this, b"traf").unwrap();
            sizes = sample_sizes(&traf);
            entries = senc(&child(&traf, b"senc").unwrap(), track.iv_size);
            assert_eq!(entries.len(), sizes.len());
            for gone in children(&traf).iter().filter(|b| matches!(&b.kind, b"senc" | b"saiz" | b"saio")) {
                let at = gone.body.as_ptr() as usize - bytes.as_ptr() as usize - 4;
                out[at..at + 4].copy_from_slice(b"free");
            }
        } else if this.is(b"mdat") {
            let mut at = this.end - this.body.len();
            for (size, entry) in sizes.iter().zip(&entries) {
                sample(&mut out[at..at + size], entry, track, &aes);
                at += size;
            }
            assert_eq!(at, this.end);
        }
    }
    out
}

/// An IV, and runs of clear and protected bytes.
type Entry = (Vec<u8>, Vec<(usize, usize)>);

fn senc(senc: &Box<'_>, iv_size: usize) -> Vec<Entry> {
    let has_runs = be32(senc.body, 0).unwrap() & 2 != 0;
    let mut at = 8;
    (0..be32(senc.body, 4).unwrap())
        .map(|_| {
            let iv = senc.body[at..at + iv_size].to_vec();
            at += iv_size;
            let mut runs = Vec::new();
            if has_runs {
                for _ in 0..be16(senc.body, at).unwrap() {
                    runs.push((
                        usize::from(be16(senc.body, at + 2).unwrap()),
                        be32(senc.body, at + 4).unwrap() as usize,
                    ));
                    at += 6;
                }
                at += 2;
            }
            (iv, runs)
        })
        .collect()
}

/// Sizes by `trun`, or the one of `tfhd`.
fn sample_sizes(traf: &Box<'_>) -> Vec<usize> {
    let tfhd = child(traf, b"tfhd").unwrap().body;
    let flags = be32(tfhd, 0).unwrap();
    let before =
        [(0x1, 8), (0x2, 4), (0x8, 4)].iter().filter(|(bit, _)| flags & bit != 0).map(|(_, n)| n).sum::<usize>();
    let common = (flags & 0x10 != 0).then(|| be32(tfhd, 8 + before).unwrap());
    let trun = child(traf, b"trun").unwrap().body;
    let flags = be32(trun, 0).unwrap();
    let width = |bits: &[u32]| 4 * bits.iter().filter(|bit| flags & **bit != 0).count();
    let (first, each, offset) = (8 + width(&[1, 4]), width(&[0x100, 0x200, 0x400, 0x800]), width(&[0x100]));
    let size = |i: usize| match common {
        _ if flags & 0x200 != 0 => be32(trun, first + each * i + offset).unwrap() as usize,
        Some(size) => size as usize,
        None => panic!("no size of samples"),
    };
    (0..be32(trun, 4).unwrap() as usize).map(size).collect()
}

fn sample(data: &mut [u8], (iv, runs): &Entry, track: &Track, aes: &Aes128) {
    let whole = [(0, data.len())];
    let runs = if runs.is_empty() { &whole[..] } else { &runs[..] };
    let (mut at, mut counter) = (0, 0_u128);
    for (clear, protected) in runs {
        at += clear;
        let run = &mut data[at..at + protected];
        at += protected;
        match &track.scheme {
            b"cbcs" => {
                let (crypt, skip) = if track.pattern == (0, 0) { (1, 0) } else { track.pattern };
                let mut chain: [u8; 16] = track.constant_iv[..].try_into().unwrap();
                for (index, block) in run.chunks_exact_mut(16).enumerate() {
                    if index % (crypt + skip) < crypt {
                        let sealed: [u8; 16] = (&*block).try_into().unwrap();
                        aes.decrypt_block(GenericArray::from_mut_slice(block));
                        block.iter_mut().zip(chain).for_each(|(byte, before)| *byte ^= before);
                        chain = sealed;
                    }
                }
            }
            b"cenc" => {
                let mut first = [0; 16];
                first[..iv.len()].copy_from_slice(iv);
                for block in run.chunks_mut(16) {
                    let mut pad = GenericArray::from((u128::from_be_bytes(first) + counter).to_be_bytes());
                    aes.encrypt_block(&mut pad);
                    block.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
                    counter += 1;
                }
            }
            other => panic!("scheme {other:?}"),
        }
    }
    assert_eq!(at, data.len(), "subsamples cover the sample");
}

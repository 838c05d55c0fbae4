//! The RTMP handshake, server side (STANDARDS 6.1).

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;

/// Bytes of C1, S1, C2 and S2.
pub const BLOCK: usize = 1536;

/// The protocol version in C0 and S0.
pub const VERSION: u8 = 3;

/// The server's side of the handshake. It holds at most one block.
///
/// C2 is read but not compared with S1: several encoders fill it with something else.
#[derive(Debug)]
pub struct Handshake {
    stage: Stage,
    held: Vec<u8>,
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    C0,
    C1,
    C2,
    Done,
}

impl Handshake {
    /// Waits for C0. `seed` fills S1's random bytes, which guard nothing.
    pub fn new(seed: u64) -> Self {
        Handshake { stage: Stage::C0, held: Vec::new(), seed }
    }

    /// Whether C2 has come in whole.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Takes what belongs to the handshake off the front of `input` and answers what is to be sent.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Bytes, Error> {
        let mut out = BytesMut::new();
        loop {
            match self.stage {
                Stage::C0 => {
                    let Some((&version, rest)) = input.split_first() else { break };
                    if version != VERSION {
                        return Err(Error::Version { version });
                    }
                    *input = rest;
                    out.put_u8(VERSION);
                    self.put_s1(&mut out);
                    self.stage = Stage::C1;
                }
                Stage::C1 | Stage::C2 => {
                    let (taken, rest) = input.split_at(input.len().min(BLOCK - self.held.len()));
                    self.held.extend_from_slice(taken);
                    *input = rest;
                    if self.held.len() < BLOCK {
                        break;
                    }
                    if self.stage == Stage::C1 {
                        // S2 repeats C1. Its second field is the time at which C1 was read, on our clock of S1: 0.
                        out.extend_from_slice(self.held.get(..4).unwrap_or_default());
                        out.put_u32(0);
                        out.extend_from_slice(self.held.get(8..).unwrap_or_default());
                        self.stage = Stage::C2;
                    } else {
                        self.stage = Stage::Done;
                    }
                    self.held.clear();
                }
                Stage::Done => {
                    self.held = Vec::new();
                    break;
                }
            }
        }
        Ok(out.freeze())
    }

    /// S1: time 0, four zero bytes (a number here would promise the digests of the Flash handshake), then filler.
    fn put_s1(&self, out: &mut BytesMut) {
        out.put_u64(0);
        let mut state = self.seed;
        for _ in 0..(BLOCK - 8) / 8 {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            out.put_u64(z ^ (z >> 31));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_each_block_only_when_it_may() {
        let mut h = Handshake::new(7);
        let mut input: &[u8] = &[3];
        assert_eq!(h.read(&mut input).unwrap().len(), 1 + BLOCK, "S0 and S1 after C0");
        let c1: Vec<u8> = (0..BLOCK).map(|i| i as u8).collect();
        let mut input = &c1[..BLOCK - 1];
        assert!(h.read(&mut input).unwrap().is_empty(), "S2 waits for the whole of C1");
        let mut input = &c1[BLOCK - 1..];
        let s2 = h.read(&mut input).unwrap();
        assert_eq!((&s2[..4], &s2[8..]), (&c1[..4], &c1[8..]));
        assert!(!h.is_done());
        let mut more = vec![0_u8; BLOCK];
        more.extend_from_slice(b"after");
        let mut input = more.as_slice();
        assert!(h.read(&mut input).unwrap().is_empty());
        assert!(h.is_done());
        assert_eq!(input, b"after");
    }

    #[test]
    fn another_protocol_is_named() {
        let mut input: &[u8] = b"GET / HTTP/1.1\r\n";
        assert_eq!(Handshake::new(0).read(&mut input), Err(Error::Version { version: b'G' }));
    }
}

//! AES-128 as Common Encryption uses it: CBC over a pattern of blocks, and counter mode (ISO/IEC 23001-7 9.3 to 9.6).

use aes::Aes128;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockEncrypt, KeyInit};

use super::keys::ContentKey;

/// Bytes of a block.
pub(super) const BLOCK: usize = 16;
/// Blocks that the processor encrypts side by side.
const LANES: usize = 8;

/// A key made ready.
pub(super) struct Cipher(Aes128);

impl Cipher {
    pub(super) fn new(key: &ContentKey) -> Self {
        Cipher(Aes128::new(GenericArray::from_slice(key.expose())))
    }

    /// One block.
    pub(super) fn block(&self, block: [u8; BLOCK]) -> [u8; BLOCK] {
        let mut block = GenericArray::from(block);
        self.0.encrypt_block(&mut block);
        block.into()
    }

    /// Encrypts one block, leaves `skip` blocks, and so on; each encrypted block is chained to the one encrypted before
    /// it, the first to `iv`. A block that is not whole stays clear.
    pub(super) fn cbc_pattern(&self, iv: &[u8; BLOCK], skip: usize, bytes: &mut [u8]) {
        let mut chain = *iv;
        for run in bytes.chunks_mut(BLOCK * (1 + skip)) {
            let Some(block) = run.first_chunk_mut::<BLOCK>() else { return };
            for (byte, before) in block.iter_mut().zip(chain) {
                *byte ^= before;
            }
            chain = self.block(*block);
            *block = chain;
        }
    }

    /// Counter mode: the counter block is `iv` and the number of the block, which begins at `counter`. Gives back the
    /// number that follows.
    pub(super) fn ctr(&self, iv: &[u8; 8], mut counter: u64, bytes: &mut [u8]) -> u64 {
        for run in bytes.chunks_mut(BLOCK * LANES) {
            let mut blocks = [GenericArray::from([0; BLOCK]); LANES];
            let used = run.len().div_ceil(BLOCK);
            for block in blocks.iter_mut().take(used) {
                let value = u128::from(u64::from_be_bytes(*iv)) << 64 | u128::from(counter);
                *block = GenericArray::from(value.to_be_bytes());
                counter = counter.wrapping_add(1);
            }
            self.0.encrypt_blocks(blocks.get_mut(..used).unwrap_or_default());
            for (byte, key) in run.iter_mut().zip(blocks.iter().flatten()) {
                *byte ^= key;
            }
        }
        counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_media::protection::{KeyId, hex16};

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 32).flat_map(|i| hex16(&hex[32 * i..32 * i + 32]).unwrap()).collect()
    }

    fn cipher() -> Cipher {
        let key = hex16("2b7e151628aed2a6abf7158809cf4f3c").unwrap();
        Cipher::new(&ContentKey::new(KeyId([0; 16]), key, None))
    }

    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
                         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

    /// NIST SP 800-38A F.2.1.
    #[test]
    fn cbc_of_the_standard() {
        let mut data = bytes(PLAIN);
        data.push(7);
        cipher().cbc_pattern(&hex16("000102030405060708090a0b0c0d0e0f").unwrap(), 0, &mut data);
        let want = "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2\
                    73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7";
        assert_eq!(data[..64], bytes(want));
        assert_eq!(data[64], 7);
    }

    /// The second block of CBC, chained over what lies between.
    #[test]
    fn a_pattern_chains_over_what_it_leaves() {
        let plain = bytes(PLAIN);
        let mut data = plain[..16].to_vec();
        data.extend_from_slice(&[9; 144]);
        data.extend_from_slice(&plain[16..32]);
        data.extend_from_slice(&[9; 20]);
        cipher().cbc_pattern(&hex16("000102030405060708090a0b0c0d0e0f").unwrap(), 9, &mut data);
        assert_eq!(data[..16], bytes("7649abac8119b246cee98e9b12e9197d"));
        assert_eq!(data[160..176], bytes("5086cb9b507219ee95db113a917678b2"));
        assert!(data[16..160].iter().chain(&data[176..]).all(|b| *b == 9));
    }

    /// NIST SP 800-38A F.5.1, whose counter begins at `f8f9…ff`, in two calls.
    #[test]
    fn counter_mode_of_the_standard() {
        let mut data = bytes(PLAIN);
        let iv = [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7];
        let (first, rest) = data.split_at_mut(16);
        let next = cipher().ctr(&iv, 0xf8f9_fafb_fcfd_feff, first);
        cipher().ctr(&iv, next, rest);
        let want = "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff\
                    5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee";
        assert_eq!(data, bytes(want));
    }
}

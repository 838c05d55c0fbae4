//! Counts CMAF chunks in the bytes of a segment while they arrive: one `mdat` ends one chunk (STANDARDS 3.4). Pure.

/// Where in the boxes the bytes are.
#[derive(Debug, Default)]
pub struct Chunks {
    header: Vec<u8>,
    left: u64,
    in_media: bool,
    /// Chunks that arrived whole.
    pub whole: u32,
}

impl Chunks {
    /// Takes the next bytes; true if a chunk was completed by them.
    pub fn push(&mut self, mut data: &[u8]) -> bool {
        let before = self.whole;
        while !data.is_empty() {
            if self.left == 0 {
                let wants = if self.header.get(..4) == Some(&[0, 0, 0, 1]) { 16 } else { 8 };
                let (now, rest) = data.split_at(data.len().min(wants - self.header.len().min(wants)));
                self.header.extend_from_slice(now);
                data = rest;
                let is_large = self.header.get(..4) == Some(&[0, 0, 0, 1]);
                let wants = if is_large { 16 } else { 8 };
                if self.header.len() < wants {
                    continue;
                }
                let bytes = if is_large { self.header.get(8..16) } else { self.header.get(..4) };
                let size = bytes.unwrap_or_default().iter().fold(0u64, |s, b| (s << 8) | u64::from(*b));
                // A size of 0 reaches to the end; anything smaller than its header is no box, and is read as that.
                self.left = size.checked_sub(wants as u64).unwrap_or(u64::MAX);
                self.in_media = self.header.get(4..8) == Some(b"mdat");
                self.header.clear();
            }
            let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(data.len());
            data = data.get(take..).unwrap_or_default();
            self.left -= take as u64;
            if self.left == 0 && self.in_media {
                self.whole = self.whole.saturating_add(1);
                self.in_media = false;
            }
        }
        self.whole > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_counted_whatever_the_pieces() {
        let mut segment = Vec::new();
        for (kind, size) in [(b"styp", 4u32), (b"moof", 30), (b"mdat", 100), (b"moof", 30), (b"mdat", 0), (b"moof", 9)]
        {
            segment.extend_from_slice(&(size + 8).to_be_bytes());
            segment.extend_from_slice(kind);
            segment.extend(std::iter::repeat_n(7, size as usize));
        }
        segment.extend_from_slice(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x14abcd");
        for step in 1..segment.len() {
            let mut chunks = Chunks::default();
            let told = segment.chunks(step).filter(|p| chunks.push(p)).count();
            assert_eq!(chunks.whole, 3, "by {step}");
            assert!((1..=3).contains(&told));
        }
        let mut lies = Chunks::default();
        assert!(!lies.push(&[0; 64]));
    }
}

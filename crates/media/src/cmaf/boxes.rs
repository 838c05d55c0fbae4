//! Writing nested boxes whose sizes are filled in when they end.

use bytes::Bytes;

/// Boxes under construction.
pub(super) struct BoxWriter {
    out: Vec<u8>,
}

impl BoxWriter {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        BoxWriter { out: Vec::with_capacity(bytes) }
    }

    pub(super) fn finish(self) -> Bytes {
        Bytes::from(self.out)
    }

    /// A box with what `body` writes.
    pub(super) fn put_box(&mut self, kind: &[u8; 4], body: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        self.u32(0);
        self.bytes(kind);
        body(self);
        let size = (self.out.len() - start) as u32;
        if let Some(field) = self.out.get_mut(start..start + 4) {
            field.copy_from_slice(&size.to_be_bytes());
        }
    }

    /// A box that starts with a version and 24 bits of flags.
    pub(super) fn put_full_box(&mut self, kind: &[u8; 4], version: u8, flags: u32, body: impl FnOnce(&mut Self)) {
        self.put_box(kind, |w| {
            w.u32(u32::from(version) << 24 | (flags & 0x00ff_ffff));
            body(w);
        });
    }

    pub(super) fn u8(&mut self, v: u8) {
        self.out.push(v);
    }

    pub(super) fn u16(&mut self, v: u16) {
        self.bytes(&v.to_be_bytes());
    }

    pub(super) fn u32(&mut self, v: u32) {
        self.bytes(&v.to_be_bytes());
    }

    pub(super) fn u64(&mut self, v: u64) {
        self.bytes(&v.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, v: &[u8]) {
        self.out.extend_from_slice(v);
    }

    pub(super) fn zeros(&mut self, count: usize) {
        self.out.resize(self.out.len() + count, 0);
    }

    /// `ftyp` or `styp`; minor version 0, as a structural CMAF brand demands.
    pub(super) fn brands(&mut self, kind: &[u8; 4], major: &[u8; 4], compatible: &[[u8; 4]]) {
        self.put_box(kind, |w| {
            w.bytes(major);
            w.u32(0);
            for brand in compatible {
                w.bytes(brand);
            }
        });
    }
}

//! Holds what a check may allocate: a multiple of its input, and a little. Counts for each thread, so that the ordinary
//! tests, which run beside each other, hold the same bounds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Bytes that a check may hold at once whatever the length of its input: tables, buffers with a first size, and the samples
/// of a fragment, which need no bytes each and whose number has a bound (100,000 in the checker).
const FIXED: usize = 8 << 20;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// Bytes allocated and not freed, and the most there were.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // (A thread that is ending has no counter any more.)
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = now.wrapping_add(bytes);
        held.set((now, most.max(now)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Runs a check; panics if it held more than `per_byte` bytes for each byte of `data`.
pub fn hold(per_byte: usize, data: &[u8], check: fn(&[u8])) {
    let before = HELD.get().0;
    HELD.set((before, before));
    check(data);
    let most = HELD.get().1.saturating_sub(before).max(0) as usize;
    let may = FIXED + per_byte * data.len();
    assert!(most <= may, "{most} bytes were held at once for {} bytes of input; {may} is the bound", data.len());
}

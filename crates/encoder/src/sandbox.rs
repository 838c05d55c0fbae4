//! What the worker gives up before it reads the first byte of a contribution (DESIGN 3, 8).

use std::io;

/// Open files the worker may have: the socket, the standard streams, and what a graphics driver opens.
const MAX_FILES: u64 = 64;

/// Limits the process: memory to `memory_bytes` of address space, no core dump, few files, no new privileges.
pub fn confine(memory_bytes: u64) -> io::Result<()> {
    limit(libc::RLIMIT_AS, memory_bytes)?;
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_NOFILE, MAX_FILES)?;
    // SAFETY: takes plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

fn limit(what: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: the structure is read only.
    check(unsafe { libc::setrlimit(what, &limit) })
}

fn check(code: i32) -> io::Result<()> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

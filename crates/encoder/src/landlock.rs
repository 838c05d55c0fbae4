//! Linux Landlock: takes the file system away from the calling thread and all threads it starts.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Access rights, from the kernel's `linux/landlock.h`.
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// All rights of the first version: execute, write, read, and making and removing of every kind.
const FIRST_VERSION: u64 = (1 << 13) - 1;
/// Rights that later versions added: linking between directories, and truncating.
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;

/// `struct landlock_ruleset_attr` of the first version.
#[repr(C)]
struct RulesetAttributes {
    handled_access_fs: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// Lets the thread read below `readable` and read and write existing files below `writable`; everything else is
/// refused. Paths that do not exist are passed over.
pub fn restrict(readable: &[&str], writable: &[&str]) -> io::Result<()> {
    // SAFETY: asks for the version; no memory is passed.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<RulesetAttributes>(), 0_usize, 1) };
    let handled = match version {
        ..=0 => return Err(io::Error::last_os_error()),
        1 => FIRST_VERSION,
        2 => FIRST_VERSION | REFER,
        _ => FIRST_VERSION | REFER | TRUNCATE,
    };
    let attributes = RulesetAttributes { handled_access_fs: handled };
    // SAFETY: the structure is read only, and its size is given.
    let ruleset = unsafe {
        let size = size_of::<RulesetAttributes>();
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attributes, size, 0)
    };
    let ruleset = i32::try_from(ruleset).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: a new descriptor that nobody else owns.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset) };
    let rules = readable.iter().map(|p| (p, READ_FILE | READ_DIR));
    for (path, access) in rules.chain(writable.iter().map(|p| (p, READ_FILE | READ_DIR | WRITE_FILE))) {
        let Ok(file) = File::options().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path) else {
            continue;
        };
        let is_file = !file.metadata().is_ok_and(|m| m.is_dir());
        let allowed_access = if is_file { access & !READ_DIR } else { access };
        let rule = PathBeneath { allowed_access, parent_fd: file.as_raw_fd() };
        // SAFETY: the structure is read only; rule type 1 is a path.
        check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), 1, &raw const rule, 0) })?;
    }
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })
}

fn check(code: libc::c_long) -> io::Result<()> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

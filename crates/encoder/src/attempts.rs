//! What the worker must not be able to do, tried by itself: `millstream-encoder --try-confinement FOLDER`. Nothing that it
//! tries does harm where it succeeds, but for the files of that folder.

use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Files opened in the attempt to have too many.
const MANY_FILES: usize = 200;

/// Tries everything. Gives each attempt and why it was refused, `None` where it was not. `memory` is the limit in bytes.
/// The last attempt, another program, ends the process where it succeeds.
pub fn all(folder: &Path, memory: u64) -> Vec<(&'static str, Option<String>)> {
    let (kept, new) = (folder.join("canary"), folder.join("new"));
    let parent = std::os::unix::process::parent_id();
    let attempts: Vec<(&'static str, io::Result<()>)> = vec![
        ("listen on the network", TcpListener::bind("127.0.0.1:0").map(drop)),
        ("send to the network", UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("make a socket pair", UnixStream::pair().map(drop)),
        ("read a file", fs::read(&kept).map(drop)),
        ("list a folder", fs::read_dir(folder).map(drop)),
        ("make a file", File::create(&new).map(drop)),
        ("make a file among devices", File::create("/dev/shm/millstream-attempt").map(drop)),
        ("change a file", File::options().write(true).truncate(true).open(&kept).map(drop)),
        ("rename a file", fs::rename(&kept, &new)),
        ("make a folder", fs::create_dir(folder.join("inner"))),
        ("remove a file", fs::remove_file(&kept)),
        ("read the server's environment", fs::read(format!("/proc/{parent}/environ")).map(drop)),
        ("start a process", Command::new("/bin/true").status().map(drop)),
        // SAFETY: signal 0 only asks; being traced changes nothing for a process whose parent does not trace.
        ("signal the server", check(unsafe { libc::kill(i32::try_from(parent).unwrap_or(0), 0) })),
        // SAFETY: nobody is sent anything before the file is told to send; limits are asked for only.
        ("have signals sent to the server", check(unsafe { libc::fcntl(0, libc::F_SETOWN, parent) })),
        ("limit the server", limits_of(parent)),
        ("type into a terminal", type_nothing()),
        ("be a tracer's", check(unsafe { i32::try_from(libc::ptrace(libc::PTRACE_TRACEME)).unwrap_or(-1) })),
        ("have more memory", more_memory(memory)),
        ("have more files", more_files()),
        ("become another program", Err(Command::new("/bin/true").exec())),
    ];
    attempts.into_iter().map(|(what, result)| (what, result.err().map(|error| error.to_string()))).collect()
}

fn check(code: i32) -> io::Result<()> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn limits_of(process: u32) -> io::Result<()> {
    let pid = i32::try_from(process).unwrap_or(0);
    // SAFETY: the structure is written to, and nothing else.
    check(unsafe {
        let mut limit: libc::rlimit64 = std::mem::zeroed();
        libc::prlimit64(pid, libc::RLIMIT_CORE, std::ptr::null(), &raw mut limit)
    })
}

/// A byte that means nothing. That standard error is no terminal is no refusal.
fn type_nothing() -> io::Result<()> {
    // SAFETY: one byte is read.
    match check(unsafe { libc::ioctl(2, libc::TIOCSTI, c"".as_ptr()) }) {
        Err(error) if error.raw_os_error() != Some(libc::ENOSYS) => Ok(()),
        result => result,
    }
}

fn more_memory(limit: u64) -> io::Result<()> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(usize::try_from(limit).unwrap_or(usize::MAX)).map_err(io::Error::other)
}

fn more_files() -> io::Result<()> {
    (0..MANY_FILES).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<File>>>().map(drop)
}

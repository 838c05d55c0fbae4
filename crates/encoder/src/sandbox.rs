//! What the worker gives up before it reads the first byte of a contribution (DESIGN 3, 8).
//!
//! - Limits: address space, no core dump, few open files, no new privileges.
//! - System calls (seccomp): no sockets, no other programs, no other processes, nothing of the kernel's administration.
//! - Files (Landlock): the system's libraries and devices can be read, devices written (graphics drivers); nothing else
//!   can be read, and nothing created, removed or changed. The server's configuration, keys and store are out of reach.
//!
//! Kernels without seccomp or Landlock (before 5.13) give less; the server is told what is missing.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::landlock;

/// Open files the worker may have: the socket, the standard streams, and what a graphics driver opens.
const MAX_FILES: u64 = 64;

/// Commands of `ioctl` and `fcntl` (asm-generic; libc has not all of them as numbers).
const TIOCLINUX: u64 = 0x541c;
const FIOSETOWN: u64 = 0x8901;
const SIOCSPGRP: u64 = 0x8902;
const F_SETOWN: u64 = 8;
const F_SETSIG: u64 = 10;
const F_SETOWN_EX: u64 = 15;

/// What the system's libraries and graphics drivers need to read.
const READABLE: &[&str] = &[
    "/usr",
    "/lib",
    "/lib64",
    "/opt",
    "/etc/ld.so.cache",
    "/sys",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/driver",
];

/// Confines the process; `memory_bytes` limits its address space. Must come before the first thread is started. Gives
/// what this kernel could not do.
pub fn confine(memory_bytes: u64) -> io::Result<Vec<String>> {
    limit(libc::RLIMIT_AS, memory_bytes)?;
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_NOFILE, MAX_FILES)?;
    // SAFETY: takes plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let mut missing = Vec::new();
    if let Err(error) = landlock::restrict(READABLE, &["/dev"]) {
        missing.push(format!("the encode worker can reach files: this kernel has no Landlock ({error})"));
    }
    if let Err(error) = deny_system_calls() {
        missing.push(format!("the encode worker can open connections: this kernel has no seccomp ({error})"));
    }
    Ok(missing)
}

fn limit(what: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: the structure is read only.
    check(unsafe { libc::setrlimit(what, &limit) })
}

fn check(code: i32) -> io::Result<()> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// System calls that answer "not implemented" from here on.
fn denied() -> Vec<libc::c_long> {
    let mut calls = vec![
        // The network: the one socket is open already (writing to it may be a sendto, which is left).
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg,
        // A second way to all of these.
        libc::SYS_io_uring_setup,
        // Other programs and processes.
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_clone3,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        // The kernel's administration.
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_open_by_handle_at,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([libc::SYS_fork, libc::SYS_vfork]);
    calls.sort_unstable();
    calls
}

/// The same calls of the x32 interface. It has some under numbers of their own.
fn x32(calls: Vec<i64>) -> Vec<i64> {
    const BIT: i64 = 0x4000_0000;
    let own = (512..=547).map(|call| call | BIT);
    calls.into_iter().map(|call| call | BIT).chain(own).collect()
}

fn deny_system_calls() -> Result<(), seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = denied().into_iter().map(|call| (call, Vec::new())).collect();
    // A new thread, not a new process. (clone3, whose flags cannot be seen, is refused, and libc falls back to clone.)
    let threads = libc::CLONE_THREAD as u64;
    let process = SeccompCondition::new(0, Len::Qword, Op::MaskedEq(threads), 0)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![process])?]);
    // Signals to itself only, as abort sends one.
    let other = SeccompCondition::new(0, Len::Dword, Op::Ne, u64::from(std::process::id()))?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![other])?]);
    // What types into the terminal that the server was started from, and what sends signals by way of a file.
    let commands = |list: &[u64]| -> Result<Vec<SeccompRule>, seccompiler::Error> {
        let one = |command: &u64| Ok(SeccompRule::new(vec![SeccompCondition::new(1, Len::Dword, Op::Eq, *command)?])?);
        list.iter().map(one).collect()
    };
    rules.insert(libc::SYS_ioctl, commands(&[libc::TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP])?);
    rules.insert(libc::SYS_fcntl, commands(&[F_SETOWN, F_SETSIG, F_SETOWN_EX])?);
    // Its own limits only: one of processor time would end the server.
    let others = SeccompCondition::new(0, Len::Dword, Op::Ne, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![others])?]);
    if cfg!(target_arch = "x86_64") {
        // Kernels with the x32 interface have each call a second time; nothing of ours uses it.
        rules.extend(x32(rules.keys().copied().collect()).into_iter().map(|call| (call, Vec::new())));
    }
    let refused = SeccompAction::Errno(libc::ENOSYS as u32);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?.try_into()?;
    seccompiler::apply_filter(&program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// `execve` is 520 there.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn calls_of_x32_are_refused_with_the_others() {
        let calls = x32(denied());
        assert!(denied().iter().chain(&[520]).all(|call| calls.contains(&(call | 0x4000_0000))));
        assert!(!calls.contains(&libc::SYS_execve));
    }

    /// Both confinements hold for the calling thread, so a thread of the test can try them.
    #[test]
    fn files_connections_and_programs_are_out_of_reach() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let path = std::env::temp_dir().join(format!("sandbox-test-{}", std::process::id()));
        std::fs::write(&path, "secret").unwrap();
        let seen = path.clone();
        let confined = std::thread::spawn(move || {
            let landlock = landlock::restrict(READABLE, &["/dev"]).is_ok();
            deny_system_calls().unwrap();
            assert!(std::net::TcpStream::connect(address).is_err());
            assert!(std::os::unix::net::UnixStream::pair().is_err());
            assert!(std::process::Command::new("/bin/true").status().is_err());
            // SAFETY: signal 0 only asks.
            assert_eq!(unsafe { libc::kill(libc::getppid(), 0) }, -1);
            // SAFETY: none of these does anything: the file is no terminal, and limits are asked for only.
            unsafe {
                let file = std::fs::File::open("/dev/null").unwrap();
                let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
                let null: *const libc::rlimit64 = std::ptr::null();
                let mut limit: libc::rlimit64 = std::mem::zeroed();
                let refused = |what: &str, code: i32| {
                    assert_eq!((code, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::ENOSYS)), "{what}");
                };
                refused("type into a terminal", libc::ioctl(fd, libc::TIOCSTI, c"x".as_ptr()));
                refused("have signals sent", libc::fcntl(fd, libc::F_SETOWN, libc::getppid()));
                refused("limit others", libc::prlimit64(libc::getppid(), libc::RLIMIT_CORE, null, &raw mut limit));
                assert_eq!(libc::prlimit64(0, libc::RLIMIT_CORE, null, &raw mut limit), 0, "its own limits");
            }
            // Threads can still be started, and devices opened.
            std::thread::spawn(|| ()).join().unwrap();
            let mut null = std::fs::File::options().write(true).open("/dev/null").unwrap();
            null.write_all(b"x").unwrap();
            if landlock {
                assert!(std::fs::read(&seen).is_err());
                assert!(std::fs::write(seen.with_extension("new"), "x").is_err());
                assert!(std::fs::remove_file(&seen).is_err());
                assert!(std::fs::read_dir("/etc").is_err() && std::fs::read("/etc/passwd").is_err());
                std::fs::read("/proc/cpuinfo").unwrap();
            }
            landlock
        });
        let landlock = confined.join().unwrap();
        std::fs::remove_file(&path).unwrap();
        if !landlock {
            eprintln!("this kernel has no Landlock: reading and writing of files is not tested");
        }
    }
}

//! The worker, confined as it is for work, tries what it must not be able to do.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

const ATTEMPTS: [&str; 21] = [
    "listen on the network",
    "send to the network",
    "make a socket pair",
    "read a file",
    "list a folder",
    "make a file",
    "make a file among devices",
    "change a file",
    "rename a file",
    "make a folder",
    "remove a file",
    "read the server's environment",
    "start a process",
    "signal the server",
    "have signals sent to the server",
    "limit the server",
    "type into a terminal",
    "be a tracer's",
    "have more memory",
    "have more files",
    "become another program",
];

/// What Landlock alone keeps from it, where the kernel has it.
fn is_of_files(what: &str) -> bool {
    ["file", "folder", "environment"].iter().any(|word| what.contains(word)) && what != "have more files"
}

#[test]
fn the_worker_tries_each_and_is_refused() {
    let folder = std::env::temp_dir().join(format!("confinement-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("canary"), "as it was").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_millstream-encoder"))
        .args(["--memory-mib", "512", "--try-confinement"])
        .arg(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let kept = std::fs::read_to_string(folder.join("canary"));
    std::fs::remove_dir_all(&folder).unwrap();
    let landlock = !said.contains("no Landlock");
    for what in ATTEMPTS {
        if is_of_files(what) && !landlock {
            eprintln!("this kernel has no Landlock: whether it can {what} is not tested");
        } else {
            assert!(said.contains(&format!("refused: {what} (")), "{what}; it said:\n{said}");
        }
    }
    assert_eq!(said.lines().filter(|line| !line.starts_with("warning")).count(), ATTEMPTS.len(), "{said}");
    if landlock {
        assert!(output.status.success(), "{said}");
        assert_eq!(kept.unwrap(), "as it was");
    }
}

//! The encode worker: one process for each channel. It is given access units over a socket, decodes once, scales,
//! encodes every rendition, and hands encoded units back. For an import it reads a file instead, from a descriptor.
//!
//! - [`link`]: the socket, and the signs of life.
//! - [`pipeline`]: the main thread.
//! - [`file`]: a file that is imported.
//! - [`video`], [`audio`]: decoding; [`conform`], [`drift`]: onto the grid.
//! - [`ladder`], [`rendition`]: scaling and encoding, on their own threads; [`geometry`], [`options`].
//! - [`slate`], [`font`]: pictures made here; [`pictures`]: thumbnails.
//! - [`sandbox`], [`landlock`]: what the process gives up; [`attempts`]: whether it did.
//! - [`libav`]: the FFmpeg libraries; the only other unsafe code is single system calls.
//!
//! Bounds: every queue is bounded (32 messages in, 4 pictures to be scaled, 4 pictures for each encoder, 256 messages
//! out), memory by `--memory-mib`. The delay from a picture's arrival to its coded bytes is that of the decoder (its
//! reordering), 4 frames of look-ahead, and one frame for each encoder thread beyond the first.

mod attempts;
mod audio;
mod clock;
mod conform;
mod drift;
mod file;
mod font;
mod geometry;
mod ladder;
mod landlock;
mod libav;
mod link;
mod options;
mod pictures;
mod pipeline;
mod rendition;
mod sandbox;
mod slate;
mod video;

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use millstream_encode_wire::VERSION;
use millstream_encode_wire::message::{FromWorker, ToWorker};

/// Address space of the worker if nothing else is said, in MiB: a 2160p ladder needs about 2,000.
const DEFAULT_MEMORY_MIB: u64 = 4096;

const USAGE: &str = "millstream-encoder is started by millstream, not by hand.\n\n\
Usage: millstream-encoder [--fd N] [--file-fd N] [--memory-mib N]\n       millstream-encoder --try-confinement FOLDER [--memory-mib N]\n\n\
  --fd N          an inherited, connected stream socket that speaks the encode protocol (default 0: standard input)\n\
  --file-fd N     an inherited, readable file, which is encoded instead of what comes over the socket\n\
  --memory-mib N  limit of address space in MiB (default 4096)\n\
  --try-confinement FOLDER\n                  confines itself as for work, tries what it must not be able to do (with the file canary in FOLDER,\n\
                  too), says what was refused, and fails if anything was not\n";

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)) {
        Ok(Some(given)) => match run(given) {
            Ok(never) => never,
            Err(error) => {
                eprintln!("millstream-encoder: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(None) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("millstream-encoder: {error}; see --help");
            ExitCode::from(2)
        }
    }
}

/// What is given on the command line.
struct Given {
    /// The socket.
    fd: i32,
    /// The file.
    file_fd: Option<i32>,
    memory_mib: u64,
    /// Only try the confinement, with this folder.
    attempts: Option<PathBuf>,
}

/// `None` if help is asked for.
fn arguments(mut given: impl Iterator<Item = String>) -> Result<Option<Given>, String> {
    let (mut fd, mut file_fd, mut memory_mib, mut attempts) = (0, None, DEFAULT_MEMORY_MIB, None);
    while let Some(argument) = given.next() {
        if argument == "--try-confinement" {
            attempts = Some(PathBuf::from(given.next().ok_or("--try-confinement wants a folder")?));
            continue;
        }
        let mut number = || {
            let value = given.next().ok_or_else(|| format!("{argument} wants a number"))?;
            value.parse::<u64>().map_err(|_| format!("{argument} wants a number, not {value:?}"))
        };
        match argument.as_str() {
            "--fd" => fd = i32::try_from(number()?).map_err(|_| "--fd is out of range".to_owned())?,
            "--file-fd" => {
                file_fd = Some(i32::try_from(number()?).map_err(|_| "--file-fd is out of range".to_owned())?);
            }
            "--memory-mib" => memory_mib = number()?,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(Some(Given { fd, file_fd, memory_mib, attempts }))
}

fn run(given: Given) -> std::io::Result<ExitCode> {
    let Given { fd, file_fd, memory_mib, attempts } = given;
    if let Some(folder) = attempts {
        return try_confinement(&folder, memory_mib.saturating_mul(1 << 20));
    }
    // SAFETY: the parent gave us this descriptor and nobody else in the process uses it.
    let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    socket.peer_addr().map_err(|e| std::io::Error::new(e.kind(), format!("descriptor {fd} is no socket: {e}")))?;
    libav::quiet();
    let missing = sandbox::confine(memory_mib.saturating_mul(1 << 20))?;
    let shared = Arc::new(link::Shared::default());
    let (inbox, outbox) = link::start(socket, &shared)?;
    outbox.send(FromWorker::Hello { version: VERSION, library: libav::version() }, Bytes::new());
    missing.into_iter().for_each(|text| outbox.warn(text));
    let mut file = None;
    if let Some(fd) = file_fd {
        step_back();
        // SAFETY: as above.
        match file::open(File::from(unsafe { OwnedFd::from_raw_fd(fd) })) {
            Ok(opened) => {
                outbox.send(FromWorker::Probed(opened.facts.clone()), Bytes::new());
                file = Some(opened);
            }
            Err(reason) => {
                outbox.send(FromWorker::Unreadable(reason), Bytes::new());
                outbox.send(FromWorker::Finished, Bytes::new());
                park();
            }
        }
    }
    let beginning = loop {
        match inbox.recv() {
            Ok((ToWorker::Start { version, grid, ladder, first_frame, first_audio, resume, slate_text }, _)) => {
                if version != VERSION {
                    outbox.warn(format!("the server speaks version {version}, this worker {VERSION}"));
                    outbox.send(FromWorker::Finished, Bytes::new());
                    park();
                }
                break pipeline::Beginning {
                    grid,
                    ladder,
                    first_frame,
                    first_audio,
                    resume,
                    slate_text,
                    is_file: file.is_some(),
                };
            }
            Ok((ToWorker::Finish, _)) | Err(_) => {
                outbox.send(FromWorker::Finished, Bytes::new());
                park();
            }
            Ok(_) => outbox.warn("a message before the start is ignored"),
        }
    };
    let pipeline = pipeline::Pipeline::start(beginning, outbox, shared)?;
    match file {
        // The reading thread goes on as long as the inbox is there, and ends the process with the server.
        Some(file) => pipeline.run_file(file),
        None => pipeline.run(&inbox),
    }
    park()
}

/// Says of each attempt whether it was refused.
fn try_confinement(folder: &Path, memory: u64) -> std::io::Result<ExitCode> {
    let missing = sandbox::confine(memory)?;
    missing.iter().for_each(|text| println!("warning: {text}"));
    let attempts = attempts::all(folder, memory);
    for (what, refused) in &attempts {
        match refused {
            Some(why) => println!("refused: {what} ({why})"),
            None => println!("possible: {what}"),
        }
    }
    let all_refused = attempts.iter().all(|(_, refused)| refused.is_some());
    Ok(if all_refused { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An import lets what is live go first.
fn step_back() {
    // SAFETY: plain numbers; a refusal changes nothing.
    unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, 10) };
}

/// Waits for the writing thread, which ends the process once the last message is out.
fn park() -> ! {
    loop {
        std::thread::park();
    }
}

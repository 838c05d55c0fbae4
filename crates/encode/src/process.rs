//! Starting the worker: a process of its own with nothing but a socket pair.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// Name of the worker's executable.
pub const WORKER: &str = "millstream-encoder";

/// A started worker and the way to speak to it.
pub struct Connection {
    /// From the worker.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// To the worker.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// The process; `None` where there is none (tests).
    pub process: Option<Child>,
}

/// What starts workers.
pub trait Launch: Send + 'static {
    /// Starts one.
    ///
    /// # Errors
    /// If there is no such program, or no resources for it.
    fn launch(&mut self) -> io::Result<Connection>;
}

/// Starts the worker's executable.
#[derive(Clone, Debug)]
pub struct WorkerProcess {
    /// Its path.
    pub path: PathBuf,
    /// Limit of its address space in MiB.
    pub memory_mib: u64,
}

impl WorkerProcess {
    /// The executable beside the one at `current_exe` (or a directory up, where Cargo puts test binaries).
    pub fn beside(current_exe: &Path) -> PathBuf {
        let candidates = current_exe.ancestors().skip(1).take(2).map(|directory| directory.join(WORKER));
        candidates.into_iter().find(|path| path.is_file()).unwrap_or_else(|| current_exe.with_file_name(WORKER))
    }
}

impl Launch for WorkerProcess {
    fn launch(&mut self) -> io::Result<Connection> {
        self.launch_on(None)
    }
}

impl WorkerProcess {
    /// Starts one, which is to read `file` if there is one. The worker has the file as its standard output, which it
    /// does not write: a descriptor can be handed on so without unsafe code.
    ///
    /// # Errors
    /// As [`Launch::launch`].
    pub fn launch_on(&self, file: Option<File>) -> io::Result<Connection> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&self.path);
        command
            .args(["--fd", "0", "--memory-mib", &self.memory_mib.to_string()])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .args(if file.is_some() { &["--file-fd", "1"][..] } else { &[] })
            .stdout(file.map_or_else(Stdio::null, Stdio::from))
            .stderr(Stdio::inherit())
            .current_dir("/")
            .env_clear()
            // SVT-AV1 would otherwise tell about every start.
            .env("SVT_LOG", "1")
            .kill_on_drop(true);
        // Graphics drivers live where these say.
        for name in ["LD_LIBRARY_PATH", "LIBVA_DRIVERS_PATH", "LIBVA_DRIVER_NAME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let process = command.spawn().map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.path.display())))?;
        let (reader, writer) = UnixStream::from_std(ours)?.into_split();
        Ok(Connection { reader: Box::new(reader), writer: Box::new(writer), process: Some(process) })
    }
}

impl Connection {
    /// Ends the worker; says how it ended, if that can be learnt at once.
    pub async fn end(mut self) -> Option<String> {
        let process = self.process.as_mut()?;
        // It has closed its end or is to be ended: in both cases it has nothing more to do. A worker that ended by
        // itself keeps its own status.
        let ended = match process.try_wait() {
            Ok(Some(status)) => Some(status),
            _ => {
                let grace = tokio::time::timeout(Duration::from_millis(50), process.wait()).await;
                if let Ok(Ok(status)) = grace {
                    Some(status)
                } else {
                    let _ = process.start_kill();
                    tokio::time::timeout(Duration::from_secs(1), process.wait()).await.ok().and_then(Result::ok)
                }
            }
        };
        ended.map(|status| status.to_string())
    }
}

//! A TCP proxy before a server that a test wants to fail: down, silent, refusing, cutting answers short.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What the proxy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it passes everything on.
    None,
    /// Connections are closed at once, as if the server was down.
    Down,
    /// Connections are taken, requests are read, nothing is answered.
    Silent,
    /// Each connection is answered with this status, once, and closed.
    Status(u16),
    /// Requests pass, answers end after this many bytes.
    Cut(usize),
}

/// The proxy. Ends with the test.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: String,
    fault: Mutex<Fault>,
    stop: AtomicBool,
    /// Connections that met a fault.
    failed: AtomicUsize,
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// A proxy before `to` (`HOST:PORT`).
    pub fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            to: to.to_owned(),
            fault: Mutex::new(Fault::None),
            stop: AtomicBool::new(false),
            failed: AtomicUsize::new(0),
        });
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.stop.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), shared) = (client, of_thread.clone()) else { continue };
                std::thread::spawn(move || serve(client, &shared));
            }
        });
        Proxy { address, shared }
    }

    /// `http://HOST:PORT` of the proxy.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, also on connections that are open.
    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Connections that met a fault.
    pub fn failed(&self) -> usize {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut client: TcpStream, shared: &Arc<Shared>) {
    match shared.fault() {
        Fault::None | Fault::Cut(_) => {}
        Fault::Down => {
            shared.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        Fault::Silent => {
            shared.failed.fetch_add(1, Ordering::Relaxed);
            let mut sink = [0; 65_536];
            let _ = client.set_read_timeout(Some(Duration::from_millis(100)));
            while shared.fault() == Fault::Silent && !shared.stop.load(Ordering::Relaxed) {
                match client.read(&mut sink) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(_) => return,
                }
            }
            return;
        }
        Fault::Status(status) => {
            shared.failed.fetch_add(1, Ordering::Relaxed);
            let _ = client.read(&mut [0; 65_536]);
            let answer = format!("HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = client.write_all(answer.as_bytes());
            let _ = client.shutdown(Shutdown::Write);
            // Reads what still comes, so that the answer is not lost to a reset.
            let _ = client.set_read_timeout(Some(Duration::from_millis(500)));
            let _ = std::io::copy(&mut client, &mut std::io::sink());
            return;
        }
    }
    let Ok(server) = TcpStream::connect(&shared.to) else { return };
    let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else { return };
    let of_thread = shared.clone();
    let up = std::thread::spawn(move || pass(from_client, to_server, &of_thread, false));
    pass(server, client, shared, true);
    let _ = up.join();
}

/// Passes bytes on until one side ends or a fault begins.
fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared, is_answer: bool) {
    let _ = from.set_read_timeout(Some(Duration::from_millis(100)));
    let mut bytes = [0; 65_536];
    while !shared.stop.load(Ordering::Relaxed) {
        let read = match from.read(&mut bytes) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if matches!(shared.fault(), Fault::None | Fault::Cut(_)) {
                    continue;
                }
                0
            }
            Err(_) => 0,
        };
        let room = match shared.fault() {
            Fault::None => read,
            Fault::Cut(_) if !is_answer => read,
            Fault::Cut(most) => read.min(most),
            _ => 0,
        };
        if room == 0 || to.write_all(&bytes[..room]).is_err() {
            break;
        }
        if room < read {
            shared.failed.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

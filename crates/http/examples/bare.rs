//! What a wake-up costs at least, for `benches/delivery.py`: a loop that writes one answer to each connection that
//! waits, and does nothing else.
//!
//! Usage: bare; prints its address as JSON. A line on standard input answers all that asked for `/live/a/wait.m3u8`.
#![allow(clippy::unwrap_used, reason = "a tool for measurements")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{{\"http\": \"{}\"}}", listener.local_addr().unwrap());
    // As long as an answer of the front with its 1,500 bytes.
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 1500\r\nx-filler: {}\r\n\r\n", "#".repeat(340));
    let answer: Arc<[u8]> = [head.into_bytes(), vec![b'#'; 1500]].concat().into();
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let (arrived, at_once) = (Arc::clone(&waiting), Arc::clone(&answer));
    std::thread::spawn(move || {
        let mut request = [0; 1024];
        // Kept open until the next one asks.
        let mut asked = None;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let length = stream.read(&mut request).unwrap();
            if request[..length].windows(9).any(|word| word == b"wait.m3u8") {
                arrived.lock().unwrap().push(stream);
            } else {
                stream.write_all(&at_once).unwrap();
                drop(asked.replace(stream));
            }
        }
    });
    for line in std::io::stdin().lines() {
        line.unwrap();
        let mut answered = std::mem::take(&mut *waiting.lock().unwrap());
        answered.iter_mut().for_each(|stream: &mut TcpStream| stream.write_all(&answer).unwrap());
        // The client closes them when it has counted.
        answered.iter_mut().for_each(|stream| drop(stream.read(&mut [0; 1])));
    }
}

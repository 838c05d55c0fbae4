//! One HTTP/1.1 response out of the bytes of a connection: the body is handed on as it comes and never kept here. Pure.

/// Longest response head, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Longest line of a chunk's size or of the trailer.
const MAX_LINE_BYTES: usize = 4 << 10;

/// Why the bytes are no response.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The head cannot be read.
    #[error("this is no HTTP/1.1 response")]
    Head,
    /// More than 16 kB.
    #[error("the response head is too long")]
    HeadTooLong,
    /// A chunk's size cannot be read.
    #[error("a chunk of the response has no size")]
    Chunk,
    /// The connection closed in the middle.
    #[error("the connection closed in the middle of a response")]
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Counted(u64),
    /// The size so far, digits seen, past the digits, bytes of the line.
    Size(u64, bool, bool, usize),
    Chunk(u64),
    ChunkEnd,
    /// Bytes of the trailer's line so far.
    Trailer(usize),
    UntilClose,
    Done,
}

/// A response being read.
#[derive(Debug)]
pub struct Response {
    state: State,
    head: Vec<u8>,
    /// Its status; 0 before the head is complete.
    pub status: u16,
    /// Whether another request may follow on the connection.
    pub keep_alive: bool,
    /// Location, of a redirection.
    pub location: Option<String>,
    /// Body bytes so far.
    pub bytes: u64,
}

impl Default for Response {
    fn default() -> Self {
        Response { state: State::Head, head: Vec::new(), status: 0, keep_alive: true, location: None, bytes: 0 }
    }
}

impl Response {
    /// Whether nothing of it has come yet.
    pub fn is_untouched(&self) -> bool {
        self.state == State::Head && self.head.is_empty()
    }

    /// Takes what the connection brought; true once the response is complete.
    ///
    /// # Errors
    /// If this is no HTTP/1.1.
    pub fn push(&mut self, mut data: &[u8], body: &mut impl FnMut(&[u8])) -> Result<bool, Error> {
        if self.state == State::Head {
            let before = self.head.len();
            self.head.extend_from_slice(data);
            let Some(length) = self.read_head()? else {
                return if self.head.len() > MAX_HEAD_BYTES { Err(Error::HeadTooLong) } else { Ok(false) };
            };
            self.head = Vec::new();
            data = data.get(length.saturating_sub(before)..).unwrap_or_default();
            if self.state == State::Head {
                // An interim response; the final one follows.
                return if data.is_empty() { Ok(false) } else { self.push(data, body) };
            }
        }
        while !data.is_empty() {
            match &mut self.state {
                State::Counted(left) | State::Chunk(left) => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                    let (now, rest) = data.split_at(take);
                    body(now);
                    self.bytes += now.len() as u64;
                    *left -= now.len() as u64;
                    data = rest;
                    match self.state {
                        State::Counted(0) => self.state = State::Done,
                        State::Chunk(0) => self.state = State::ChunkEnd,
                        _ => {}
                    }
                }
                State::UntilClose => {
                    body(data);
                    self.bytes += data.len() as u64;
                    return Ok(false);
                }
                State::Head | State::Done => {
                    // Bytes nobody asked for: whatever follows on this connection cannot be trusted.
                    self.keep_alive = false;
                    return Ok(true);
                }
                _ => {
                    let (byte, rest) = data.split_at(1);
                    self.line_byte(byte.first().copied().unwrap_or_default())?;
                    data = rest;
                }
            }
        }
        Ok(self.state == State::Done)
    }

    /// The connection closed.
    ///
    /// # Errors
    /// If the response was not complete.
    pub fn closed(&mut self) -> Result<(), Error> {
        self.keep_alive = false;
        if matches!(self.state, State::UntilClose | State::Done) { Ok(()) } else { Err(Error::Closed) }
    }

    fn line_byte(&mut self, byte: u8) -> Result<(), Error> {
        self.state = match self.state {
            State::Size(size, seen, past, length) if length < MAX_LINE_BYTES => match (byte, past) {
                (b'\n', _) if !seen => return Err(Error::Chunk),
                (b'\n', _) if size == 0 => State::Trailer(0),
                (b'\n', _) => State::Chunk(size),
                (digit, false) if digit.is_ascii_hexdigit() => {
                    let value = char::from(digit).to_digit(16).map_or(0, u64::from);
                    let size = size.checked_mul(16).and_then(|s| s.checked_add(value)).ok_or(Error::Chunk)?;
                    State::Size(size, true, false, length + 1)
                }
                _ => State::Size(size, seen, true, length + 1),
            },
            State::ChunkEnd if byte == b'\r' => State::ChunkEnd,
            State::ChunkEnd if byte == b'\n' => State::Size(0, false, false, 0),
            State::Trailer(0) if byte == b'\n' => State::Done,
            State::Trailer(length) if byte == b'\r' => State::Trailer(length),
            State::Trailer(_) if byte == b'\n' => State::Trailer(0),
            State::Trailer(length) if length < MAX_LINE_BYTES => State::Trailer(length + 1),
            _ => return Err(Error::Chunk),
        };
        Ok(())
    }

    /// The head's length, once it is complete.
    fn read_head(&mut self) -> Result<Option<usize>, Error> {
        let mut headers = [httparse::EMPTY_HEADER; 96];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(&self.head).map_err(|_| Error::Head)? else {
            return Ok(None);
        };
        let field = |name: &str| {
            let found = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
            found.and_then(|h| std::str::from_utf8(h.value).ok()).map(str::trim)
        };
        let status = response.code.unwrap_or(0);
        if (100..200).contains(&status) {
            return Ok(Some(length));
        }
        let token = |name: &str, value: &str| {
            field(name).is_some_and(|v| v.split(',').any(|t| t.trim().eq_ignore_ascii_case(value)))
        };
        self.keep_alive = !token("connection", "close") && response.version == Some(1);
        self.location = field("location").map(str::to_owned);
        let counted = field("content-length").and_then(|v| v.parse::<u64>().ok());
        self.state = match counted {
            _ if matches!(status, 204 | 304) => State::Done,
            _ if token("transfer-encoding", "chunked") => State::Size(0, false, false, 0),
            Some(0) => State::Done,
            Some(length) => State::Counted(length),
            None => State::UntilClose,
        };
        self.status = status;
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, body, complete, kept alive; the bytes come so many at a time.
    fn read(text: &str, step: usize) -> Result<(u16, String, bool, bool), Error> {
        let (mut response, mut body, mut done) = (Response::default(), Vec::new(), false);
        for piece in text.as_bytes().chunks(step) {
            done = response.push(piece, &mut |b| body.extend_from_slice(b))?;
        }
        if !done && response.closed().is_ok() {
            done = true;
        }
        Ok((response.status, String::from_utf8(body).unwrap(), done, response.keep_alive))
    }

    #[test]
    fn responses_in_pieces_of_any_size() {
        for (text, status, body, done, keep) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", 200, "abcde", true, true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 200, "abc", false, false),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", 200, "a", true, false),
            ("HTTP/1.0 200 OK\r\n\r\nabc", 200, "abc", true, false),
            ("HTTP/1.1 204 No\r\n\r\n", 204, "", true, true),
            ("HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n", 404, "", true, true),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
                200,
                "abc0123456789",
                true,
                true,
            ),
        ] {
            for step in 1..=text.len() {
                assert_eq!(read(text, step), Ok((status, body.to_owned(), done, keep)), "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn what_is_no_response() {
        for (text, error) in [
            ("SSH-2.0-x\r\n\r\n", Error::Head),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", Error::Chunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", Error::Chunk),
        ] {
            assert_eq!(read(text, 7), Err(error), "{text:?}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(20_000));
        assert_eq!(read(&long, 1000), Err(Error::HeadTooLong));
    }
}

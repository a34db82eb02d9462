//! A client that compares every byte of a body.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// The longest time for an answer. A server that takes longer has failed.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// The answer as it arrived, reused.
    answer: Vec<u8>,
}

/// Makes the first connection to a server. It tries again for a while: a server that is started by
/// exec has printed its port before it listens there.
pub(crate) fn ready(port: u16) -> Result<Client, String> {
    let start = Instant::now();
    loop {
        match Client::connect(port) {
            Err(_) if start.elapsed() < SILENCE_MAX => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

/// Writes the request for a file.
pub(crate) fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

impl Client {
    pub(crate) fn connect(port: u16) -> Result<Client, String> {
        let connect = || {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            Ok(Client { stream, answer: Vec::new() })
        };
        connect().map_err(|error: io::Error| format!("connect: {error}"))
    }

    /// Requests a file, fails unless the answer has that body, and returns the answer's length.
    pub(crate) fn expect_body(&mut self, target: &str, body: &[u8]) -> Result<usize, String> {
        let failed = |error: io::Error| format!("a request for {target}: {error}");
        self.stream.write_all(request(target).as_bytes()).map_err(failed)?;
        let head = self.head().map_err(failed)?;
        let text = String::from_utf8_lossy(&self.answer[..head]).to_ascii_lowercase();
        let length = format!("\r\ncontent-length: {}\r\n", body.len());
        if !text.starts_with("http/1.1 200 ") || !text.contains(&length) {
            return Err(format!("the head is wrong: {text:?}"));
        }
        while self.answer.len() < head + body.len() {
            self.more().map_err(failed)?;
        }
        if self.answer[head..] != *body {
            return Err(format!("the body of {target} is wrong"));
        }
        Ok(self.answer.len())
    }

    /// Reads until the head is complete, and returns its length.
    fn head(&mut self) -> io::Result<usize> {
        self.answer.clear();
        loop {
            self.more()?;
            let end = self.answer.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                return Ok(end + 4);
            }
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.answer.extend_from_slice(&buffer[..n]);
                Ok(())
            }
        }
    }
}

//! A client that looks at every byte.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// A server that does not answer within this time has failed.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// The answer as it came, reused.
    answer: Vec<u8>,
}

/// The first connection to a server: one that is started by exec has said its port before it
/// listens there.
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

/// What asks for a file.
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

    /// Asks for a file, and has to get it. The answer's length.
    pub(crate) fn expect_body(&mut self, target: &str, body: &[u8]) -> Result<usize, String> {
        let said = |error: io::Error| format!("a request for {target}: {error}");
        self.stream.write_all(request(target).as_bytes()).map_err(said)?;
        let head = self.head().map_err(said)?;
        let text = String::from_utf8_lossy(&self.answer[..head]).to_ascii_lowercase();
        let length = format!("\r\ncontent-length: {}\r\n", body.len());
        if !text.starts_with("http/1.1 200 ") || !text.contains(&length) {
            return Err(format!("a wrong head: {text:?}"));
        }
        while self.answer.len() < head + body.len() {
            self.more().map_err(said)?;
        }
        if self.answer[head..] != *body {
            return Err(format!("a wrong body of {target}"));
        }
        Ok(self.answer.len())
    }

    /// Reads until the head is whole; its length.
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

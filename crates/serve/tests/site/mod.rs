//! A server on a thread of its own, and plain std clients.

#![allow(dead_code, unused_imports, reason = "every test file uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use overlapped_serve::{Handle, Server, Totals};
pub(crate) use testkit::{is_torture, report, rounds, wait_until};

/// A running server. [`Site::stop`] stops it, and so does dropping it.
pub(crate) struct Site {
    pub(crate) handle: Handle,
    thread: Option<JoinHandle<Totals>>,
}

impl Site {
    /// Creates a server on a thread of its own and runs it there. The other value of `make` is
    /// returned.
    pub(crate) fn run<T: Send + 'static>(
        make: impl FnOnce() -> (Server, T) + Send + 'static,
    ) -> (Site, T) {
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (server, given) = make();
            tell.send((server.handle(), given)).unwrap();
            server.signals(false).run().unwrap()
        });
        let (handle, given) = told.recv().unwrap();
        (Site { handle, thread: Some(thread) }, given)
    }

    /// Asks the server to stop, and returns when its monitoring listener says that it does.
    pub(crate) fn begin_stop(&self, watch: SocketAddr) {
        self.handle.stop();
        wait_until("it is not ready", || {
            page(watch, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 503"))
        });
    }

    pub(crate) fn stop(mut self) -> Totals {
        self.handle.stop();
        self.wait()
    }

    pub(crate) fn wait(&mut self) -> Totals {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.handle.stop();
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Connects a client with timeouts.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads `len` bytes.
pub(crate) fn take(stream: &mut impl Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Sends a request, and checks that the reply is `answer`.
pub(crate) fn ask(stream: &mut TcpStream, question: &[u8], answer: &[u8]) {
    stream.write_all(question).unwrap();
    let got = take(stream, answer.len());
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(answer));
}

/// Sends an HTTP request on a connection of its own, and returns the whole answer.
pub(crate) fn page(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

//! A server on a thread of its own, and plain std clients.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use overlapped_serve::{Handle, Server, Totals};

/// A running server. [`Site::stop`] stops it, or the drop.
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

/// Waits until `is_so` returns true, for a while.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn torture() -> bool {
    std::env::var_os("OVERLAPPED_TORTURE").is_some_and(|value| value == "1")
}

pub(crate) fn rounds(ci: usize, full: usize) -> usize {
    if torture() { full } else { ci }
}

pub(crate) fn report(id: &str, checks: usize, figure: &str) {
    assert!(checks > 0, "not tested: nothing was checked");
    println!("RELIABILITY {id} {checks} {figure}");
}

//! Threads, and tasklets that were not started through this crate, keep their behaviour.
#![allow(missing_docs)]
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use support::ms;

/// Returns the results of many calls of std, errors with their numbers.
fn results() -> Vec<String> {
    let mut all = Vec::new();
    let mut say = |what: &str, result: std::io::Result<usize>| {
        let result = result.map_err(|error| error.raw_os_error());
        all.push(format!("{what} {result:?}"));
    };
    let (mut a, mut b) = UnixStream::pair().unwrap();
    say("write", a.write(b"four"));
    say("read", b.read(&mut [0; 9]));
    b.set_read_timeout(Some(ms(20))).unwrap();
    say("read at the limit", b.read(&mut [0]));
    b.set_nonblocking(true).unwrap();
    say("read nonblocking", b.read(&mut [0]));
    drop(a);
    say("read at the end", b.read(&mut [0]));
    say("write without a reader", b.write(b"x"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = socket.local_addr().unwrap();
    say("send without a receiver", socket.send(b"x"));
    say("send_to", socket.send_to(b"abc", own));
    say("peek", socket.peek(&mut [0; 2]));
    say("recv", socket.recv(&mut [0; 9]));
    say("too long", socket.send_to(&[0; 70_000], own));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    say("connect", TcpStream::connect(address).map(|_| 1));
    say("accept", listener.accept().map(|_| 1));
    listener.set_nonblocking(true).unwrap();
    say("accept nonblocking", listener.accept().map(|_| 1));
    drop(listener);
    say("connect without a listener", TcpStream::connect(address).map(|_| 1));
    say("lookup", std::net::ToSocketAddrs::to_socket_addrs("localhost:7").map(Iterator::count));
    let path = support::path("file");
    let file = std::fs::File::create(&path).unwrap();
    say("write_at", file.write_at(b"hello", 3));
    say("read_at of what is not readable", file.read_at(&mut [0; 5], 0));
    say("sync", file.sync_all().map(|()| 0));
    say("sync of a socket", {
        // SAFETY: a descriptor's number.
        let outcome = unsafe { libc::fsync(b.as_raw_fd()) };
        if outcome < 0 { Err(std::io::Error::last_os_error()) } else { Ok(0) }
    });
    say("set_len", file.set_len(2).map(|()| 2));
    say("whole file", std::fs::read(&path).map(|bytes| bytes.len()));
    say("open of nothing", std::fs::read("/nonexistent/file").map(|_| 0));
    std::fs::remove_file(&path).unwrap();
    let status = std::process::Command::new("sh").args(["-c", "exit 3"]).status();
    say("child", status.map(|status| status.code().unwrap() as usize));
    say("no such program", std::process::Command::new("/nonexistent").status().map(|_| 0));
    // SAFETY: a number that is no descriptor.
    say(
        "bad descriptor",
        match unsafe { libc::read(-1, [0u8; 1].as_mut_ptr().cast(), 1) } {
            -1 => Err(std::io::Error::last_os_error()),
            count => Ok(count as usize),
        },
    );
    all
}

#[test]
fn every_call_gives_the_same_in_a_thread_in_a_tasklet_and_in_one_of_this_crates() {
    let before = std::thread::spawn(results).join().unwrap();
    support::install();
    let thread = std::thread::spawn(results).join().unwrap();
    assert_eq!(thread, before, "in a thread");
    let tasklet = overlapped::run(results).unwrap();
    assert_eq!(tasklet, before, "in a tasklet of the library's");
    assert_eq!(support::run_in_tasklet(results), before, "in a tasklet of this crate's");
}

#[test]
fn calls_in_a_tasklet_that_was_not_started_here_block_the_thread_each_time() {
    support::install();
    overlapped::run(|| {
        let ticks = support::ticks(|| {
            // The first call must not have changed the effect of the second one.
            for _ in 0..3 {
                std::thread::sleep(ms(20));
                let (_a, b) = UnixStream::pair().unwrap();
                b.set_read_timeout(Some(ms(20))).unwrap();
                (&b).read(&mut [0]).unwrap_err();
            }
        });
        assert_eq!(ticks, 0);
    })
    .unwrap();
}

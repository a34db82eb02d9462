//! A proxy that forwards a server's output with a delay.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// The unit of a server's output that is held back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A piece of data that comes at once.
    Piece,
    /// A line, even if several come at once.
    Line,
}

/// Listens on a port of its own; each `part` that `server` sends is held back for `delay`. Its
/// threads end with the process.
pub(super) fn start(server: SocketAddr, part: Part, delay: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(server) else { continue };
            let Ok(ends) = (|| Ok::<_, io::Error>((client.try_clone()?, server.try_clone()?)))()
            else {
                continue;
            };
            for end in [&client, &server] {
                let _ = end.set_nodelay(true);
            }
            thread::spawn(move || pump(ends.0, ends.1, Part::Piece, Duration::ZERO));
            thread::spawn(move || pump(server, client, part, delay));
        }
    });
    Ok(address)
}

fn pump(mut from: TcpStream, mut to: TcpStream, part: Part, delay: Duration) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut parts =
            buffer[..count].split_inclusive(|byte| part == Part::Line && *byte == b'\n');
        let hand_on = |part: &[u8]| {
            thread::sleep(delay);
            to.write_all(part)
        };
        if parts.try_for_each(hand_on).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

//! The echo protocol: what one session does.

use std::io::{self, ErrorKind, Read, Write};

use overlapped::net::TcpStream;

use super::totals::Totals;

/// What an idle connection costs, besides its stack.
const BUFFER_MIN: usize = 4 << 10;
/// What a connection that sends as fast as it can gets.
const BUFFER_MAX: usize = 64 << 10;

/// Sends back what comes until the client has sent everything.
///
/// The buffer doubles whenever a read fills it: talkers in small messages stay at 4 KiB, bulk
/// senders reach 64 KiB within four reads. The alternative, 64 KiB for everybody, is a gigabyte for
/// 16,000 idle connections.
pub(super) fn echo(stream: &mut TcpStream, totals: &Totals) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_MIN];
    loop {
        let n = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        totals.add_in(n);
        stream.write_all(&buffer[..n])?;
        totals.add_out(n);
        if n == buffer.len() && n < BUFFER_MAX {
            buffer.resize(2 * n, 0);
        }
    }
}

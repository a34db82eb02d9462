//! A server that decompresses: flate2 and `std::io::copy` between sockets, a thousand clients at
//! once.
//!
//! ```text
//! cargo run --release -p overlapped-examples --example flate2 -- [CLIENTS]
//! ```
//!
//! A client sends gzip, and receives the decompressed text while it still sends. No code here knows
//! that it runs in tasklets: readers and writers are wrapped in one another as usual, and
//! `std::io::copy` moves the bytes.
//!
//! flate2's default backend keeps its buffers on the stack in a build without optimisation, and
//! needs 300 KiB to compress (110 to decompress; 70 for either with optimisation). A tasklet's
//! stack is smaller, so this example chooses the backend `zlib-rs`, which needs 15 KiB and is
//! faster. `Builder::stack_size(512 << 10)` for the tasklets that compress would do as well.

mod stack;

use std::cell::Cell;
use std::error::Error;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::Shutdown;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use overlapped::net::{SocketAddr, TcpListener, TcpStream};
use overlapped::{run, scope, spawn};

/// Decompresses what it receives, and sends it back.
fn unpack(stream: &TcpStream) -> io::Result<()> {
    let mut packed = GzDecoder::new(BufReader::new(stream));
    let mut plain = BufWriter::new(stream);
    io::copy(&mut packed, &mut plain)?;
    plain.flush()
}

/// Accepts until it is killed.
fn serve(listener: &TcpListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        spawn(move || {
            if let Err(error) = unpack(&stream) {
                eprintln!("unpacking: {error}");
            }
            stack::note();
        });
    }
    Ok(())
}

/// Sends `text` compressed, and returns the server's answer.
///
/// Sending and receiving run in a tasklet each. A single one could not transfer a text that is
/// larger than the sockets' buffers: client and server would each wait for the other to read.
fn round_trip(addr: SocketAddr, text: &[u8]) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(addr)?;
    scope(|s| {
        let sender = s.spawn(|| {
            let mut packed = GzEncoder::new(&stream, Compression::fast());
            packed.write_all(text)?;
            packed.finish()?;
            stack::note();
            stream.shutdown(Shutdown::Write)
        });
        let mut plain = Vec::new();
        (&stream).read_to_end(&mut plain)?;
        sender.join().map_err(io::Error::other)??;
        Ok(plain)
    })
}

/// Makes a text of `lines` lines that no other client has.
fn text(client: usize, lines: usize) -> Vec<u8> {
    let line = |number| format!("client {client}, line {number} of {lines}\n");
    (0..lines).flat_map(|number| line(number).into_bytes()).collect()
}

/// Runs `count` clients at once, and counts those that got their text back.
fn clients(count: usize, lines: usize) -> Result<usize, Box<dyn Error>> {
    let right = Cell::new(0);
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let server = spawn(move || serve(&listener));
        scope(|s| {
            for client in 0..count {
                let right = &right;
                s.spawn(move || {
                    let text = text(client, lines);
                    match round_trip(addr, &text) {
                        Ok(plain) if plain == text => right.set(right.get() + 1),
                        Ok(_) => eprintln!("client {client} got back something else"),
                        Err(error) => eprintln!("client {client}: {error}"),
                    }
                });
            }
        });
        // Sessions end with their clients; only the listener is left.
        server.kill();
        io::Result::Ok(())
    })??;
    Ok(right.get())
}

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(1_000), |count| count.parse())?;
    overlapped::port::raise_fd_limit()?;
    let begin = std::time::Instant::now();
    let right = clients(count, 1_000)?;
    println!("{right} of {count} texts came back unpacked, in {:?}", begin.elapsed());
    println!("{}", stack::deepest());
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_text_comes_back_unpacked() {
        overlapped::port::raise_fd_limit().unwrap();
        assert_eq!(super::clients(150, 300).unwrap(), 150);
        println!("{}", super::stack::deepest());
    }

    #[test]
    fn a_large_text_comes_back_while_it_is_sent() {
        assert_eq!(super::clients(2, 100_000).unwrap(), 2);
    }
}

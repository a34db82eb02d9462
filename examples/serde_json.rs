//! A service that speaks JSON: serde_json directly on sockets, a thousand clients at once.
//!
//! ```text
//! cargo run --release -p overlapped-examples --example serde_json -- [CLIENTS]
//! ```
//!
//! `Deserializer::from_reader` reads values from the stream one by one, wherever packets divide
//! them. It reads byte by byte, hence the `BufReader`.

mod stack;

use std::cell::Cell;
use std::error::Error;
use std::io::{self, BufReader, BufWriter, Write};

use overlapped::net::{SocketAddr, TcpListener, TcpStream};
use overlapped::{Builder, run, scope, spawn};
use serde::{Deserialize, Serialize};
use serde_json::{Deserializer, Value};

/// A client's request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Request {
    /// The sum of numbers.
    Sum(Vec<i64>),
    /// The depth of a value's nesting.
    Depth(Value),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Sum(i64),
    Depth(usize),
}

fn depth(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The size of the stacks on which values are read. serde_json recurses for every level, up to 127,
/// and refuses more, so no request can exceed this: without optimisation a level takes 1.6 KiB. It
/// is address space: memory is committed page by page, when it is touched.
const STACK: usize = 512 << 10;

/// Answers requests until the client has sent its last one.
fn answer(stream: &TcpStream) -> serde_json::Result<()> {
    let mut output = BufWriter::new(stream);
    for request in Deserializer::from_reader(BufReader::new(stream)).into_iter() {
        let answer = match request? {
            Request::Sum(numbers) => {
                Answer::Sum(numbers.iter().fold(0, |sum, n| sum.wrapping_add(*n)))
            }
            Request::Depth(value) => Answer::Depth(depth(&value)),
        };
        serde_json::to_writer(&mut output, &answer)?;
        output.flush().map_err(serde_json::Error::io)?;
    }
    Ok(())
}

/// Accepts until it is killed.
fn serve(listener: &TcpListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        let session = move || {
            if let Err(error) = answer(&stream) {
                eprintln!("a client's request: {error}");
            }
            stack::note();
        };
        Builder::new().stack_size(STACK).spawn(session).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Sends one request after another on one connection.
fn ask(addr: SocketAddr, requests: &[Request]) -> serde_json::Result<Vec<Answer>> {
    let stream = TcpStream::connect(addr).map_err(serde_json::Error::io)?;
    let mut answers = Deserializer::from_reader(BufReader::new(&stream)).into_iter();
    let ask = |request: &Request| {
        serde_json::to_writer(&mut BufWriter::new(&stream), request)?;
        answers
            .next()
            .unwrap_or_else(|| Err(serde_json::Error::io(io::ErrorKind::UnexpectedEof.into())))
    };
    requests.iter().map(ask).collect()
}

/// Runs `clients` clients at once, and counts those that got the right answers.
fn clients(count: usize, nesting: usize) -> Result<usize, Box<dyn Error>> {
    let right = Cell::new(0);
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let server = spawn(move || serve(&listener));
        scope(|s| {
            for client in 0..count as i64 {
                let right = &right;
                let client = move || {
                    let nested = (1..nesting).fold(Value::Null, |inner, _| vec![inner].into());
                    let requests = [Request::Sum((0..=client).collect()), Request::Depth(nested)];
                    let expected = [Answer::Sum(client * (client + 1) / 2), Answer::Depth(nesting)];
                    match ask(addr, &requests) {
                        Ok(answers) if answers == expected => right.set(right.get() + 1),
                        other => eprintln!("client {client}: {other:?}"),
                    }
                    stack::note();
                };
                let spawned = Builder::new().stack_size(STACK).spawn_scoped(s, client);
                spawned.map_err(io::Error::other)?;
            }
            io::Result::Ok(())
        })?;
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
    let right = clients(count, 10)?;
    println!("{right} of {count} clients got their answers, in {:?}", begin.elapsed());
    println!("{}", stack::deepest());
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_client_gets_its_answers() {
        overlapped::port::raise_fd_limit().unwrap();
        assert_eq!(super::clients(150, 10).unwrap(), 150);
        println!("{}", super::stack::deepest());
    }

    /// One of the 127 levels is the request's own.
    #[test]
    fn the_deepest_value_that_serde_json_takes_fits_onto_the_stack() {
        assert_eq!(super::clients(1, 127).unwrap(), 1);
        println!("{}", super::stack::deepest());
        assert_eq!(super::clients(1, 128).unwrap(), 0, "serde_json's own limit");
    }
}

//! WebSockets on both ends of a thousand conversations at once, with plain blocking tungstenite.
//!
//! ```text
//! cargo run --release -p overlapped-examples --example tungstenite -- [CLIENTS]
//! ```
//!
//! tungstenite's `accept` and `client` take any `Read` and `Write`. Its asynchronous sister needs
//! an adapter and a runtime; here the blocking one suffices, and blocks only its own tasklet.

mod stack;

use std::cell::Cell;
use std::error::Error;
use std::io;

use overlapped::net::{SocketAddr, TcpListener, TcpStream};
use overlapped::{run, scope, spawn};
use tungstenite::{Message, accept, client};

/// Runs the server's side: sends every message back.
fn echo(stream: TcpStream) -> Result<(), Box<dyn Error>> {
    stream.set_nodelay(true)?;
    let mut socket = accept(stream).map_err(|error| error.to_string())?;
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message)?,
            // tungstenite itself answers pings and closing frames.
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Accepts until it is killed.
fn serve(listener: &TcpListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        spawn(move || {
            if let Err(error) = echo(stream) {
                eprintln!("the server's side: {error}");
            }
            stack::note();
        });
    }
    Ok(())
}

/// Runs the client's side: sends the messages one by one, and compares the answers.
fn talk(addr: SocketAddr, messages: &[Message]) -> Result<(), Box<dyn Error>> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{addr}/echo");
    let (mut socket, _) = client(url, stream).map_err(|error| error.to_string())?;
    for message in messages {
        socket.send(message.clone())?;
        if socket.read()? != *message {
            return Err("something else came back".into());
        }
    }
    socket.close(None)?;
    // The server answers the closing frame, and then closes the connection.
    while socket.read().is_ok() {}
    Ok(())
}

/// Runs `clients` conversations at once, and counts those that succeeded.
fn conversations(clients: usize) -> Result<usize, Box<dyn Error>> {
    let well = Cell::new(0);
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let server = spawn(move || serve(&listener));
        scope(|s| {
            for number in 0..clients {
                let well = &well;
                s.spawn(move || {
                    let messages = [
                        Message::text(format!("client {number} says hello")),
                        Message::binary(vec![number as u8; 20_000]),
                    ];
                    match talk(addr, &messages) {
                        Ok(()) => well.set(well.get() + 1),
                        Err(error) => eprintln!("client {number}: {error}"),
                    }
                    stack::note();
                });
            }
        });
        // Sessions end with their clients; only the listener is left.
        server.kill();
        io::Result::Ok(())
    })??;
    Ok(well.get())
}

fn main() -> Result<(), Box<dyn Error>> {
    let clients = std::env::args().nth(1).map_or(Ok(1_000), |count| count.parse())?;
    overlapped::port::raise_fd_limit()?;
    let begin = std::time::Instant::now();
    let well = conversations(clients)?;
    println!("{well} of {clients} conversations went well, in {:?}", begin.elapsed());
    println!("{}", stack::deepest());
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_message_comes_back() {
        overlapped::port::raise_fd_limit().unwrap();
        assert_eq!(super::conversations(150).unwrap(), 150);
        println!("{}", super::stack::deepest());
    }
}

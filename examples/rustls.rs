//! TLS on both ends of a thousand conversations at once, with plain blocking rustls.
//!
//! ```text
//! cargo run --release -p overlapped-examples --example rustls -- [CLIENTS]
//! ```
//!
//! rustls knows nothing of this library. Its `StreamOwned` wraps any `Read` and `Write`, and so our
//! streams; a handshake that waits for the other side blocks only its own tasklet.

mod stack;

use std::cell::Cell;
use std::error::Error;
use std::io::{self, Read, Write};
use std::sync::Arc;

use overlapped::net::{SocketAddr, TcpListener, TcpStream};
use overlapped::{run, scope, spawn};
use rustls::pki_types::PrivateKeyDer;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

/// Makes a server's and a client's configuration with a new certificate.
fn configure() -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let certificate = made.cert.der().clone();
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate)?;
    let client = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
    Ok((Arc::new(server), Arc::new(client)))
}

/// Runs the server's side of one conversation: sends everything back.
fn echo(stream: TcpStream, config: Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    let mut tls = StreamOwned::new(ServerConnection::new(config)?, stream);
    let mut buffer = [0; 4096];
    loop {
        // An end without close_notify is an error: the text may have been cut off.
        let count = tls.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        tls.write_all(&buffer[..count])?;
    }
}

/// Accepts until it is killed.
fn serve(listener: &TcpListener, config: &Arc<ServerConfig>) -> io::Result<()> {
    for stream in listener.incoming() {
        let (stream, config) = (stream?, config.clone());
        spawn(move || {
            if let Err(error) = echo(stream, config) {
                eprintln!("the server's side: {error}");
            }
            stack::note();
        });
    }
    Ok(())
}

/// Runs the client's side: sends `text`, and returns the server's answer.
fn talk(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
    text: &str,
) -> Result<String, Box<dyn Error>> {
    let name = "localhost".try_into()?;
    let stream = TcpStream::connect(addr)?;
    let mut tls = StreamOwned::new(ClientConnection::new(config.clone(), name)?, stream);
    tls.write_all(text.as_bytes())?;
    let mut answer = vec![0; text.len()];
    tls.read_exact(&mut answer)?;
    tls.conn.send_close_notify();
    tls.flush()?;
    Ok(String::from_utf8(answer)?)
}

/// Runs `clients` conversations at once, and counts those that succeeded.
fn conversations(clients: usize) -> Result<usize, Box<dyn Error>> {
    let (server, client) = configure()?;
    let whole = Cell::new(0);
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let server = spawn(move || serve(&listener, &server));
        scope(|s| {
            for number in 0..clients {
                let (client, whole) = (&client, &whole);
                s.spawn(move || {
                    let text = format!("client {number} says hello");
                    match talk(addr, client, &text) {
                        Ok(answer) if answer == text => whole.set(whole.get() + 1),
                        other => eprintln!("client {number}: {other:?}"),
                    }
                    stack::note();
                });
            }
        });
        // Sessions end with their clients; only the listener is left.
        server.kill();
        io::Result::Ok(())
    })??;
    Ok(whole.get())
}

fn main() -> Result<(), Box<dyn Error>> {
    let clients = std::env::args().nth(1).map_or(Ok(1_000), |count| count.parse())?;
    overlapped::port::raise_fd_limit()?;
    let begin = std::time::Instant::now();
    let whole = conversations(clients)?;
    println!("{whole} of {clients} conversations came back whole, in {:?}", begin.elapsed());
    println!("{}", stack::deepest());
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_conversation_comes_back_whole() {
        overlapped::port::raise_fd_limit().unwrap();
        let whole = super::conversations(150).unwrap();
        println!("{}", super::stack::deepest());
        assert_eq!(whole, 150);
    }
}

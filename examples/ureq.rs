//! An HTTPS client that a thousand tasklets share: ureq over this library's sockets.
//!
//! ```text
//! cargo run --release -p overlapped-examples --example ureq -- [REQUESTS]
//! ```
//!
//! ureq is a blocking client. It blocks only the calling tasklet, because its sockets can be
//! replaced: the crate `overlapped-ureq` does that, and `overlapped get` is built on it. Everything
//! else here is ureq as its own manual shows it.

mod stack;

use std::cell::Cell;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::sync::Arc;
use std::time::Duration;

use overlapped::net::{TcpListener, TcpStream};
use overlapped::{run, scope, spawn};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Makes an agent over tasklets, which trusts one certificate.
fn agent(trusted: &CertificateDer<'_>) -> Agent {
    let trusted = Certificate::from_der(trusted).to_owned();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[trusted])).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(Duration::from_secs(60)))
        .max_idle_connections_per_host(100)
        .proxy(None)
        .build();
    overlapped_ureq::agent(config)
}

/// Answers every request with its path, until the client closes.
fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    let tls = StreamOwned::new(ServerConnection::new(config)?, stream);
    let mut tls = BufReader::new(tls);
    loop {
        let mut request = String::new();
        if tls.read_line(&mut request)? == 0 {
            return Ok(());
        }
        // The rest of the head, including the empty line.
        while tls.read_line(&mut String::new())? > 2 {}
        let path = request.split(' ').nth(1).unwrap_or("?");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
        tls.get_mut().write_all(answer.as_bytes())?;
    }
}

/// Accepts until it is killed.
fn serve(listener: &TcpListener, config: &Arc<ServerConfig>) -> io::Result<()> {
    for stream in listener.incoming() {
        let (stream, config) = (stream?, config.clone());
        spawn(move || {
            // The client reports errors.
            let _ = answer(stream, config);
            stack::note();
        });
    }
    Ok(())
}

/// Makes `count` requests at once, and counts the right answers.
fn requests(count: usize) -> Result<usize, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let certificate = made.cert.der().clone();
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let right = Cell::new(0);
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let server = Arc::new(server);
        let server = spawn(move || serve(&listener, &server));
        let agent = agent(&certificate);
        scope(|s| {
            for number in 0..count {
                let (agent, right) = (&agent, &right);
                s.spawn(move || {
                    let url = format!("https://localhost:{port}/page/{number}");
                    let answer =
                        agent.get(&url).call().and_then(|mut r| r.body_mut().read_to_string());
                    match answer {
                        Ok(text) if text == format!("/page/{number}") => right.set(right.get() + 1),
                        other => eprintln!("{url}: {other:?}"),
                    }
                    stack::note();
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
    let right = requests(count)?;
    println!("{right} of {count} answers over TLS in {:?}", begin.elapsed());
    println!("{}", stack::deepest());
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn hundred_tasklets_share_one_agent() {
        overlapped::port::raise_fd_limit().unwrap();
        let right = super::requests(150).unwrap();
        println!("{}", super::stack::deepest());
        assert_eq!(right, 150);
    }
}

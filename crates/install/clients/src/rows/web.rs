//! Servers that wait for clients: the clients are on plain threads, one for each request.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::request::{Opener, Result, requests, same};
use crate::row::{Row, Setup};
use crate::servers::Server;

pub(super) fn rows() -> Vec<Row> {
    let row = |name, request, start| Row { name, server: Server::None, request, note: "", start };
    vec![
        row("tiny_http", "`recv`, 100 ms of sleep, `respond`", tiny_http),
        row("rouille", "`poll_timeout` until an answer is out; its handler takes 100 ms", rouille),
    ]
}

/// Asks for a path, on a thread; returns a receiver of the text.
fn ask(address: SocketAddr, number: usize) -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, answer) = mpsc::channel();
    thread::spawn(move || {
        let ask = || {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            let head = format!("GET /{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text)
        };
        sender.send(ask())
    });
    answer
}

/// Returns the body for a path.
fn text(path: &str) -> String {
    format!("The answer to {path}.")
}

fn check(answer: &str, number: usize) -> Result {
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
    same(body, &text(&format!("/{number}")))
}

fn tiny_http(_: &Setup) -> Result<Opener> {
    let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").map_err(|e| e.to_string())?);
    let address = server.server_addr().to_ip().ok_or("no address")?;
    requests(move |number| {
        let answer = ask(address, number);
        // This may be the request of another client.
        let request = server.recv()?;
        thread::sleep(Duration::from_millis(100));
        let body = text(request.url());
        request.respond(tiny_http::Response::from_string(body))?;
        check(&answer.recv()??, number)
    })
}

fn rouille(_: &Setup) -> Result<Opener> {
    let server = rouille::Server::new("127.0.0.1:0", |request| {
        thread::sleep(Duration::from_millis(100));
        rouille::Response::text(text(&request.raw_url()))
    });
    let server = Arc::new(server.map_err(|error| error.to_string())?);
    let address = server.server_addr();
    requests(move |number| {
        let answer = ask(address, number);
        loop {
            match answer.try_recv() {
                Ok(answer) => return check(&answer?, number),
                Err(mpsc::TryRecvError::Empty) => server.poll_timeout(Duration::from_millis(5)),
                Err(error) => return Err(error.into()),
            }
        }
    })
}

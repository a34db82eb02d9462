//! An echo server and its clients, all tasklets of one thread; every answer is compared.

use std::io::{self, Read, Write};

use anyhow::{Context, ensure};
use indicatif::HumanCount;
use overlapped::net::{SocketAddr, TcpListener, TcpStream};
use overlapped::time::Instant;
use overlapped::{Channel, JoinError, scope, spawn, yield_now};

use super::effort::Effort;

const CLIENTS: usize = 1000;
const MESSAGE_BYTES: usize = 64;
/// Descriptors for everything else: standard streams, the port, the listener, some reserve.
const DESCRIPTORS_SPARE: u64 = 24;

pub(super) fn step(effort: Effort) -> anyhow::Result<String> {
    let (limit, _) = overlapped::port::raise_fd_limit().unwrap_or((1024, 1024));
    // Both ends of each connection are in this process.
    let possible = usize::try_from(limit.saturating_sub(DESCRIPTORS_SPARE) / 2)?.max(1);
    let clients = CLIENTS.min(possible);
    let rounds = effort.scale(200);
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
    let addr = listener.local_addr()?;
    let server = spawn(move || serve(&listener));
    let trips = (clients * rounds) as u64;
    let seconds = measure(addr, clients, rounds)?;
    server.kill();
    match server.join() {
        Err(JoinError::Killed) => {}
        Ok(error) => return Err(error).context("accepting failed"),
        Err(error) => return Err(error.into()),
    }
    let mut text = format!(
        "{} clients, {} round trips of {MESSAGE_BYTES} bytes: {} a second, every byte compared \
         (clients and server on one thread)",
        HumanCount(clients as u64),
        HumanCount(trips),
        HumanCount((trips as f64 / seconds) as u64),
    );
    if clients < CLIENTS {
        text += &format!(
            "\nLIMITED to {clients} clients by the limit of {limit} open files: raise `ulimit -Hn`"
        );
    }
    Ok(text)
}

/// Accepts until it is killed; its sessions end with their clients.
fn serve(listener: &TcpListener) -> io::Error {
    loop {
        match listener.accept() {
            Ok((stream, _)) => drop(spawn(move || answer(stream))),
            Err(error) => return error,
        }
    }
}

/// Echoes until the client closes. The client reports errors.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    stream.set_nodelay(true)?;
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
    }
}

/// Measures the seconds that all round trips take, once every client is connected.
fn measure(addr: SocketAddr, clients: usize, rounds: usize) -> anyhow::Result<f64> {
    let start = Channel::<()>::new();
    scope(|s| {
        let mut running = Vec::with_capacity(clients);
        for client in 0..clients {
            let start = start.clone();
            running.push(s.spawn(move || talk(addr, client, rounds, &start)));
        }
        // A waiting receiver counts minus one, and one whose connection failed has ended.
        let waiting = |start: &Channel<()>| start.balance().unsigned_abs();
        while waiting(&start) + running.iter().filter(|t| t.handle().is_finished()).count()
            < clients
        {
            yield_now();
        }
        let begin = Instant::now();
        start.close();
        for client in running {
            client.join()??;
        }
        Ok(begin.elapsed().as_secs_f64())
    })
}

/// Runs one client: `rounds` messages, each different from the one before.
fn talk(addr: SocketAddr, client: usize, rounds: usize, start: &Channel<()>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(addr).context("cannot connect over loopback")?;
    stream.set_nodelay(true)?;
    // Ends with `Closed` for all clients at once.
    let _ = start.recv();
    let (mut message, mut answer) = ([0; MESSAGE_BYTES], [0; MESSAGE_BYTES]);
    for round in 0..rounds {
        for (i, byte) in message.iter_mut().enumerate() {
            *byte = (client * 31 + round * 7 + i) as u8;
        }
        stream.write_all(&message)?;
        stream.read_exact(&mut answer)?;
        ensure!(message == answer, "client {client}, round {round}: the answer differs");
    }
    Ok(())
}

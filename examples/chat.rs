//! WebSockets as plain functions of a server's connections, with blocking tungstenite: an echo, and
//! a chat room.
//!
//! ```text
//! cargo run -p overlapped-examples --example chat
//! websocat ws://127.0.0.1:7016
//! ```
//!
//! A member of the room has two tasklets: one passes the client's messages to the room, the other
//! sends the room's messages. Each has a `WebSocket` of its own on the same connection.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use overlapped::spawn;
use overlapped::sync::{self, mpsc};
use overlapped_serve::{Connection, Limits, Listen, Server};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket, accept};

/// The number of messages that wait for a slow member. Further ones are not sent to that member.
const BEHIND_MAX: usize = 100;

/// Sends every message back.
fn echo(connection: Connection) -> Result<(), Box<dyn Error>> {
    let mut socket = accept(connection).map_err(|error| error.to_string())?;
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

/// A connection with two writers: each write is one frame, and frames are never mixed.
#[derive(Clone)]
struct Shared {
    connection: Connection,
    writing: Arc<sync::Mutex<()>>,
}

impl Read for Shared {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.connection.read(buf)
    }
}

impl Write for Shared {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        let _writing = self.writing.lock().map_err(|_| io::ErrorKind::BrokenPipe)?;
        (&self.connection).write_all(frame)?;
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Room {
    next: AtomicU64,
    members: Mutex<HashMap<u64, mpsc::SyncSender<Arc<str>>>>,
}

impl Room {
    /// No tasklet waits while it holds the lock.
    fn members(&self) -> MutexGuard<'_, HashMap<u64, mpsc::SyncSender<Arc<str>>>> {
        self.members.lock().unwrap()
    }

    fn broadcast(&self, text: &str) {
        let text: Arc<str> = text.into();
        for member in self.members().values() {
            let _missed = member.try_send(Arc::clone(&text));
        }
    }
}

/// Serves one member, until the client closes.
fn chat(connection: Connection, room: &Room) -> Result<(), Box<dyn Error>> {
    let shared = Shared { connection, writing: Arc::default() };
    let mut incoming = accept(shared.clone()).map_err(|error| error.to_string())?;
    let mut outgoing = WebSocket::from_raw_socket(shared, Role::Server, None);
    let me = room.next.fetch_add(1, Relaxed);
    let (sender, messages) = mpsc::sync_channel::<Arc<str>>(BEHIND_MAX);
    room.members().insert(me, sender);
    let writer = spawn(move || {
        for text in messages {
            if outgoing.send(Message::text(&*text)).is_err() {
                break;
            }
        }
    });
    room.broadcast(&format!("{me} has joined"));
    let end = loop {
        match incoming.read() {
            Ok(Message::Text(text)) => room.broadcast(&format!("{me}: {text}")),
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // Drops the sender, so the writer ends.
    room.members().remove(&me);
    room.broadcast(&format!("{me} has left"));
    writer.join()?;
    Ok(end?)
}

/// Starts a server with both, and returns its address.
fn serve(echo_on: &str, chat_on: &str) -> io::Result<(Server, [String; 2])> {
    let hour = Duration::from_secs(3600);
    let listen = |on: &str| Listen::on(on).limits(Limits { idle: hour, ..Limits::default() });
    let mut server = Server::new();
    let echo_on = server.listen_with(listen(echo_on), |connection| {
        if let Err(error) = echo(connection) {
            eprintln!("echo: {error}");
        }
    })?;
    let room = Arc::new(Room::default());
    let chat_on = server.listen_with(listen(chat_on), move |connection| {
        if let Err(error) = chat(connection, &room) {
            eprintln!("chat: {error}");
        }
    })?;
    Ok((server, [echo_on.to_string(), chat_on.to_string()]))
}

fn main() -> io::Result<()> {
    let (server, [echo_on, chat_on]) = serve("127.0.0.1:7015", "127.0.0.1:7016")?;
    println!("echo on ws://{echo_on}, a room on ws://{chat_on}; Ctrl-C stops");
    print!("{}", server.run()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use tungstenite::client;

    use super::*;

    fn join(on: &str) -> WebSocket<TcpStream> {
        let stream = TcpStream::connect(on).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client(format!("ws://{on}"), stream).unwrap().0
    }

    fn next(socket: &mut WebSocket<TcpStream>) -> String {
        socket.read().unwrap().into_text().unwrap().to_string()
    }

    #[test]
    fn every_member_receives_every_message_and_echoes_come_back() {
        let (sender, started) = std::sync::mpsc::channel();
        let running = std::thread::spawn(move || {
            let (server, addresses) = serve("127.0.0.1:0", "127.0.0.1:0").unwrap();
            let server = server.signals(false).threads(2);
            sender.send((server.handle(), addresses)).unwrap();
            server.run().unwrap()
        });
        let (handle, [echo_on, chat_on]) = started.recv().unwrap();
        let mut one = join(&echo_on);
        for size in [0, 1, 200, 70_000] {
            let message = Message::binary(vec![7; size]);
            one.send(message.clone()).unwrap();
            assert_eq!(one.read().unwrap(), message);
        }
        let mut first = join(&chat_on);
        assert_eq!(next(&mut first), "0 has joined");
        let mut second = join(&chat_on);
        assert_eq!(
            (next(&mut first), next(&mut second)),
            ("1 has joined".into(), "1 has joined".into())
        );
        second.send(Message::text("hello")).unwrap();
        assert_eq!((next(&mut first), next(&mut second)), ("1: hello".into(), "1: hello".into()));
        second.close(None).unwrap();
        while second.read().is_ok() {}
        assert_eq!(next(&mut first), "1 has left");
        handle.stop();
        assert_eq!(running.join().unwrap().panicked, 0);
    }
}

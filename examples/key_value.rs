//! A key-value store that speaks a protocol of its own: `set KEY VALUE`, `get KEY`, a line each.
//!
//! ```text
//! cargo run -p overlapped-examples --example key_value &    then    nc 127.0.0.1 7014
//! ```

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use overlapped_serve::{Peer, Server};
use overlapped_wire::{Decoded, Exchange, Malformed, Next, Protocol};

#[derive(Clone, Default)]
struct Store(Arc<Mutex<HashMap<String, String>>>);

impl Protocol for Store {
    type Request<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
        match input.iter().position(|&byte| byte == b'\n') {
            Some(at) => Ok(Decoded::Whole { request: &input[..at], taken: at + 1 }),
            None if input.len() > 1000 => Err(Malformed::new("a line is too long", "too long\n")),
            None => Ok(Decoded::More),
        }
    }

    fn respond(&mut self, line: &[u8], exchange: &mut Exchange<'_>) -> Next {
        let mut store = self.0.lock().unwrap();
        let line = String::from_utf8_lossy(line);
        let answer = match line.trim_end().splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["set", key, value] => store.insert(key.to_owned(), value.to_owned()),
            ["get", key] => store.get(key).cloned(),
            _ => Some("set KEY VALUE, or get KEY".to_owned()),
        };
        exchange.reply.extend(answer.unwrap_or_default().as_bytes());
        exchange.reply.extend(b"\n");
        Next::Keep
    }
}

fn main() -> io::Result<()> {
    let (mut server, store) = (Server::new(), Store::default());
    let address = server.listen("127.0.0.1:7014", move |_: &Peer| store.clone())?;
    println!("listening on {address}; Ctrl-C stops");
    print!("{}", server.run()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, SocketAddr, TcpStream};

    use super::*;

    fn say(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        answers
    }

    #[test]
    fn what_one_client_has_set_another_one_gets() {
        let (tell, told) = std::sync::mpsc::channel();
        let running = std::thread::spawn(move || {
            let (mut server, store) = (Server::new().signals(false).threads(2), Store::default());
            let address = server.listen("127.0.0.1:0", move |_: &Peer| store.clone()).unwrap();
            tell.send((server.handle(), address.tcp().unwrap())).unwrap();
            server.run().unwrap()
        });
        let (handle, address) = told.recv().unwrap();
        assert_eq!(say(address, "get a\nset a one two\nget a\n"), "\n\none two\n");
        assert_eq!(
            say(address, "set a 3\nget a\nwhat\n"),
            "one two\n3\nset KEY VALUE, or get KEY\n"
        );
        assert_eq!(say(address, &"x".repeat(2000)), "too long\n");
        handle.stop();
        assert_eq!(running.join().unwrap().requests, 6);
    }
}

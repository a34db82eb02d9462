//! 400 clients of a slow server, in one thread: the first example of README.md.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use overlapped::net::{SocketAddr, TcpListener, TcpStream};

fn main() -> io::Result<()> {
    overlapped::run_until(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        overlapped::spawn(move || serve(&listener));

        let start = Instant::now();
        let clients: Vec<_> = (0..400).map(|_| overlapped::spawn(move || ask(address))).collect();
        for client in clients {
            assert_eq!(client.join().unwrap()?, "hello");
        }
        println!("400 answers in {} ms", start.elapsed().as_millis());
        Ok(())
    })?
}

fn serve(listener: &TcpListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let mut stream = stream?;
        overlapped::spawn(move || {
            overlapped::time::sleep(Duration::from_millis(100));
            stream.write_all(b"hello")
        });
    }
    Ok(())
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut answer = String::new();
    TcpStream::connect(address)?.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_readmes_show_this_program() {
        let code = include_str!("slow_answers.rs");
        let begin = code.find("use std::io").unwrap();
        let end = code.find("#[cfg(test)]").unwrap();
        for readme in [include_str!("../../../README.md"), include_str!("../README.md")] {
            assert!(readme.contains(code[begin..end].trim_end()));
        }
    }

    #[test]
    fn every_client_is_answered() {
        super::main().unwrap();
    }
}

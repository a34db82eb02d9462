//! Your blocking server, unchanged: a thread for each connection, over plain `std::net`. One line
//! makes it a tasklet for each connection, on one thread.
//!
//! ```text
//! cargo run -p overlapped-install --example server -- [ADDRESS]
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The state that all connections share, behind a lock of std's.
type Words = Arc<Mutex<HashMap<String, u64>>>;

/// Counts words: each line is one, and the answer says how often it has come.
fn serve(stream: TcpStream, words: &Words) -> io::Result<()> {
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        let count = {
            let mut words = words.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let count = words.entry(line.clone()).or_default();
            *count += 1;
            *count
        };
        (&stream).write_all(format!("{line} {count}\n").as_bytes())?;
    }
    Ok(())
}

fn accept(listener: &TcpListener) -> io::Result<()> {
    let words = Words::default();
    for stream in listener.incoming() {
        let (stream, words) = (stream?, words.clone());
        // std::thread::spawn(move || serve(stream, &words));
        overlapped_install::spawn(move || serve(stream, &words));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing in this program takes gettid(2) for its own identity.
    unsafe { overlapped_install::install() }?;
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7007".into());
    let listener = TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);
    overlapped_install::run(|| accept(&listener))??;
    Ok(())
}

#[test]
fn a_hundred_clients_are_served_by_one_thread() {
    // SAFETY: as above.
    match unsafe { overlapped_install::install() } {
        Err(overlapped_install::WhyNot::ThreadLocals(why)) => return println!("SKIPPED: {why}"),
        other => drop(other.unwrap()),
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    overlapped_install::run(|| {
        let server = overlapped_install::spawn(move || accept(&listener));
        // All connect before the first one sends.
        let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut counts: Vec<u64> = clients
            .into_iter()
            .map(|mut client| {
                client.write_all(b"word\n").unwrap();
                let mut answer = String::new();
                BufReader::new(client).read_line(&mut answer).unwrap();
                answer.trim().strip_prefix("word ").unwrap().parse().unwrap()
            })
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, (1..=100).collect::<Vec<_>>());
        server.kill();
        let error = server.join().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    })
    .unwrap();
}

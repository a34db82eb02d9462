//! Downloads by a client that knows nothing of tasklets: ureq with its own sockets, std's.
//!
//! ```text
//! cargo run -p overlapped-install --example downloads -- [URL…]
//! ```
//!
//! It downloads one after the other, then all together: Andrew Dalke's `asynch_fetch.py`, which
//! showed Stackless Python's tasklets over unmodified blocking sockets in 2006, with its output.
//! Without URLs it asks a server of its own, which takes 300 ms for each answer.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Downloads a page. Nothing here knows of tasklets.
fn download(url: &str) -> Result<(), ureq::Error> {
    let begin = Instant::now();
    ureq::get(url).call()?.body_mut().read_to_vec()?;
    println!("Downloaded {url} in {:.1} seconds", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Downloads all, first one after the other, then each in a tasklet; returns how long each way
/// took.
fn both_ways(urls: &[String]) -> Result<[Duration; 2], Box<dyn Error>> {
    println!(" === Serial ===");
    let begin = Instant::now();
    for url in urls {
        download(url)?;
    }
    let serial = begin.elapsed();
    println!(" ---> {:.3}", serial.as_secs_f64());

    println!(" === Parallel ===");
    let begin = Instant::now();
    overlapped_install::run(|| {
        overlapped_install::scope(|scope| {
            let all: Vec<_> = urls.iter().map(|url| scope.spawn(|| download(url))).collect();
            all.into_iter().try_for_each(|one| Ok::<_, Box<dyn Error>>(one.join()??))
        })
    })??;
    let parallel = begin.elapsed();
    println!(" ---> {:.3}", parallel.as_secs_f64());
    Ok([serial, parallel])
}

/// Starts a server on threads of its own; returns its address.
fn slow_server() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    Ok(format!("http://{address}"))
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = BufReader::new(stream.try_clone()?);
    while head.read_line(&mut String::new())? > 2 {}
    std::thread::sleep(Duration::from_millis(300));
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
}

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing in this program takes gettid(2) for its own identity.
    unsafe { overlapped_install::install() }?;
    let mut urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        let server = slow_server()?;
        urls = ["one", "two"].map(|name| format!("{server}/{name}")).to_vec();
    }
    both_ways(&urls)?;
    Ok(())
}

#[test]
fn ten_downloads_at_once_take_far_less_than_one_after_the_other() {
    // SAFETY: as above.
    match unsafe { overlapped_install::install() } {
        Err(overlapped_install::WhyNot::ThreadLocals(why)) => return println!("SKIPPED: {why}"),
        other => drop(other.unwrap()),
    }
    let server = slow_server().unwrap();
    let urls: Vec<_> = (0..10).map(|number| format!("{server}/{number}")).collect();
    let [serial, parallel] = both_ways(&urls).unwrap();
    assert!(parallel < serial / 2, "{serial:?}, {parallel:?}");
}

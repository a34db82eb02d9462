//! A kill and a deadlock, as a program sees them.

use std::io::Read;

use anyhow::{Context, bail};
use overlapped::net::{TcpListener, TcpStream};
use overlapped::time::Instant;
use overlapped::{Builder, Channel, spawn, yield_now};

use super::effort::Effort;

/// Kills a tasklet that waits for bytes that never arrive.
pub(super) fn kill(_: Effort) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
    let mut quiet = TcpStream::connect(listener.local_addr()?)?;
    let reader = spawn(move || quiet.read(&mut [0; 64]));
    yield_now();
    let begin = Instant::now();
    reader.kill();
    match reader.join() {
        Err(error) => Ok(format!(
            "of a tasklet blocked in TcpStream::read; after {} µs join says: {error}",
            begin.elapsed().as_micros()
        )),
        Ok(read) => bail!("the tasklet outlived its kill: {read:?}"),
    }
}

/// Makes two tasklets wait for each other.
pub(super) fn deadlock(_: Effort) -> anyhow::Result<String> {
    let (left, right) = (Channel::<()>::new(), Channel::<()>::new());
    let waiter = |name: &str, first: &Channel<()>, then: &Channel<()>| {
        let (first, then) = (first.clone(), then.clone());
        Builder::new().name(name).spawn(move || {
            first.recv()?;
            then.try_send(()).ok();
            Ok::<(), overlapped::RecvError>(())
        })
    };
    let first = waiter("left", &left, &right)?;
    let second = waiter("right", &right, &left)?;
    // Both wait now, so this tasklet is the last one to wait, which gets the deadlock's report.
    yield_now();
    let Err(report) = first.join() else { bail!("the deadlock was not detected") };
    // The tasklet that gets the report decides what to do; this one closes the channels.
    left.close();
    right.close();
    drop(second);
    Ok(report.to_string().replace("; ", "\n"))
}

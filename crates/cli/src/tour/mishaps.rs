//! A kill and a deadlock, as the program that has them sees them.

use std::io::Read;

use anyhow::{Context, bail};
use overlapped::net::{TcpListener, TcpStream};
use overlapped::time::Instant;
use overlapped::{Builder, Channel, spawn, yield_now};

use super::Effort;

/// A tasklet waits for bytes that do not come, and is killed.
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

/// Two tasklets wait for each other.
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
    // Both wait now, so this tasklet is the last to wait: the one who is told.
    yield_now();
    let Err(verdict) = first.join() else { bail!("a deadlock was not noticed") };
    // The one who is told decides what to do about it; here the channels are closed.
    left.close();
    right.close();
    drop(second);
    Ok(verdict.to_string().replace("; ", "\n"))
}

//! Channels, locks and pools, between tasklets and plain threads.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::request::{Opener, REQUESTS, Result, requests, same};
use crate::row::{Row, Setup};
use crate::servers::Server;

const WORK: Duration = Duration::from_millis(100);

pub(super) fn rows() -> Vec<Row> {
    let row = |name, request, start| Row { name, server: Server::None, request, note: "", start };
    vec![
        row(
            "crossbeam-channel",
            "an answer through `bounded(0)` by a thread, 100 ms later; among others, `select!`",
            crossbeam,
        ),
        row("flume", "an answer through `bounded(0)` by a thread, 100 ms later", flume),
        row(
            "parking_lot",
            "`Condvar::wait` for a thread, 100 ms later; a `Mutex` of all held across a yield",
            parking_lot,
        ),
        row("rayon", "`install` in a pool of 20 threads, for 100 ms", rayon),
    ]
}

fn crossbeam(_: &Setup) -> Result<Opener> {
    use crossbeam_channel::{bounded, never, select};
    let (ask, asked) = bounded::<(usize, crossbeam_channel::Sender<usize>)>(0);
    for _ in 0..REQUESTS {
        let asked = asked.clone();
        thread::spawn(move || {
            while let Ok((number, answer)) = asked.recv() {
                thread::sleep(WORK);
                let _ = answer.send(number * 7);
            }
        });
    }
    requests(move |number| {
        let (sender, answer) = bounded(0);
        ask.send((number, sender))?;
        let other = never::<usize>();
        let found = select! {
            recv(answer) -> found => found?,
            recv(other) -> found => found?,
        };
        same(found, number * 7)
    })
}

fn flume(_: &Setup) -> Result<Opener> {
    let (ask, asked) = flume::bounded::<(usize, flume::Sender<usize>)>(0);
    for _ in 0..REQUESTS {
        let asked = asked.clone();
        thread::spawn(move || {
            while let Ok((number, answer)) = asked.recv() {
                thread::sleep(WORK);
                let _ = answer.send(number * 7);
            }
        });
    }
    requests(move |number| {
        let (sender, answer) = flume::bounded(0);
        ask.send((number, sender)).map_err(|error| error.to_string())?;
        same(answer.recv()?, number * 7)
    })
}

fn parking_lot(_: &Setup) -> Result<Opener> {
    use parking_lot::{Condvar, Mutex};
    let count = Arc::new(Mutex::new(0));
    requests(move |_| {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = pair.clone();
        thread::spawn(move || {
            thread::sleep(WORK);
            *theirs.0.lock() = true;
            theirs.1.notify_one();
        });
        let mut is_over = pair.0.lock();
        pair.1.wait_while(&mut is_over, |is_over| !*is_over);
        let mut count = count.lock();
        let before = *count;
        thread::yield_now();
        *count = before + 1;
        same(before < REQUESTS, true)
    })
}

fn rayon(_: &Setup) -> Result<Opener> {
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(REQUESTS).build()?);
    requests(move |number| {
        let found = pool.install(|| {
            thread::sleep(WORK);
            rayon::join(|| number * 3, || number * 4)
        });
        same(found.0 + found.1, number * 7)
    })
}

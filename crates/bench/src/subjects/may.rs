//! may: stackful coroutines with work-stealing schedulers, here with one worker (two in
//! `serve_on_two`) and its own default stack size.

use super::endpoint::{ADDRESS, BUFFER_BYTES, PARKED_BUFFER_BYTES, announce};
use crate::error::say;
use crate::harness::memory::{Memory, Parking};
use crate::traits::tasks::{Subject, YIELDS_AROUND, YieldClock};
use may::coroutine::{sleep, yield_now};
use may::go;
use may::net::{TcpListener, TcpStream};
use may::sync::{mpmc, spsc};
use std::any::Any;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) struct May;

/// Runs `f` in a coroutine of a single worker.
fn inside<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    inside_workers(1, f)
}

/// Runs `f` in a coroutine. A panic of `f` becomes an error.
fn inside_workers<T: Send + 'static>(
    workers: usize,
    f: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    may::config().set_workers(workers);
    go!(f).join().map_err(panicked)?
}

fn panicked(_: Box<dyn Any + Send>) -> String {
    "a coroutine panicked".into()
}

impl Subject for May {
    fn spawn_join(&self, n: u64) -> Result<Duration, String> {
        inside(move || {
            let start = Instant::now();
            for _ in 0..n {
                go!(|| {}).join().map_err(panicked)?;
            }
            Ok(start.elapsed())
        })
    }

    fn yields(&self, tasks: usize, rounds: u64) -> Result<Duration, String> {
        inside(move || {
            let clock = Arc::new(YieldClock::new(tasks));
            let mut all = Vec::new();
            for _ in 0..tasks {
                let clock = clock.clone();
                all.push(go!(move || {
                    for _ in 0..YIELDS_AROUND {
                        yield_now();
                    }
                    clock.begin();
                    for _ in 0..rounds {
                        yield_now();
                    }
                    clock.end();
                    for _ in 0..YIELDS_AROUND {
                        yield_now();
                    }
                }));
            }
            for task in all {
                task.join().map_err(panicked)?;
            }
            clock.took()
        })
    }

    fn channel_round_trip(&self, n: u64) -> Result<Duration, String> {
        inside(move || {
            let (there, arrived) = spsc::channel::<u64>();
            let (back, returned) = spsc::channel::<u64>();
            let answering = go!(move || {
                while let Ok(value) = arrived.recv() {
                    if back.send(value + 1).is_err() {
                        break;
                    }
                }
            });
            let asking = go!(move || {
                let start = Instant::now();
                for value in 0..n {
                    there.send(value).map_err(say)?;
                    assert_eq!(returned.recv(), Ok(value + 1));
                }
                Ok::<_, String>(start.elapsed())
            });
            let took = asking.join().map_err(panicked)?;
            answering.join().map_err(panicked)?;
            took
        })
    }

    fn remark(&self) -> Option<&'static str> {
        Some("may::sync::spsc (unbounded; faster than its mpsc)")
    }

    fn parked(&self, n: usize) -> Result<Memory, String> {
        inside(move || {
            let (bell, ears) = mpmc::channel::<()>();
            let waiting = Arc::new(AtomicUsize::new(0));
            let parking = Parking::begin();
            for _ in 0..n {
                let (ears, waiting) = (ears.clone(), waiting.clone());
                go!(move || {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    // A message ends the wait, and so does the end of the channel.
                    let _ = ears.recv();
                });
            }
            while waiting.load(Ordering::Relaxed) < n {
                // Not yield_now: may would resume this coroutine again and again, and start no
                // other.
                sleep(Duration::from_millis(1));
            }
            let added = parking.added();
            for _ in 0..n {
                bell.send(()).map_err(say)?;
            }
            Ok(added)
        })
    }

    fn parked_kib_estimate(&self) -> f64 {
        12.0
    }

    fn serve(&self) -> Result<(), String> {
        inside(listen::<BUFFER_BYTES>)
    }

    fn serve_parked(&self) -> Result<(), String> {
        inside(listen::<PARKED_BUFFER_BYTES>)
    }

    fn serve_on_two(&self) -> Result<(), String> {
        inside_workers(2, listen::<BUFFER_BYTES>)
    }
}

fn listen<const BYTES: usize>() -> Result<(), String> {
    let listener = TcpListener::bind(ADDRESS).map_err(say)?;
    announce(listener.local_addr().map_err(say)?);
    loop {
        let (stream, _) = listener.accept().map_err(say)?;
        go!(move || echo::<BYTES>(stream));
    }
}

fn echo<const BYTES: usize>(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; BYTES];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
    }
}

//! monoio: a thread per core over io_uring; buffers are given away and returned. Without timers, as
//! in its own benchmarks. It has no channels of its own: `local-channel` fits a single thread best.

use super::endpoint::{ADDRESS, BUFFER_BYTES, PARKED_BUFFER_BYTES, announce};
use crate::error::say;
use crate::harness::memory::{Memory, Parking};
use crate::traits::tasks::Subject;
use local_channel::mpsc;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, Runtime, RuntimeBuilder, spawn};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

pub(crate) struct Monoio;

fn runtime() -> Result<Runtime<IoUringDriver>, String> {
    RuntimeBuilder::<IoUringDriver>::new().build().map_err(say)
}

fn gone<E>(_: E) -> String {
    "a task ended early".into()
}

impl Subject for Monoio {
    fn spawn_join(&self, n: u64) -> Result<Duration, String> {
        runtime()?.block_on(async {
            let start = Instant::now();
            for _ in 0..n {
                spawn(async {}).await;
            }
            Ok(start.elapsed())
        })
    }

    fn yields(&self, _tasks: usize, _rounds: u64) -> Result<Duration, String> {
        Err("monoio puts a task that wakes itself first in its queue: there is no yield".into())
    }

    fn channel_round_trip(&self, n: u64) -> Result<Duration, String> {
        runtime()?.block_on(async {
            let (there, mut arrived) = mpsc::channel::<u64>();
            let (back, mut returned) = mpsc::channel::<u64>();
            let answering = spawn(async move {
                while let Some(value) = arrived.recv().await {
                    if back.send(value + 1).is_err() {
                        break;
                    }
                }
            });
            let asking = spawn(async move {
                let start = Instant::now();
                for value in 0..n {
                    there.send(value).map_err(gone)?;
                    assert_eq!(returned.recv().await, Some(value + 1));
                }
                Ok(start.elapsed())
            });
            let took = asking.await;
            answering.await;
            took
        })
    }

    fn remark(&self) -> Option<&'static str> {
        Some("local_channel::mpsc (unbounded)")
    }

    fn parked(&self, n: usize) -> Result<Memory, String> {
        runtime()?.block_on(async {
            let bell = Rc::new(Notify::new());
            let full = Rc::new(Notify::new());
            let waiting = Rc::new(Cell::new(0));
            let parking = Parking::begin();
            for _ in 0..n {
                let (bell, full, waiting) = (bell.clone(), full.clone(), waiting.clone());
                spawn(async move {
                    waiting.set(waiting.get() + 1);
                    if waiting.get() == n {
                        full.notify_one();
                    }
                    bell.notified().await;
                });
            }
            full.notified().await;
            let added = parking.added();
            bell.notify_waiters();
            Ok(added)
        })
    }

    fn serve(&self) -> Result<(), String> {
        serve(BUFFER_BYTES)
    }

    fn serve_parked(&self) -> Result<(), String> {
        serve(PARKED_BUFFER_BYTES)
    }
}

fn serve(bytes: usize) -> Result<(), String> {
    runtime()?.block_on(async {
        let listener = TcpListener::bind(ADDRESS).map_err(say)?;
        announce(listener.local_addr().map_err(say)?);
        loop {
            let (stream, _) = listener.accept().await.map_err(say)?;
            spawn(echo(stream, bytes));
        }
    })
}

async fn echo(mut stream: TcpStream, bytes: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(bytes);
    loop {
        let (result, filled) = stream.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        let (result, emptied) = stream.write_all(filled).await;
        result?;
        buffer = emptied;
    }
}

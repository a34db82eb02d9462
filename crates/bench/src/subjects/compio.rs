//! compio: completion based; buffers are given away and returned. Its default runtime, with
//! io_uring only. It has no channels of its own: `local-channel` fits a single thread best.

use super::endpoint::{ADDRESS, BUFFER_BYTES, PARKED_BUFFER_BYTES, announce};
use crate::error::say;
use crate::harness::memory::{Memory, Parking};
use crate::traits::tasks::{Subject, YIELDS_AROUND, YieldClock};
use compio::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{Runtime, spawn};
use local_channel::mpsc;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

pub(crate) struct Compio;

fn runtime() -> Result<Runtime, String> {
    Runtime::new().map_err(say)
}

/// Yields once: the runtime has no function for it.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return std::task::Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn gone<E>(_: E) -> String {
    "a task ended early".into()
}

impl Subject for Compio {
    fn spawn_join(&self, n: u64) -> Result<Duration, String> {
        runtime()?.block_on(async {
            let start = Instant::now();
            for _ in 0..n {
                spawn(async {}).await.map_err(gone)?;
            }
            Ok(start.elapsed())
        })
    }

    fn yields(&self, tasks: usize, rounds: u64) -> Result<Duration, String> {
        let clock = Rc::new(YieldClock::new(tasks));
        runtime()?.block_on(async {
            let all: Vec<_> = (0..tasks)
                .map(|_| {
                    let clock = clock.clone();
                    spawn(async move {
                        for _ in 0..YIELDS_AROUND {
                            yield_once().await;
                        }
                        clock.begin();
                        for _ in 0..rounds {
                            yield_once().await;
                        }
                        clock.end();
                        for _ in 0..YIELDS_AROUND {
                            yield_once().await;
                        }
                    })
                })
                .collect();
            for task in all {
                task.await.map_err(gone)?;
            }
            clock.took()
        })
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
            let took = asking.await.map_err(gone)?;
            answering.await.map_err(gone)?;
            took
        })
    }

    fn remark(&self) -> Option<&'static str> {
        Some("local_channel::mpsc (unbounded)")
    }

    fn parked(&self, n: usize) -> Result<Memory, String> {
        runtime()?.block_on(async {
            let bell = Rc::new(Notify::new());
            let waiting = Rc::new(Cell::new(0));
            let parking = Parking::begin();
            for _ in 0..n {
                let (bell, waiting) = (bell.clone(), waiting.clone());
                spawn(async move {
                    waiting.set(waiting.get() + 1);
                    bell.notified().await;
                })
                .detach();
            }
            while waiting.get() < n {
                yield_once().await;
            }
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
        let listener = TcpListener::bind(ADDRESS).await.map_err(say)?;
        announce(listener.local_addr().map_err(say)?);
        loop {
            let (stream, _) = listener.accept().await.map_err(say)?;
            spawn(echo(stream, bytes)).detach();
        }
    })
}

async fn echo(mut stream: TcpStream, bytes: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(bytes);
    loop {
        buffer.clear();
        let BufResult(result, filled) = stream.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        let BufResult(result, emptied) = stream.write_all(filled).await;
        result?;
        buffer = emptied;
    }
}

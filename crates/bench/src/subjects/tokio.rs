//! tokio on the current thread: the runtime of `#[tokio::main(flavor = "current_thread")]`, with
//! tasks spawned by `tokio::spawn`.

use super::endpoint::{ADDRESS, BUFFER_BYTES, PARKED_BUFFER_BYTES, announce};
use crate::error::say;
use crate::harness::memory::{Memory, Parking};
use crate::traits::tasks::{Subject, YIELDS_AROUND, YieldClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};
use tokio::task::yield_now;

pub(crate) struct Tokio;

pub(super) fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(say)
}

impl Subject for Tokio {
    fn spawn_join(&self, n: u64) -> Result<Duration, String> {
        runtime()?.block_on(async {
            let start = Instant::now();
            for _ in 0..n {
                tokio::spawn(async {}).await.map_err(say)?;
            }
            Ok(start.elapsed())
        })
    }

    fn yields(&self, tasks: usize, rounds: u64) -> Result<Duration, String> {
        let clock = Arc::new(YieldClock::new(tasks));
        runtime()?.block_on(async {
            let all: Vec<_> = (0..tasks)
                .map(|_| {
                    let clock = clock.clone();
                    tokio::spawn(async move {
                        for _ in 0..YIELDS_AROUND {
                            yield_now().await;
                        }
                        clock.begin();
                        for _ in 0..rounds {
                            yield_now().await;
                        }
                        clock.end();
                        for _ in 0..YIELDS_AROUND {
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for task in all {
                task.await.map_err(say)?;
            }
            clock.took()
        })
    }

    fn channel_round_trip(&self, n: u64) -> Result<Duration, String> {
        runtime()?.block_on(async {
            let (there, mut arrived) = mpsc::channel::<u64>(1);
            let (back, mut returned) = mpsc::channel::<u64>(1);
            let answering = tokio::spawn(async move {
                while let Some(value) = arrived.recv().await {
                    if back.send(value + 1).await.is_err() {
                        break;
                    }
                }
            });
            let asking = tokio::spawn(async move {
                let start = Instant::now();
                for value in 0..n {
                    there.send(value).await.map_err(say)?;
                    assert_eq!(returned.recv().await, Some(value + 1));
                }
                Ok(start.elapsed())
            });
            let took = asking.await.map_err(say)?;
            answering.await.map_err(say)?;
            took
        })
    }

    fn remark(&self) -> Option<&'static str> {
        Some("tokio::sync::mpsc(1)")
    }

    fn parked(&self, n: usize) -> Result<Memory, String> {
        runtime()?.block_on(async {
            let bell = Arc::new(Notify::new());
            let waiting = Arc::new(AtomicUsize::new(0));
            let parking = Parking::begin();
            for _ in 0..n {
                let (bell, waiting) = (bell.clone(), waiting.clone());
                tokio::spawn(async move {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    bell.notified().await;
                });
            }
            while waiting.load(Ordering::Relaxed) < n {
                yield_now().await;
            }
            let added = parking.added();
            bell.notify_waiters();
            Ok(added)
        })
    }

    fn serve(&self) -> Result<(), String> {
        runtime()?.block_on(listen(echo))
    }

    fn serve_parked(&self) -> Result<(), String> {
        runtime()?.block_on(listen(echo_in_future))
    }

    fn serve_on_two(&self) -> Result<(), String> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.map_err(say)?.block_on(listen(echo))
    }
}

async fn listen<F>(echo: impl Fn(TcpStream) -> F) -> Result<(), String>
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(ADDRESS).await.map_err(say)?;
    announce(listener.local_addr().map_err(say)?);
    loop {
        let (stream, _) = listener.accept().await.map_err(say)?;
        tokio::spawn(echo(stream));
    }
}

/// Echoes as [`echo`] does, with the buffer in the future itself.
async fn echo_in_future(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; PARKED_BUFFER_BYTES];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

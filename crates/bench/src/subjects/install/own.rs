//! This library's own types, in tasklets that share their thread's thread-locals, or in tasklets
//! that have their own.

use super::words::{count, more};
use crate::error::{ABSENT, say};
use crate::harness::memory::Memory;
use crate::traits::install::Install;
use overlapped::net::TcpListener;
use overlapped::os::unix::net::UnixStream;
use overlapped::port::PortChoice;
use overlapped::sync::{Condvar, Mutex, mpsc};
use overlapped::time::sleep;
use overlapped::{Builder, Config, Tasklet, yield_now};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) struct Own {
    pub(super) port: PortChoice,
    pub(super) own_locals: bool,
}

impl Own {
    fn run<T>(&self, f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        Config::new().port(self.port).run(f).map_err(say)?
    }

    fn spawn<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> Result<Tasklet<T>, String> {
        Builder::new().own_thread_locals(self.own_locals).spawn(f).map_err(say)
    }

    fn spawn_join(&self, n: u64) -> Result<Duration, String> {
        let start = Instant::now();
        for _ in 0..n {
            self.spawn(|| ())?.join().map_err(say)?;
        }
        Ok(start.elapsed())
    }

    fn yields(&self, n: u64) -> Result<Duration, String> {
        let start = Instant::now();
        let yields = move || (0..n / 2).for_each(|_| yield_now());
        for one in [self.spawn(yields)?, self.spawn(yields)?] {
            one.join().map_err(say)?;
        }
        Ok(start.elapsed())
    }

    fn channel(&self, n: u64) -> Result<Duration, String> {
        let (there, arrived) = mpsc::channel::<u64>();
        let (back, returned) = mpsc::channel::<u64>();
        let answering = self.spawn(move || {
            arrived.into_iter().take_while(|value| back.send(value + 1).is_ok()).for_each(drop);
        })?;
        let asking = self.spawn(move || {
            let start = Instant::now();
            for value in 0..n {
                there.send(value).map_err(say)?;
                assert_eq!(returned.recv(), Ok(value + 1));
            }
            Ok::<_, String>(start.elapsed())
        })?;
        let took = asking.join().map_err(say)?;
        answering.join().map_err(say)?;
        took
    }

    fn pair_waits(&self, n: u64) -> Result<Duration, String> {
        let (mut a, mut b) = UnixStream::pair().map_err(say)?;
        let answering = self.spawn(move || {
            let mut byte = [0];
            while b.read_exact(&mut byte).is_ok() && b.write_all(&byte).is_ok() {}
        })?;
        let asking = self.spawn(move || {
            let start = Instant::now();
            for _ in 0..n {
                a.write_all(&[1])?;
                a.read_exact(&mut [0])?;
            }
            std::io::Result::Ok(start.elapsed())
        })?;
        let took = asking.join().map_err(say)?.map_err(say)?;
        answering.join().map_err(say)?;
        Ok(took)
    }

    /// Times `f` in a single tasklet.
    fn alone(&self, f: impl FnOnce() -> std::io::Result<()> + 'static) -> Result<Duration, String> {
        let timed = move || {
            let start = Instant::now();
            f().map(|()| start.elapsed())
        };
        self.spawn(timed)?.join().map_err(say)?.map_err(say)
    }

    fn parked(&self, n: u64) -> Result<f64, String> {
        let gate = Arc::new((Mutex::new((0, false)), Condvar::new()));
        let wait = |gate: &(Mutex<(u64, bool)>, Condvar)| {
            let Ok(mut state) = gate.0.lock() else { return };
            state.0 += 1;
            drop(gate.1.wait_while(state, |state| !state.1));
        };
        let before = Memory::now();
        for _ in 0..n {
            let gate = Arc::clone(&gate);
            drop(self.spawn(move || wait(&gate))?);
        }
        while gate.0.lock().map_err(say)?.0 < n {
            yield_now();
        }
        let added = Memory::now().since(before);
        gate.0.lock().map_err(say)?.1 = true;
        gate.1.notify_all();
        Ok((added.rss_kib + added.page_tables_kib) / n as f64)
    }
}

impl Install for Own {
    fn figure(&self, case: &str, n: u64) -> Result<f64, String> {
        self.run(|| {
            let took = match case {
                "spawn_join" => self.spawn_join(n),
                "yield" => self.yields(n),
                "channel" => self.channel(n),
                "pair_waits" => self.pair_waits(n),
                "parked" => return self.parked(n),
                "sleep" => self.alone(move || {
                    (0..n).for_each(|_| sleep(Duration::from_micros(1)));
                    Ok(())
                }),
                "lock" => self.alone(move || {
                    let lock = Mutex::new(0_u64);
                    for _ in 0..n {
                        if let Ok(mut count) = std::hint::black_box(&lock).lock() {
                            *count += 1;
                        }
                    }
                    Ok(())
                }),
                "pair_ready" => self.alone(move || {
                    let (mut a, mut b) = UnixStream::pair()?;
                    for _ in 0..n {
                        a.write_all(&[1])?;
                        b.read_exact(&mut [0])?;
                    }
                    Ok(())
                }),
                _ => Err(ABSENT.into()),
            };
            took.map(|took| took.as_nanos() as f64)
        })
    }

    fn serve(&self) -> Result<(), String> {
        self.run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(say)?;
            println!("{}", listener.local_addr().map_err(say)?);
            let words = Arc::new(Mutex::new(HashMap::new()));
            loop {
                let (stream, _) = listener.accept().map_err(say)?;
                let words = Arc::clone(&words);
                drop(self.spawn(move || {
                    let lock = || words.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    count(&stream, &stream, |line| more(&mut lock(), line))
                })?);
            }
        })
    }
}

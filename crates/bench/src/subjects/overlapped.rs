//! overlapped, once for each of its ports, as in its README: `run`, `spawn`, `join`.

use super::endpoint::{ADDRESS, BUFFER_BYTES, PARKED_BUFFER_BYTES, announce};
use crate::error::say;
use crate::harness::memory::{Memory, Parking};
use crate::traits::tasks::{Subject, YIELDS_AROUND, YieldClock};
use overlapped::net::{TcpListener, TcpStream};
use overlapped::port::PortChoice;
use overlapped::task::place;
use overlapped::{Channel, Config, spawn, yield_now};
use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(crate) struct Overlapped {
    pub(crate) port: PortChoice,
}

impl Overlapped {
    fn run<T>(&self, f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        Config::new().port(self.port).run(f).map_err(say)?
    }
}

impl Subject for Overlapped {
    fn spawn_join(&self, n: u64) -> Result<Duration, String> {
        self.run(|| {
            let start = Instant::now();
            for _ in 0..n {
                spawn(|| {}).join().map_err(say)?;
            }
            Ok(start.elapsed())
        })
    }

    fn yields(&self, tasks: usize, rounds: u64) -> Result<Duration, String> {
        self.run(|| {
            let clock = Rc::new(YieldClock::new(tasks));
            let all: Vec<_> = (0..tasks)
                .map(|_| {
                    let clock = clock.clone();
                    spawn(move || {
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
                    })
                })
                .collect();
            for task in all {
                task.join().map_err(say)?;
            }
            clock.took()
        })
    }

    fn channel_round_trip(&self, n: u64) -> Result<Duration, String> {
        self.run(|| {
            let (there, back) = (Channel::<u64>::new(), Channel::<u64>::new());
            let (arrived, answer) = (there.clone(), back.clone());
            let answering = spawn(move || {
                for value in &arrived {
                    if answer.send(value + 1).is_err() {
                        break;
                    }
                }
            });
            let asking = spawn(move || {
                let start = Instant::now();
                for value in 0..n {
                    there.send(value).map_err(say)?;
                    assert_eq!(back.recv().ok(), Some(value + 1));
                }
                let took = start.elapsed();
                there.close();
                Ok(took)
            });
            let took = asking.join().map_err(say)?;
            answering.join().map_err(say)?;
            took
        })
    }

    fn remark(&self) -> Option<&'static str> {
        Some("Channel (rendezvous)")
    }

    fn parked(&self, n: usize) -> Result<Memory, String> {
        self.run(|| {
            let bell = Channel::<()>::new();
            let waiting = Rc::new(Cell::new(0));
            let parking = Parking::begin();
            for _ in 0..n {
                let (bell, waiting) = (bell.clone(), waiting.clone());
                spawn(move || {
                    waiting.set(waiting.get() + 1);
                    // The end of the channel ends the wait.
                    let _ = bell.recv();
                });
            }
            while waiting.get() < n {
                yield_now();
            }
            let added = parking.added();
            bell.close();
            Ok(added)
        })
    }

    fn parked_kib_estimate(&self) -> f64 {
        8.0
    }

    fn serve(&self) -> Result<(), String> {
        self.run(|| listen(|stream| drop(spawn(move || echo::<BUFFER_BYTES>(stream)))))
    }

    fn serve_parked(&self) -> Result<(), String> {
        self.run(|| listen(|stream| drop(spawn(move || echo::<PARKED_BUFFER_BYTES>(stream)))))
    }

    fn serve_on_two(&self) -> Result<(), String> {
        let echo = |stream| drop(place(move || echo::<BUFFER_BYTES>(stream)));
        Config::new().port(self.port).threads(2).run(|| listen(echo)).map_err(say)?
    }
}

fn listen(start: impl Fn(TcpStream)) -> Result<(), String> {
    let listener = TcpListener::bind(ADDRESS).map_err(say)?;
    announce(listener.local_addr().map_err(say)?);
    loop {
        let (stream, _) = listener.accept().map_err(say)?;
        start(stream);
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

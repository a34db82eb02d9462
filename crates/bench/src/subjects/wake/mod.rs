//! Values between threads: one file here for each subject, and the table of them.

mod overlapped;
mod tokio;

use super::go;
use crate::error::{ABSENT, say};
use crate::names::Name;
use crate::traits::wake::{Asker, Questions, Wake};
use ::overlapped::port::PortChoice;
use std::sync::mpsc;
use std::time::Duration;

/// Finds the channels of a subject.
pub(crate) fn by_name(name: Name) -> Result<Box<dyn Wake>, String> {
    Ok(match name {
        Name::OverlappedUring => Box::new(overlapped::Overlapped { port: PortChoice::Uring }),
        Name::OverlappedPoll => Box::new(overlapped::Overlapped { port: PortChoice::Poll }),
        Name::Tokio => Box::new(tokio::Tokio),
        Name::Raw => Box::new(Threads),
        Name::Go => Box::new(Go),
        _ => return Err(ABSENT.into()),
    })
}

/// Two threads and std's channels.
struct Threads;

impl Wake for Threads {
    fn wake(&self, _asker: Asker, in_flight: u64, n: u64) -> Result<Duration, String> {
        let (there, arrived) = mpsc::channel::<u64>();
        let (back, returned) = mpsc::channel::<u64>();
        let answering = std::thread::spawn(move || {
            for value in arrived {
                if back.send(value + 1).is_err() {
                    break;
                }
            }
        });
        let (mut questions, first) = Questions::begin(in_flight, n);
        for value in first {
            there.send(value).map_err(say)?;
        }
        for value in 0..n {
            assert_eq!(returned.recv(), Ok(value + 1));
            if let Some(next) = questions.next() {
                there.send(next).map_err(say)?;
            }
        }
        let took = questions.took();
        drop(there);
        answering.join().map_err(|_| "a thread panicked")?;
        Ok(took)
    }

    fn remark(&self) -> &'static str {
        "two threads, std::sync::mpsc::channel"
    }
}

struct Go;

impl Wake for Go {
    fn wake(&self, asker: Asker, in_flight: u64, n: u64) -> Result<Duration, String> {
        if asker == Asker::Thread {
            return Err("it has no threads but goroutines".into());
        }
        go::nanoseconds_on(2, &["wake", &in_flight.to_string(), &n.to_string()])
    }

    fn remark(&self) -> &'static str {
        "buffered chan, GOMAXPROCS=2"
    }
}

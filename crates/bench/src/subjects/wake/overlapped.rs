//! overlapped: two schedulers of one run, or one scheduler and a plain thread. Its channels have
//! std's names and work in either, so that both askers have the same code.

use crate::error::say;
use crate::traits::wake::{Asker, Questions, Wake};
use ::overlapped::Config;
use ::overlapped::port::PortChoice;
use ::overlapped::sync::mpsc::{Receiver, Sender, channel};
use ::overlapped::task::place_on;
use std::time::Duration;

pub(crate) struct Overlapped {
    pub(crate) port: PortChoice,
}

impl Wake for Overlapped {
    fn wake(&self, asker: Asker, in_flight: u64, n: u64) -> Result<Duration, String> {
        let (there, arrived) = channel::<u64>();
        let (back, returned) = channel::<u64>();
        match asker {
            Asker::Task => Config::new()
                .port(self.port)
                .threads(2)
                .run(|| {
                    let answering = place_on(1, move || answer(arrived, back)).map_err(say)?;
                    let took = ask(there, returned, in_flight, n);
                    answering.join().map_err(say)?;
                    took
                })
                .map_err(say)?,
            Asker::Thread => {
                let port = self.port;
                let answering = std::thread::spawn(move || {
                    Config::new().port(port).run(|| answer(arrived, back)).map_err(say)
                });
                let took = ask(there, returned, in_flight, n);
                answering.join().map_err(|_| "a thread panicked")??;
                took
            }
        }
    }

    fn remark(&self) -> &'static str {
        "overlapped::sync::mpsc::channel"
    }
}

fn answer(arrived: Receiver<u64>, back: Sender<u64>) {
    for value in arrived {
        if back.send(value + 1).is_err() {
            break;
        }
    }
}

fn ask(
    there: Sender<u64>,
    returned: Receiver<u64>,
    in_flight: u64,
    n: u64,
) -> Result<Duration, String> {
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
    Ok(questions.took())
}

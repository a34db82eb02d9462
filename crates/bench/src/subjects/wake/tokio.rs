//! tokio: a current-thread runtime on each side.

use crate::error::say;
use crate::traits::wake::{Asker, Questions, Wake};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub(crate) struct Tokio;

fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(say)
}

impl Wake for Tokio {
    fn wake(&self, asker: Asker, in_flight: u64, n: u64) -> Result<Duration, String> {
        let (there, mut arrived) = unbounded_channel::<u64>();
        let (back, returned) = unbounded_channel::<u64>();
        let answering = std::thread::spawn(move || {
            runtime()?.block_on(async {
                while let Some(value) = arrived.recv().await {
                    if back.send(value + 1).is_err() {
                        break;
                    }
                }
            });
            Ok::<_, String>(())
        });
        let took = match asker {
            Asker::Task => runtime()?.block_on(ask(there, returned, in_flight, n)),
            Asker::Thread => ask_blocking(there, returned, in_flight, n),
        };
        answering.join().map_err(|_| "a thread panicked")??;
        took
    }

    fn remark(&self) -> &'static str {
        "current-thread runtimes, tokio::sync::mpsc::unbounded_channel"
    }
}

async fn ask(
    there: UnboundedSender<u64>,
    mut returned: UnboundedReceiver<u64>,
    in_flight: u64,
    n: u64,
) -> Result<Duration, String> {
    let (mut questions, first) = Questions::begin(in_flight, n);
    for value in first {
        there.send(value).map_err(say)?;
    }
    for value in 0..n {
        assert_eq!(returned.recv().await, Some(value + 1));
        if let Some(next) = questions.next() {
            there.send(next).map_err(say)?;
        }
    }
    Ok(questions.took())
}

fn ask_blocking(
    there: UnboundedSender<u64>,
    mut returned: UnboundedReceiver<u64>,
    in_flight: u64,
    n: u64,
) -> Result<Duration, String> {
    let (mut questions, first) = Questions::begin(in_flight, n);
    for value in first {
        there.send(value).map_err(say)?;
    }
    for value in 0..n {
        assert_eq!(returned.blocking_recv(), Some(value + 1));
        if let Some(next) = questions.next() {
            there.send(next).map_err(say)?;
        }
    }
    Ok(questions.took())
}

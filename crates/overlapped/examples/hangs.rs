//! Four programs that do not get on, whose output docs/guide.md explains: `cargo run -p overlapped
//! --example hangs -- deadlock`, `locks`, `stall` or `server`.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use overlapped::net::TcpListener;
use overlapped::time::sleep;
use overlapped::{Builder, Channel, RecvError, RunError, run, sync, yield_now};

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("deadlock") => deadlock().map(|report| println!("{report}")),
        Some("locks") => locks().map(|report| println!("{report}")),
        Some("stall") => stall(),
        Some("server") => server(),
        _ => Err(io::Error::other("which one? deadlock, locks, stall or server")),
    }
}

/// Two tasklets that each receive before they send; the report that the first tasklet gets.
fn deadlock() -> io::Result<String> {
    run(|| {
        let (orders, bills) = (Channel::<u32>::named("orders"), Channel::named("bills"));
        let (theirs, sent) = (orders.clone(), bills.clone());
        Builder::new().name("kitchen").spawn(move || sent.send(theirs.recv().unwrap_or(0)))?;
        let waiter = Builder::new().name("waiter").spawn(move || bills.recv())?;
        let Err(RecvError::Deadlock(report)) = waiter.join()? else { unreachable!() };
        orders.close();
        Ok(report.to_string().replace("; ", "\n"))
    })?
}

/// Two tasklets that take the same locks in another order; the report that `run` returns.
fn locks() -> io::Result<String> {
    let ended: Result<io::Result<()>, RunError> = run(|| {
        let (left, right) = (Rc::new(sync::Mutex::new(0)), Rc::new(sync::Mutex::new(0)));
        let (first, second) = (left.clone(), right.clone());
        let take = |first: Rc<sync::Mutex<u32>>, second: Rc<sync::Mutex<u32>>| {
            let mut held = first.lock().unwrap();
            yield_now();
            *held += *second.lock().unwrap();
        };
        Builder::new().name("upwards").spawn(move || take(first, second))?;
        Builder::new().name("downwards").spawn(move || take(right, left))?;
        Ok(())
    });
    Ok(ended.unwrap_err().to_string().replace("; ", "\n"))
}

/// A lock of std that is held across a wait: the next tasklet that asks for it stops the thread.
fn stall() -> io::Result<()> {
    static TOTAL: std::sync::Mutex<u32> = std::sync::Mutex::new(0);
    run(|| {
        Builder::new().name("holder").spawn(|| {
            let mut total = TOTAL.lock().unwrap();
            sleep(Duration::from_millis(10));
            *total += 1;
        })?;
        Builder::new().name("report").spawn(|| println!("{}", TOTAL.lock().unwrap()))?;
        Ok(())
    })?
}

/// A server whose log is locked, and a worker without work.
fn server() -> io::Result<()> {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let log = Rc::new(sync::Mutex::new(()));
        let jobs = Channel::<u32>::named("jobs");
        let held = log.clone();
        Builder::new().name("backup").spawn(move || {
            let _log = held.lock();
            sleep(Duration::from_secs(60));
        })?;
        Builder::new().name("logger").spawn(move || drop(log.lock()))?;
        Builder::new().name("worker").spawn(move || jobs.recv().map(drop))?;
        listener.incoming().try_for_each(|stream| stream.map(drop))
    })?
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_guide_shows_the_reports() {
        let guide = include_str!("../../../docs/guide.md");
        for report in [super::deadlock().unwrap(), super::locks().unwrap()] {
            assert!(guide.contains(&report), "not in docs/guide.md:\n{report}");
        }
    }
}

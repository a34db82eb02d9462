//! One row, in a process of its own: twenty requests one by one, on threads, in tasklets.
//!
//! Connections are opened before the time is taken. Figures go to standard output at once, so that
//! the supervisor has those of a process which hangs.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::request::{Opener, REQUESTS, Request, Result};
use crate::row::{Row, Setup};
use crate::rows;
use crate::table::FACTOR;

/// The server's folder, beside the row's own.
pub(crate) const SERVER: &str = "server";
/// The number of tries, since the machine may be busy: the best one counts.
const TRIES: usize = 5;

/// Runs the row of that name, as the supervisor's child.
pub(crate) fn run(name: &str, address: &str, folder: PathBuf) -> ExitCode {
    let Some(row) = rows::all().into_iter().chain([rows::canary()]).find(|row| row.name == name)
    else {
        return ExitCode::FAILURE;
    };
    match all_ways(&row, address, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("broken {error}");
            ExitCode::FAILURE
        }
    }
}

fn all_ways(row: &Row, address: &str, folder: PathBuf) -> Result {
    let address = address.parse()?;
    let server = folder.with_file_name(SERVER);
    let setup = |way: String| {
        let folder = folder.join(way);
        std::fs::create_dir_all(&folder).map(|()| Setup { address, folder, server: server.clone() })
    };
    let serial = one_by_one(row, &setup("serial".into())?)?;
    println!("serial {}", serial.as_millis());
    let threads = on_threads(row, &setup("threads".into())?)?;
    println!("threads {}", threads.as_millis());
    // SAFETY: nothing in this program takes gettid(2) for its own identity.
    unsafe { overlapped_install::install() }?;
    for number in 0..TRIES {
        match in_tasklets(row, &setup(format!("tasklets-{number}"))?) {
            Ok((time, pause)) => {
                println!("tasklets {} {}", time.as_millis(), pause.as_millis());
                if time * FACTOR <= serial {
                    break;
                }
            }
            Err(error) => {
                println!("wrong {error}");
                break;
            }
        }
    }
    if std::env::var_os("CLIENTS_REPORT").is_some() {
        eprint!("{}", overlapped_install::report());
    }
    Ok(())
}

fn one_by_one(row: &Row, setup: &Setup) -> Result<Duration> {
    let open = (row.start)(setup)?;
    let requests = (0..REQUESTS).map(|number| open(number)).collect::<Result<Vec<Request>>>()?;
    let begin = Instant::now();
    requests.into_iter().try_for_each(|request| request())?;
    Ok(begin.elapsed())
}

fn on_threads(row: &Row, setup: &Setup) -> Result<Duration> {
    let open = &(row.start)(setup)?;
    let barrier = &Barrier::new(REQUESTS + 1);
    thread::scope(|scope| {
        let unit = |number| scope.spawn(move || one(open, number, barrier));
        let all: Vec<_> = (0..REQUESTS).map(unit).collect();
        barrier.wait();
        let begin = Instant::now();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| "a thread panicked")?)?;
        Ok(begin.elapsed())
    })
}

/// Returns the time that all took, and the longest one between two ticks.
fn in_tasklets(row: &Row, setup: &Setup) -> Result<(Duration, Duration), String> {
    let ended = overlapped_install::run(|| {
        let open = &(row.start)(setup).map_err(|error| in_words(&*error))?;
        let barrier = &Barrier::new(REQUESTS + 1);
        overlapped_install::scope(|scope| {
            let unit = |number| scope.spawn(move || one(open, number, barrier));
            let all: Vec<_> = (0..REQUESTS).map(unit).collect();
            let ticker = Ticker::default();
            let theirs = ticker.clone();
            let ticks = scope.spawn(move || theirs.tick());
            barrier.wait();
            ticker.longest.set(Duration::ZERO);
            let begin = Instant::now();
            let outcomes = all.into_iter().map(|one| one.join().map_err(|e| e.to_string())?);
            let outcome = outcomes.fold(Ok(()), |first, next| first.and(next));
            let time = begin.elapsed();
            ticker.is_over.set(true);
            ticks.join().map_err(|error| error.to_string())?;
            outcome.map(|()| (time, ticker.longest.get()))
        })
    });
    ended.map_err(|error| error.to_string())?
}

/// Opens a connection, waits until all have theirs, and makes a request.
fn one(open: &Opener, number: usize, barrier: &Barrier) -> Result<(), String> {
    let opened = catch_unwind(AssertUnwindSafe(|| open(number)));
    barrier.wait();
    let request = opened.map_err(said)?.map_err(|error| in_words(&*error))?;
    let answered = catch_unwind(AssertUnwindSafe(request));
    answered.map_err(said)?.map_err(|error| in_words(&*error))
}

fn said(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("for no reason that can be shown"))
}

/// Formats an error with its causes, on one line.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.replace('\n', " ")
}

/// Measures how long the thread is blocked.
#[derive(Clone, Default)]
struct Ticker {
    longest: Rc<Cell<Duration>>,
    is_over: Rc<Cell<bool>>,
}

impl Ticker {
    fn tick(&self) {
        let mut last = Instant::now();
        while !self.is_over.get() {
            thread::sleep(Duration::from_millis(1));
            let now = Instant::now();
            self.longest.set(self.longest.get().max(now - last));
            last = now;
        }
    }
}

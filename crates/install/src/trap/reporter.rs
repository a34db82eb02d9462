//! The thread that asks where a raw call was made, records the answer and prints it.

use std::collections::HashMap;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use overlapped::task::running_on;
use syscalls::Sysno;

use super::message::continue_call;
use crate::raw::write_stderr;
use crate::report::locate;

/// A place in the code from which tasklets have made waiting calls past libc's functions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RawCall {
    /// The system call.
    pub call: &'static str,
    /// The file with the instruction: the program, or a library.
    pub object: String,
    /// The instruction's address in the file's code.
    pub offset: usize,
    /// The number of calls from there that had something to wait for.
    pub count: u64,
    /// The tasklet that made the first one, and its name.
    pub tasklet: Option<(u64, Option<String>)>,
    /// A backtrace of the first one: a line for each function, innermost first.
    pub trace: String,
}

impl fmt::Display for RawCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, object, offset, count, trace, .. } = self;
        write!(f, "{call} past libc's functions, at {object}+{offset:#x}")?;
        if *count > 1 {
            write!(f, ", {count} times")?;
        }
        match &self.tasklet {
            Some((id, Some(name))) => write!(f, ", first by tasklet {id} '{name}':")?,
            Some((id, None)) => write!(f, ", first by tasklet {id}:")?,
            None => {}
        }
        f.write_str(trace)
    }
}

/// A call that stays stopped until its place is known.
pub(super) struct StoppedCall {
    pub(super) fd: c_int,
    pub(super) id: u64,
    pub(super) thread: u32,
    pub(super) place: u64,
    pub(super) number: c_int,
}

/// Threads whose calls have been interrupted to ask where they are, with the places of these calls:
/// the same call comes again.
static ASKED: Mutex<Option<HashMap<u32, u64>>> = Mutex::new(None);

fn asked() -> MutexGuard<'static, Option<HashMap<u32, u64>>> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records that a thread's call was not interrupted.
fn forget(thread: u32) {
    asked().get_or_insert_default().remove(&thread);
}

/// Tells whether a call from that place is one that was interrupted to ask where it is, and forgets
/// the interruption.
pub(super) fn comes_again(thread: u32, place: u64) -> bool {
    asked().get_or_insert_default().remove(&thread) == Some(place)
}

/// Has the reporter ask where a stopped call is, and let it go on; returns false if there is no
/// reporter any more.
pub(super) fn ask(stopped_calls: &Sender<StoppedCall>, stopped: StoppedCall) -> bool {
    let (thread, place) = (stopped.thread, stopped.place);
    // Recorded first, since the call may come again at once.
    asked().get_or_insert_default().insert(thread, place);
    let is_sent = stopped_calls.send(stopped).is_ok();
    if !is_sent {
        forget(thread);
    }
    is_sent
}

struct Place {
    address: u64,
    count: u64,
    reported: Option<RawCall>,
}

static PLACES: Mutex<Vec<Place>> = Mutex::new(Vec::new());

/// The maximum number of places that are recorded.
const MOST: usize = 256;

/// Counts a call from a place, and returns whether it is the first one. Nothing is counted while
/// another thread reads the list: the supervisor waits for no lock.
pub(super) fn count(address: u64) -> bool {
    let Ok(mut places) = PLACES.try_lock() else { return false };
    if let Some(place) = places.iter_mut().find(|place| place.address == address) {
        place.count += 1;
        return false;
    }
    let has_room = places.len() < MOST;
    if has_room {
        places.push(Place { address, count: 1, reported: None });
    }
    has_room
}

/// Returns the calls that have been reported so far, the most frequent first.
pub(crate) fn raw_calls() -> Vec<RawCall> {
    let places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let of = |place: &Place| {
        let reported = place.reported.clone()?;
        Some(RawCall { count: place.count, ..reported })
    };
    let mut calls: Vec<_> = places.iter().filter_map(of).collect();
    drop(places);
    calls.sort_by_key(|call| std::cmp::Reverse(call.count));
    calls
}

pub(super) fn start() -> io::Result<Sender<StoppedCall>> {
    let (stopped_calls, asked) = mpsc::channel();
    let name = "trap-reporter".to_owned();
    thread::Builder::new().name(name).spawn(move || report_calls(&asked))?;
    Ok(stopped_calls)
}

fn report_calls(stopped_calls: &Receiver<StoppedCall>) {
    for stopped in stopped_calls {
        let stalled = running_on(stopped.thread);
        if stalled.is_none() {
            forget(stopped.thread);
        }
        continue_call(stopped.fd, stopped.id);
        let address = stopped.place as usize;
        let (object, offset) = locate(address).unwrap_or(("an unknown object".into(), address));
        let number = usize::try_from(stopped.number).ok();
        let reported = RawCall {
            call: number.and_then(Sysno::new).map_or("a system call", |call| call.name()),
            object,
            offset,
            count: 1,
            tasklet: stalled.as_ref().map(|stalled| (stalled.tasklet, stalled.name.clone())),
            trace: stalled.map(|stalled| stalled.trace()).unwrap_or_default(),
        };
        write_stderr(&format!("overlapped-install: {reported}\n"));
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.iter_mut().find(|place| place.address == stopped.place) {
            place.reported = Some(reported);
        }
    }
}

//! Threads of this process that wait.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::{PAUSE, wait_until};

/// Tells whether the system says what a thread does: by procfs, which Miri and other systems lack.
/// Without it, a short sleep takes the place of the look.
const TELLS: bool = cfg!(all(target_os = "linux", not(miri)));

/// Returns the number that the system gives the calling thread (gettid(2)), for
/// [`wait_until_blocked`].
///
/// # Panics
///
/// The system does not tell.
pub fn thread_number() -> u32 {
    if !TELLS {
        return 0;
    }
    let name = std::fs::read_link("/proc/thread-self").expect("procfs");
    let number = name.file_name().and_then(|number| number.to_str()?.parse().ok());
    number.expect("the link ends in the thread's number")
}

/// Waits until the thread of this process with this number is blocked in a system call, or has
/// ended. A thread that sleeps twice in a row, and did not run in between, is blocked: one that
/// waits for a moment only, for a lock of the allocator, runs on.
///
/// # Panics
///
/// It is not blocked after an [`AMPLE`](crate::AMPLE) time.
#[track_caller]
pub fn wait_until_blocked(number: u32) {
    if !TELLS {
        return std::thread::sleep(10 * PAUSE);
    }
    let mut before = Sleep::Runs;
    wait_until("the thread is blocked", || {
        let now = Sleep::of(Path::new("/proc/self/task"), number);
        let was = std::mem::replace(&mut before, now);
        now == Sleep::Over || now != Sleep::Runs && now == was
    });
}

/// Waits until all threads of another process are blocked, as [`wait_until_blocked`] does for one.
///
/// # Panics
///
/// They are not blocked after an [`AMPLE`](crate::AMPLE) time, or the process has ended.
#[track_caller]
pub fn wait_until_process_blocked(process: u32) {
    let folder = PathBuf::from(format!("/proc/{process}/task"));
    let mut before = Vec::new();
    wait_until("the process is blocked", || {
        let threads = std::fs::read_dir(&folder).expect("the process is there");
        let names = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
        let mut now: Vec<_> = names.map(|number| (number, Sleep::of(&folder, number))).collect();
        now.sort_unstable_by_key(|(number, _)| *number);
        let sleep = !now.iter().any(|(_, sleep)| *sleep == Sleep::Runs);
        let was = std::mem::replace(&mut before, now);
        sleep && was == before
    });
}

/// Starts a thread that calls `f`, and returns when it is blocked in it, or has ended.
#[track_caller]
pub fn spawn_blocked<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        tell.send(thread_number()).expect("the spawner waits for it");
        f()
    });
    wait_until_blocked(told.recv().expect("the thread begins by telling"));
    thread
}

/// The state of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Runs,
    /// It sleeps, and has done so this many times.
    Sleeps(u64),
    /// It has ended.
    Over,
}

impl Sleep {
    /// Reads the state of a thread from its process's folder `task` (proc_pid_status(5)).
    fn of(folder: &Path, number: u32) -> Sleep {
        let file = folder.join(number.to_string()).join("status");
        let Ok(status) = std::fs::read_to_string(file) else { return Sleep::Over };
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let times = field("voluntary_ctxt_switches:").and_then(|times| times.parse().ok());
        match (field("State:"), times) {
            (Some(state), Some(times)) if state.starts_with('S') => Sleep::Sleeps(times),
            _ => Sleep::Runs,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_thread_that_waits_is_blocked_and_one_that_runs_is_not() {
        let (go, goes) = channel();
        let waits = spawn_blocked(move || goes.recv());
        assert!(!waits.is_finished());
        go.send(7).unwrap();
        assert_eq!(waits.join().unwrap(), Ok(7));

        let number = thread_number();
        assert_eq!(Sleep::of(Path::new("/proc/self/task"), number), Sleep::Runs);
        let looks = std::thread::spawn(move || wait_until_blocked(number));
        while !looks.is_finished() {
            std::thread::park_timeout(100 * PAUSE);
        }
        looks.join().unwrap();
    }

    #[test]
    fn a_thread_that_has_ended_is_not_waited_for() {
        spawn_blocked(|| ()).join().unwrap();
    }
}

//! The state of a tasklet in words: for deadlock reports, for dumps, and for the watchdog's signal
//! handler.
//!
//! **In the handler.** It runs on the scheduler's own thread, at any instruction, and only reads:
//! no lock, no allocation, no cell that is borrowed. What it reads is complete, because the words
//! that lead to it are written in this order, which the compiler keeps ([`compiler_fence`]) and the
//! processor shows to its own thread:
//!
//! | what | is written |
//! |---|---|
//! | a block, its name | before the list of the living leads to it |
//! | the list | around a block that leaves, before that is freed |
//! | `Tcb::waiting` | while `Tcb::state` is not `Waiting` |
//!
//! The object of a wait is there as long as the tasklet waits: channels, locks and selects are
//! borrowed by its frames, and a joined tasklet by its handle.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

use super::running::running_tasklet;
use crate::sched::{
    Awaited, Holder, LockKind, Registration, Sched, SelectState, State, Tcb, WaitQueue, Waiter,
    Waiting,
};
use crate::sys::clock;
use crate::sys::descriptor::Raw;
use crate::watchdog::{Lookup, Page, Text, Watched};

thread_local! {
    /// The scheduler that the handler shows.
    static SHOWN: Cell<Option<NonNull<Sched>>> = const { Cell::new(None) };
}

/// The functions that the watchdog's handler calls. They are async-signal-safe.
pub(in crate::sched) const LOOKUP: Lookup = Lookup { held: running_tasklet, all: write_all };

/// A scheduler that the watchdog may read and that its handler shows, until this is dropped.
pub(in crate::sched) struct Shown {
    watched: Option<Watched>,
}

impl Shown {
    pub(in crate::sched) fn new(sched: &Sched, watched: Watched) -> Shown {
        SHOWN.set(Some(NonNull::from(sched)));
        Shown { watched: Some(watched) }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // A question may still be on its way: its handler finds no scheduler.
        self.watched.take();
        SHOWN.set(None);
        compiler_fence(Ordering::SeqCst);
    }
}

/// Returns the scheduler that this thread's handler shows.
pub(in crate::sched) fn shown() -> Option<NonNull<Sched>> {
    SHOWN.get()
}

/// Sets the scheduler that the handler shows, in thread-locals that are not the thread's own.
pub(in crate::sched) fn show(sched: Option<NonNull<Sched>>) {
    SHOWN.set(sched);
}

/// Writes every tasklet of this thread's scheduler, the youngest first. Called in the handler.
fn write_all(page: &mut Page) {
    let Some(sched) = SHOWN.get() else { return };
    // SAFETY: the pointer is taken out before the scheduler goes.
    let sched = unsafe { sched.as_ref() };
    page.tasklets = sched.live.get();
    let now = clock::nanos();
    let mut at = sched.all.get();
    while let Some(tcb) = at.filter(|_| !page.is_full()) {
        let block = sched.block(tcb);
        at = block.all_next.get();
        sched.write(block, now, page);
    }
}

impl Sched {
    /// Describes a tasklet for a deadlock report or a dump.
    pub(crate) fn describe(&self, block: &Tcb) -> Waiter {
        let mut on = String::new();
        self.write_state(block, &mut on);
        let (id, name, spawned_at) = (block.id, block.name(), block.spawned_at);
        Waiter { id, name, on, spawned_at }
    }

    /// Writes the handler's line for a tasklet.
    fn write(&self, block: &Tcb, now: u64, line: &mut Page) {
        line.push("tasklet ");
        line.push_number(block.id);
        if let Some(name) = block.name_in_handler() {
            line.push(" '");
            line.push(name);
            line.push("'");
        }
        line.push(": ");
        self.write_state(block, line);
        if block.state.get() == State::Waiting {
            line.push(" for ");
            line.push_number(now.saturating_sub(block.since.get()) / 1_000_000);
            line.push(" ms");
        }
        line.push(", spawned at ");
        line.push(block.spawned_at.file());
        for number in [block.spawned_at.line(), block.spawned_at.column()] {
            line.push(":");
            line.push_number(number.into());
        }
        line.push("\n");
    }

    fn write_state(&self, block: &Tcb, text: &mut impl Text) {
        match block.state.get() {
            State::New => text.push("not started"),
            State::Ready => text.push("ready"),
            State::Running => text.push("running"),
            State::Done => text.push("done"),
            State::Waiting => self.write_wait(block.waiting.get(), text),
        }
    }

    fn write_wait(&self, waiting: Waiting, text: &mut impl Text) {
        match waiting {
            Waiting::Nothing => text.push("waking up"),
            Waiting::Op { name, fd, .. } => write_op(name, fd, text),
            Waiting::Channel { queue, sending } => write_channel(queue, sending, text),
            Waiting::Join(target) => write_join(self.block(target).id, text),
            // SAFETY: the tasklet waits, so its frame is there.
            Waiting::Select(select) => self.write_select(unsafe { select.as_ref() }, text),
            Waiting::Member(_) => text.push("the end of a member of its group"),
            Waiting::Sleep => text.push("sleeping"),
            Waiting::Paused | Waiting::PausedByOther => text.push("paused"),
            Waiting::Scope(_) => text.push("the end of its scope"),
            Waiting::Remote { what, .. } => text.push(what),
            Waiting::Threads { what, .. } => {
                // SAFETY: the tasklet waits, so its frame is there.
                let Awaited { what, at } = *unsafe { what.as_ref() };
                text.push(what);
                if at != 0 {
                    text.push(" at ");
                    text.push_address(at);
                }
            }
            Waiting::Lock { kind, holder, .. } => {
                // SAFETY: the tasklet waits, so its frame is there, which borrows the lock.
                self.write_lock(kind, unsafe { holder.as_ref() }, text);
            }
        }
    }

    fn write_lock(&self, kind: LockKind, holder: &Holder, text: &mut impl Text) {
        text.push(kind.name());
        match holder.tasklet_on(self) {
            Some(0) => text.push(" that this thread locked before the run"),
            Some(tasklet) => {
                text.push(" that tasklet ");
                text.push_number(tasklet);
                text.push(" has locked");
            }
            None => {}
        }
    }

    fn write_select(&self, select: &SelectState, text: &mut impl Text) {
        const SHOWN_MAX: usize = 16;
        let (mut places, mut count) = ([Registration::None; SHOWN_MAX], 0);
        select.each(|alternative| match alternative.registration.get() {
            Registration::None => {}
            place => {
                places[count % SHOWN_MAX] = place;
                count += 1;
            }
        });
        text.push("selecting: ");
        if count == 0 {
            text.push("a time");
        }
        // The alternatives are linked the last one first.
        for at in (0..count.min(SHOWN_MAX)).rev() {
            match places[at] {
                Registration::None => {}
                Registration::Channel { queue, sending } => write_channel(queue, sending, text),
                Registration::Join { id, .. } => write_join(id, text),
                Registration::Op { name, fd, .. } => write_op(name, fd, text),
            }
            text.push(if at > 0 { " or " } else { "" });
        }
        if count > SHOWN_MAX {
            text.push(" or others");
        }
    }
}

fn write_op(name: &str, fd: Raw, text: &mut impl Text) {
    let fd = fd as i64; // 32 bits, with a sign, on Unix.
    text.push(name);
    text.push(" on descriptor ");
    if fd < 0 {
        text.push("-");
    }
    text.push_number(fd.unsigned_abs());
}

fn write_join(id: u64, text: &mut impl Text) {
    text.push("joining tasklet ");
    text.push_number(id);
}

fn write_channel(queue: NonNull<WaitQueue>, sending: bool, text: &mut impl Text) {
    text.push(if sending { "sending to channel " } else { "receiving from channel " });
    // SAFETY: a channel outlives the tasklets that wait in it: each of them borrows it.
    match unsafe { queue.as_ref() }.name() {
        Some(name) => {
            text.push("'");
            text.push(name);
            text.push("'");
        }
        None => text.push_address(queue.addr().get()),
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::{Duration, Instant};

    use crate::chan::{Channel, Select};
    use crate::sync::RwLock;
    use crate::task::{Builder, Config, spawn, yield_now};
    use crate::watchdog::pages;

    /// Spawns tasklets that wait for everything there is, and are woken, killed and freed.
    fn one_of_everything(round: u64) {
        let (channel, lock) = (Channel::named("busy"), Rc::new(RwLock::new(0)));
        let (a, b, c) = (channel.clone(), Channel::<u8>::new(), channel.clone());
        let name = format!("round {round}");
        let receives = Builder::new().name(name).spawn(move || {
            Select::new().recv(&a, drop).recv(&b, drop).wait_timeout(Duration::from_secs(9))
        });
        let (mine, own) = (lock.clone(), channel.clone());
        let locks = spawn(move || {
            let _held = mine.write();
            yield_now();
            own.send(1)
        });
        let reads = spawn(move || drop(lock.read()));
        let killed = spawn(move || c.recv());
        yield_now();
        killed.kill();
        drop((receives.unwrap().join(), locks.join(), killed.join()));
        reads.join().unwrap();
    }

    /// Runs in a process of its own, because the handler has only one source of pages.
    #[test]
    fn d1_pages_are_whole_at_any_instruction() {
        const NAME: &str =
            "sched::observer::describe::tests::d1_pages_are_whole_at_any_instruction";
        if std::env::var_os("OVERLAPPED_TEST_CHILD").is_some() {
            return show_at_any_instruction();
        }
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env("OVERLAPPED_TEST_CHILD", "child")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        let errors = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{}: {said} {errors}", child.status);
        let line = said.lines().find_map(|line| line.split_once("RELIABILITY"));
        println!("RELIABILITY{}", line.expect("its report").1);
    }

    fn show_at_any_instruction() {
        let over = Arc::new(AtomicBool::new(false));
        let torture = std::env::var_os("OVERLAPPED_TORTURE").is_some();
        let (shows, length) = (if torture { 50_000 } else { 500 }, Duration::from_secs(120));
        let stop = over.clone();
        let asks = std::thread::spawn(move || {
            let (begin, mut lines, mut asked) = (Instant::now(), 0, 0);
            while asked < shows && (torture || begin.elapsed() < length) {
                for page in pages() {
                    asked += 1;
                    for line in page.lines() {
                        let is_whole = line.starts_with("tasklet ") && line.contains(": ");
                        assert!(is_whole && line.contains(", spawned at "), "{line:?}");
                        lines += 1;
                    }
                }
            }
            stop.store(true, Relaxed);
            (asked, lines)
        });
        // The signal is only set up: it never comes.
        let config = Config::new().dump_on(libc::SIGWINCH);
        config
            .run(|| {
                let mut round = 0;
                while !over.load(Relaxed) {
                    one_of_everything(round);
                    round += 1;
                }
            })
            .unwrap();
        let (asked, lines) = asks.join().unwrap();
        assert!(lines > asked, "{lines} lines on {asked} pages");
        println!("RELIABILITY D1 {lines} lines on {asked} pages, all whole");
    }
}

//! Tests that ask a thread for snapshots at arbitrary instructions, hundreds of times.

use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};

use super::page::{Page, Text};
use super::snapshot::{Held, Lookup, answer, ask, install};
use super::unwind::walk;
use super::{ANSWER_MAX, Entry, Finding, Pulse, look};
use crate::sys::thread::Target;
use testkit::alone;

thread_local! {
    static STACK: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
}

const LOOKUP: Lookup = Lookup { held, all };

fn held() -> Option<Held> {
    let stack = STACK.get()?;
    let spawned_at = Location::caller();
    Some(Held { id: 7, name: b"worker".as_ptr(), name_len: 6, spawned_at, stack })
}

fn all(page: &mut Page) {
    page.tasklets = 1;
    page.push("tasklet ");
    page.push_number(7);
}

/// Runs code that allocates, unwinds and takes locks, so that questions interrupt all of these.
#[inline(never)]
fn works(kept: &mut Vec<String>) {
    kept.push(format!("{:?}", std::time::Instant::now()));
    let _ = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(7)));
    kept.extend(std::env::var("PATH"));
    kept.truncate(50);
}

/// In a process of its own, since the first installed lookup stays.
#[test]
fn a_thread_can_be_asked_at_any_instruction() {
    alone("watchdog::tests::a_thread_can_be_asked_at_any_instruction", ask_at_any_instruction);
}

fn ask_at_any_instruction() {
    install(LOOKUP).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let (told, target) = mpsc::channel();
    let worker = std::thread::spawn({
        let over = over.clone();
        move || {
            let top = (&raw const told).addr();
            STACK.set(Some((top - (256 << 10), top)));
            told.send(Target::this_thread()).unwrap();
            let (mut kept, mut rounds) = (Vec::new(), 0_u64);
            while !over.load(Relaxed) {
                works(&mut kept);
                rounds += 1;
            }
            rounds
        }
    });
    let target = target.recv().unwrap();
    let (mut answers, mut traces, mut frames) = (0, 0, 0);
    for question in 0..500 {
        // SAFETY: the thread ends after the last question.
        assert!(unsafe { ask(target, question % 2 == 0) });
        let Some(snapshot) = answer(ANSWER_MAX) else { continue };
        answers += 1;
        assert_eq!(snapshot.held.map(|(id, _)| id), Some(7));
        assert_eq!(snapshot.name().as_deref(), Some("worker"));
        let said = if question % 2 == 0 { "tasklet 7" } else { "" };
        assert_eq!(snapshot.page.text(), said);
        assert!(snapshot.pc != 0 && snapshot.word(snapshot.sp).is_some());
        if question % 10 == 0 {
            traces += 1;
            frames += walk(&snapshot).len();
        }
    }
    over.store(true, Relaxed);
    assert!(worker.join().unwrap() > 0);
    assert!(answers > 450, "{answers} of 500 questions answered");
    assert!(frames >= 4 * traces, "{frames} frames in {traces} traces");
}

#[test]
fn a_wrong_step_reads_nothing_but_the_copy() {
    install(LOOKUP).unwrap();
    let mut snapshot = super::snapshot::Snapshot::boxed();
    // An invalid program counter, and wrong stack and frame pointers.
    for (pc, sp, fp) in
        [(1, 8, 16), (usize::MAX, usize::MAX & !7, 1), (walk as *const () as usize, 0, 0)]
    {
        (snapshot.pc, snapshot.sp, snapshot.fp) = (pc, sp, fp);
        assert!(walk(&snapshot).len() <= 64);
    }
}

#[test]
fn a_thread_that_waits_is_not_even_asked() {
    let pulse = Pulse::default();
    let mut entry = Entry {
        number: 0,
        pulse: &raw const pulse,
        target: Target::this_thread(),
        limit: 100,
        on_stall: None,
        count: 0,
        since: 0,
        seen: 0,
        tell_at: u64::MAX,
        told: None,
        told_of_remains: false,
        thread: "".into(),
    };
    for now in 0..100_u64 {
        assert!(look(&mut entry, now * 50, false).is_none(), "no tasklet runs");
    }
    let mut now = 10_000;
    for _ in 0..100 {
        pulse.beat();
        now += 50;
        assert!(look(&mut entry, now, false).is_none(), "each runs for a moment");
        pulse.beat();
    }
    pulse.beat();
    now += 50;
    assert!(look(&mut entry, now, false).is_none());
    entry.told = Some(3);
    entry.tell_at = u64::MAX;
    now += 400;
    assert!(look(&mut entry, now, false).is_none());
    // It is unknown when the tasklet ended. It ran at least until it was last seen.
    now += 600;
    pulse.beat();
    let over = look(&mut entry, now, false);
    assert!(matches!(over, Some(Finding::Over { id: 3, nanos: 400, .. })));
    assert!(look(&mut entry, now + 1_000, false).is_none());
    // The process stood still while a tasklet ran: the limit begins anew.
    pulse.beat();
    assert!(look(&mut entry, now + 2_000, false).is_none());
    assert!(look(&mut entry, now + 9_000, true).is_none());
    assert_eq!(entry.tell_at, now + 9_100);
}

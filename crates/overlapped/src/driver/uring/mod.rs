//! The io_uring backend.
//!
//! ```text
//! submit ─▶ [backlog ─▶] submission queue ─▶ enter ─▶ kernel ─▶ completion queue ─▶ wait ─▶ out
//! ```
//!
//! An entry is in exactly one of these places; entries never overtake each other on the way to
//! the kernel, so a cancel always finds its target started. The backlog is empty unless the
//! kernel would not take a full queue; it is flushed before anything else is queued.
//!
//! Ownership: the memory in an entry is the submitter's, valid until the completion is in `out`.
//! Two kinds of entry are the backend's own, recognised by the top bit of their user data: cancels,
//! and the read of the eventfd through which notifiers end a wait. Both are counted, and reaped
//! like everything else. If the kernel has `MSG_RING` without a ring (6.13), notifiers use that
//! instead. The read stays in flight, for notifiers whose message is refused.
//!
//! Operations that the kernel lacks go another way: tried by a plain system call, polled for in
//! the ring, tried again. So do operations that the kernel abandons (`unfinished`).
//!
//! Shutdown: `drain` cancels everything, again and again, until nothing is in flight. Only then
//! are the ring and the eventfd's buffer released. If the kernel will not let us wait, nothing
//! says when it stops writing to borrowed memory, and the process is aborted.

mod cursors;
mod event;
mod prepare;
mod ring;
mod unfinished;
mod user_data;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use io_uring::squeue::Entry;
use rustc_hash::FxHashSet;

use super::PortConfig;
use crate::driver::direct;
use crate::driver::speculative::Speculation;
use crate::op::{Completion, Op, Outcome, Submitted, Token};
use crate::spin::{SPIN, Spin};
use crate::sys::{clock, errno};

use cursors::Cursors;
pub(super) use event::{EventFd, MESSAGE};
pub(super) use ring::{Ring, USED};
use user_data::{CANCEL, INTERNAL, NOTIFIED, WAKE};

/// The longest sleep while the kernel does not take what is queued.
const HELD_BACK: Duration = Duration::from_millis(1);

/// Nanoseconds after which a cancel is repeated if its operation has not ended. (A cancel misses an
/// operation that a worker is just about to take up.)
const ASK_AGAIN: u64 = 10_000_000;

/// The number of loads of the ring's memory between two readings of the clock.
const LOADS_PER_CLOCK: u32 = 8;

pub(crate) struct Uring {
    ring: Ring,
    backlog: VecDeque<Entry>,
    /// Tokens whose completion has not been handed out.
    in_flight: usize,
    /// The backend's own entries that have not completed.
    internal: usize,
    /// Operations in flight, by the slots of their tokens: some must be started again, and nothing
    /// else can be asked to end.
    ops: Vec<Option<(Token, Op)>>,
    /// Operations that the ring only polls for: see [`Uring::submit_polled`].
    polled: FxHashSet<Token>,
    /// Operations that were cancelled and have not completed. Their cancels are repeated at
    /// `ask_at`.
    asked: FxHashSet<Token>,
    ask_at: u64,
    /// Completions that may not be the end of their operations; empty between two waits.
    unfinished: Vec<(Token, Outcome)>,
    /// The positions of files' cursors before the transfers in flight.
    cursors: Cursors,
    spin: Spin,
    /// The decision for callers that try receives before they submit them. The ring itself does not
    /// try.
    speculation: Speculation,
    wake: Arc<EventFd>,
    /// The place for the eventfd's count, which the kernel writes. From `Box::into_raw`; freed
    /// after the drain.
    wake_count: *mut u64,
    closing: bool,
    /// The kernel had no memory for a completion that did not fit: it will never come.
    lost: bool,
    /// Times when completions did not fit into the ring.
    overflows: u64,
}

impl Uring {
    /// Opens a ring.
    ///
    /// # Errors
    /// The kernel's own; `Unsupported`, which says what is missing.
    pub(super) fn open(config: &PortConfig) -> io::Result<Uring> {
        let ring = Ring::open(config)?;
        let wake = Arc::new(EventFd::open(ring.fd(), !ring.missing().has(MESSAGE))?);
        let mut uring = Uring {
            ring,
            backlog: VecDeque::new(),
            in_flight: 0,
            internal: 0,
            ops: Vec::new(),
            polled: FxHashSet::default(),
            asked: FxHashSet::default(),
            ask_at: 0,
            unfinished: Vec::new(),
            cursors: Cursors::default(),
            spin: Spin::default(),
            speculation: Speculation::default(),
            wake,
            wake_count: Box::into_raw(Box::new(0)),
            closing: false,
            lost: false,
            overflows: 0,
        };
        uring.arm_wake();
        Ok(uring)
    }

    /// Tells whether the ring itself performs `op`, rather than a system call of this thread.
    pub(super) fn does(&self, op: &Op) -> bool {
        !direct::is_nonblocking(op) && self.has(op)
    }

    /// Tells whether the ring has the opcode of `op`.
    pub(super) fn has(&self, op: &Op) -> bool {
        !self.ring.missing().has(prepare::code(op))
    }

    /// Starts `op`, by its opcode or in another way.
    ///
    /// # Safety
    /// The same as for [`Driver::submit`](super::Driver::submit).
    #[inline]
    pub(super) unsafe fn submit(&mut self, token: Token, op: &Op) -> Submitted {
        debug_assert!(!self.closing, "submitted after the drain");
        // The ring ignores O_NONBLOCK, and a call that must not wait gains nothing from a batch of
        // one.
        if direct::is_nonblocking(op) {
            // SAFETY: the caller's promise covers this call.
            return Submitted::Done(unsafe { direct::try_now(op) });
        }
        if matches!(op, Op::Wait(_)) || !self.has(op) {
            // SAFETY: the caller's promise.
            return unsafe { self.submit_polled(token, op) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.start(token, op) }
    }

    /// Starts `op` by its opcode, which the ring [has](Uring::has).
    ///
    /// # Safety
    /// The same as for [`Driver::submit`](super::Driver::submit).
    #[inline]
    pub(super) unsafe fn start(&mut self, token: Token, op: &Op) -> Submitted {
        self.remember(token, op);
        self.cursors.note(token, op);
        // SAFETY: the caller's promise holds now and until the completion.
        unsafe { self.push(prepare::prepare(op).user_data(token.to_bits())) };
        self.in_flight += 1;
        Submitted::Pending
    }

    /// Keeps `op` until its completion.
    #[inline]
    fn remember(&mut self, token: Token, op: &Op) {
        let entry = Some((token, *op));
        match self.ops.get_mut(token.slot()) {
            Some(place) => *place = entry,
            None => {
                self.ops.resize(token.slot(), None);
                self.ops.push(entry);
            }
        }
    }

    /// Returns the operation `token`, if its completion has not been handed out.
    fn find(&self, token: Token) -> Option<&Op> {
        match self.ops.get(token.slot()) {
            Some(Some((found, op))) if *found == token => Some(op),
            _ => None,
        }
    }

    pub(super) fn speculation(&mut self) -> &mut Speculation {
        &mut self.speculation
    }

    pub(super) fn cancel(&mut self, token: Token) {
        if self.find(token).is_none() {
            // The operation has completed, and that decides. No completion would end the repeated
            // cancels.
            return;
        }
        self.note_asked(token);
        self.push_internal(prepare::cancel(token).user_data(CANCEL));
    }

    fn note_asked(&mut self, token: Token) {
        if self.asked.is_empty() {
            self.ask_at = clock::nanos() + ASK_AGAIN;
        }
        self.asked.insert(token);
    }

    /// Pretends to cancel, as when a cancel misses its operation by chance.
    #[cfg(test)]
    pub(super) fn cancel_in_vain(&mut self, token: Token) {
        self.note_asked(token);
    }

    /// Repeats the cancels that are due. Returns the longest wait until the next ones are due.
    #[cold]
    fn ask_again(&mut self) -> Duration {
        if clock::until(self.ask_at) == Duration::ZERO {
            self.ask_at = clock::nanos() + ASK_AGAIN;
            let tokens: Vec<Token> = self.asked.iter().copied().collect();
            for token in tokens {
                self.push_internal(prepare::cancel(token).user_data(CANCEL));
            }
        }
        clock::until(self.ask_at)
    }

    fn arm_wake(&mut self) {
        let entry = prepare::wake(self.wake.raw(), self.wake_count);
        self.push_internal(entry.user_data(WAKE));
    }

    fn push_internal(&mut self, entry: Entry) {
        self.internal += 1;
        // SAFETY: a cancel has no memory. The eventfd and its count live until `drop`, after the
        // drain has reaped the read.
        unsafe { self.push(entry) };
    }

    /// Queues an entry for the kernel.
    ///
    /// # Safety
    /// The same as for [`Ring::push`].
    #[inline]
    unsafe fn push(&mut self, entry: Entry) {
        // SAFETY: the caller's promise.
        if self.backlog.is_empty() && unsafe { self.ring.push(&entry) } {
            return;
        }
        self.backlog.push_back(entry);
        self.flush();
    }

    /// Moves the backlog into the queue and the queue into the kernel, as far as it takes them.
    #[cold]
    fn flush(&mut self) {
        loop {
            while let Some(entry) = self.backlog.front() {
                // SAFETY: promised when the entry was pushed; it has not completed since.
                if !unsafe { self.ring.push(entry) } {
                    break;
                }
                self.backlog.pop_front();
            }
            if self.backlog.is_empty() {
                return;
            }
            // EINTR, EBUSY (completions must be reaped first), EAGAIN (no memory for requests):
            // the next wait goes on.
            match self.ring.submit(self.ring.hints().queued) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        let mut timeout = timeout;
        if !self.backlog.is_empty() {
            self.flush();
            if !self.backlog.is_empty() {
                timeout = Some(timeout.map_or(HELD_BACK, |timeout| timeout.min(HELD_BACK)));
            }
        }
        if !self.asked.is_empty() {
            let left = self.ask_again();
            timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
        }
        let sleep = timeout != Some(Duration::ZERO) && !self.ring.has_completions();
        let result = if sleep { self.sleep(timeout) } else { self.poll() };
        self.reap(out);
        match result {
            Ok(()) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN) => Ok(()),
                errno => {
                    self.lost |= errno == Some(libc::EBADR);
                    Err(error)
                }
            },
        }
    }

    /// Submits what is queued and has the kernel produce what is due, without waiting.
    fn poll(&mut self) -> io::Result<()> {
        let hints = self.ring.hints();
        self.overflows += u64::from(hints.overflow);
        if hints.queued > 0 || hints.overflow || hints.taskrun {
            self.ring.submit_and_get(hints.queued, false, None)?;
            if self.ring.hints().taskrun && !self.ring.has_completions() {
                return self.clear_hint();
            }
        }
        Ok(())
    }

    /// Makes the kernel clear a hint that may be stale.
    ///
    /// The kernel queues work for this thread *before* it sets the hint. If this thread runs the
    /// work in between, the hint comes late and stays, because only running work clears it. Then a
    /// busy scheduler would enter the kernel at each poll, and a spin would always end at once. A
    /// notification that this thread sends to itself is queued, with its hint set, before the call
    /// returns.
    #[cold]
    fn clear_hint(&mut self) -> io::Result<()> {
        self.wake.notify()?;
        self.ring.submit_and_get(self.ring.hints().queued, false, None).map(drop)
    }

    /// Polls the ring, and waits for at most `timeout` if that finds nothing.
    fn sleep(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.spin(timeout, || false) {
            return self.poll();
        }
        let began = clock::nanos();
        let hints = self.ring.hints();
        self.overflows += u64::from(hints.overflow);
        let result = self.ring.submit_and_get(hints.queued, true, timeout);
        self.spin.slept(Duration::from_nanos(clock::nanos() - began));
        result.map(drop)
    }

    /// Spins on the ring's memory for a moment, until there is something to do, if that is likely
    /// to help.
    #[inline]
    pub(super) fn spin(&mut self, timeout: Option<Duration>, is_called: impl Fn() -> bool) -> bool {
        if !self.spin.is_wanted() {
            return false;
        }
        // The wait that follows reports what cannot be submitted now.
        if self.poll().is_err() {
            return false;
        }
        if self.ring.has_completions() {
            return true;
        }
        let found = self.spin_until(timeout, is_called);
        self.spin.spun(found);
        found
    }

    fn spin_until(&self, timeout: Option<Duration>, is_called: impl Fn() -> bool) -> bool {
        let time = timeout.map_or(SPIN, |timeout| timeout.min(SPIN));
        let end = clock::nanos() + time.as_nanos() as u64;
        loop {
            for _ in 0..LOADS_PER_CLOCK {
                let hints = self.ring.hints();
                if hints.taskrun || hints.overflow || self.ring.has_completions() || is_called() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if clock::nanos() >= end {
                return false;
            }
        }
    }

    fn reap(&mut self, out: &mut Vec<Completion>) {
        let (mut woken, mut notified) = (false, false);
        for entry in self.ring.completions() {
            let bits = entry.user_data();
            if bits == NOTIFIED {
                notified = true;
                continue;
            }
            if bits & INTERNAL != 0 {
                self.internal -= 1;
                woken |= bits == WAKE;
                continue;
            }
            let token = Token::from_bits(bits);
            let outcome = Outcome::from_raw(entry.result());
            let is_polled = !self.polled.is_empty() && self.polled.contains(&token);
            if is_polled || may_be_unfinished(outcome) {
                self.unfinished.push((token, outcome));
                continue;
            }
            self.ops[token.slot()] = None;
            if !self.asked.is_empty() {
                self.asked.remove(&token);
            }
            self.cursors.correct(token, outcome.raw());
            self.in_flight -= 1;
            out.push(Completion { token, outcome });
        }
        if !self.unfinished.is_empty() {
            self.finish_or_go_on(out);
        }
        if woken || notified {
            self.wake.clear();
            if woken && !self.closing {
                self.arm_wake();
            }
        }
    }

    #[inline]
    pub(super) fn has_work(&self) -> bool {
        let hints = self.ring.hints();
        let is_quiet = hints.queued == 0 && !hints.overflow && !hints.taskrun;
        !is_quiet || self.ring.has_completions() || !self.backlog.is_empty()
    }

    /// Returns the ring's shared part, for notifiers.
    pub(super) fn event(&self) -> &Arc<EventFd> {
        &self.wake
    }

    pub(super) fn drain(&mut self, out: &mut Vec<Completion>) {
        // This is a copy in a child of fork(2), which owns neither the ring nor the operations.
        if self.ring.is_foreign() {
            return;
        }
        self.closing = true;
        self.asked.clear();
        let mut ask_at = 0;
        while self.in_flight + self.internal > 0 {
            if clock::until(ask_at) == Duration::ZERO {
                ask_at = clock::nanos() + ASK_AGAIN;
                self.push_internal(prepare::cancel_all().user_data(CANCEL));
            }
            let result = self.wait(Some(clock::until(ask_at)), out);
            if self.lost || result.is_err() {
                eprintln!(
                    "overlapped: {} operations are in flight and io_uring cannot say when they \
                     end ({result:?}): aborting, because it may still write to their memory",
                    self.in_flight
                );
                std::process::abort();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn ring_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.ring.fd()
    }

    /// Tells whether operations that were asked to end have not ended.
    #[cfg(test)]
    pub(super) fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Counts the times when completions did not fit into the ring.
    #[cfg(test)]
    pub(super) fn overflows(&self) -> u64 {
        self.overflows
    }
}

/// Tells whether `outcome` may be that of an operation which has not ended. This is on the hot
/// path, where most outcomes are values.
#[inline]
fn may_be_unfinished(outcome: Outcome) -> bool {
    let raw = outcome.raw();
    raw < 0 && (outcome.would_block() || outcome.is_cancelled() || errno::is_under_way(raw))
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.drain(&mut Vec::new());
        let is_idle = self.in_flight + self.internal == 0;
        assert!(is_idle || self.ring.is_foreign(), "the ring is closed with operations in flight");
        // SAFETY: made by `Box::into_raw` and freed nowhere else; the read into it was reaped, or
        // is another process's.
        drop(unsafe { Box::from_raw(self.wake_count) });
    }
}

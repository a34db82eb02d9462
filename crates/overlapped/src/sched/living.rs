//! Living tasklets: from [`Sched::adopt`], which takes a new one in, to `unlist`, which lets go of
//! one that has ended or was abandoned. The scheduler has a reference to each.
//!
//! A signal handler walks their list, so its links are written in order (`observer/describe`).

use std::sync::Arc;

use super::state::FIRST_ID;
use super::tasklet::order_for_handler;
use super::{Ending, RemoteLink, Sched, Tcb, TcbPtr, release};

impl Sched {
    /// Takes in a new tasklet and queues it at the end, with the caller's reference. In a shutdown
    /// it is killed before it starts.
    #[inline]
    pub(crate) fn adopt(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        #[cfg(debug_assertions)]
        block.home.set(std::ptr::from_ref(self).addr());
        block.killed.set(self.ending.get());
        let old = self.all.get();
        block.all_next.set(old);
        if let Some(old) = old {
            self.block(old).all_prev.set(Some(tcb));
        }
        order_for_handler();
        self.all.set(Some(tcb));
        self.live.set(self.live.get() + 1);
        self.spawned.set(self.spawned.get() + 1);
        self.ready.push_back(tcb);
    }

    /// Takes in a new tasklet after the grace time: the calling tasklet drops its closure at once.
    /// If that spawns again, the next closure is leaked, so destructors that spawn for ever come to
    /// an end.
    #[cold]
    pub(crate) fn adopt_late(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        if self.drops_late.replace(true) {
            return block.ending.set(Ending::Abandoned);
        }
        block.killed.set(true);
        // SAFETY: the tasklet has not run and is in no queue, so this is its only run.
        unsafe { (block.vtable.run)(tcb) };
        self.drops_late.set(false);
        // SAFETY: this is the scheduler's reference; no queue or list names the block.
        unsafe { release(tcb) };
    }

    /// Tells whether a tasklet that is spawned now comes too late to run.
    #[inline]
    pub(crate) fn is_late(&self) -> bool {
        self.ending.get() && self.late.get()
    }

    /// Tells whether one more tasklet may be spawned.
    #[inline(always)]
    pub(crate) fn has_room(&self) -> bool {
        self.live.get() < self.config.tasklets_max
    }

    /// Tells whether `block` is the tasklet that `run` was given.
    pub(crate) fn is_first(&self, block: &Tcb) -> bool {
        self.member == 0 && block.id == FIRST_ID
    }

    /// Returns the block of a living tasklet.
    #[inline]
    pub(crate) fn block(&self, tcb: TcbPtr) -> &Tcb {
        // SAFETY: every pointer that the scheduler keeps is to a tasklet that it holds a reference
        // to, and it forgets the pointer before it gives that reference back.
        unsafe { &*tcb.as_ptr() }
    }

    /// Asserts, in debug builds, that a living tasklet which the caller has a handle to, or has met
    /// in a queue, is this scheduler's. `hub.rs` says why it is.
    #[inline(always)]
    pub(crate) fn assert_ours(&self, block: &Tcb) {
        #[cfg(debug_assertions)]
        assert_eq!(block.home.get(), std::ptr::from_ref(self).addr(), "another scheduler's");
        let _ = block;
    }

    /// Calls `f` for every living tasklet, the youngest first.
    pub(crate) fn each(&self, mut f: impl FnMut(TcbPtr, &Tcb)) {
        let mut at = self.all.get();
        while let Some(tcb) = at {
            let block = self.block(tcb);
            at = block.all_next.get();
            f(tcb, block);
        }
    }

    /// Takes a tasklet out of the list of the living.
    pub(super) fn unlist(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        let (prev, next) = (block.all_prev.take(), block.all_next.get());
        match prev {
            Some(prev) => self.block(prev).all_next.set(next),
            None => self.all.set(next),
        }
        order_for_handler();
        block.all_next.set(None);
        if let Some(next) = next {
            self.block(next).all_prev.set(prev);
        }
        self.live.set(self.live.get() - 1);
    }

    /// Returns what a living tasklet shares with its handles in other threads.
    pub(crate) fn remote_link(&self, tcb: TcbPtr) -> Arc<RemoteLink> {
        let block = self.block(tcb);
        let mut remotes = self.remotes.borrow_mut();
        let token = block.extra(|extra| extra?.remote);
        let token = token.unwrap_or_else(|| match remotes.insert((tcb, None)) {
            Ok(token) => {
                block.extra_or_new(|extra| extra.remote = Some(token));
                token
            }
            Err(_) => unreachable!("the table of remotes has no limit of its own"),
        });
        let (_, link) = remotes.get_mut(token).expect("a living tasklet's entry");
        let new = || Arc::new(RemoteLink::new(Arc::clone(&self.inbox), token));
        Arc::clone(link.get_or_insert_with(new))
    }
}

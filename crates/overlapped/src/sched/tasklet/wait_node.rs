//! Wait nodes: the entries by which a tasklet waits for others; the queues of a channel and the
//! state of a select, which link them.
//!
//! A tasklet that waits for one event uses the wait node in its control block (the first field). A
//! select waits for several events at once, so it brings a node for each of its alternatives:
//!
//! ```text
//!   channel ─▶ WaitNode ⊂ Tcb                       a plain send or receive
//!   channel ─▶ WaitNode ⊂ Alternative ─▶ SelectState ─▶ Tcb
//!   joined  ─▶ WaitNode ⊂ Alternative ───▲           one select
//!   ring    ─▶ WaitNode ⊂ Alternative ───┘
//! ```
//!
//! [`SelectState`] and its alternatives lie in the frame of the select. The event that happens
//! first decides the select: all other nodes are unlinked in the same step, so nothing meets them
//! any more. Only an operation in flight cannot be left at once (terminal completion first): it is
//! cancelled, and the select goes on when it has ended. Until then the select is *decided*, and
//! nothing changes it.
//!
//! Nothing here knows a control block. A node names its tasklet, whose block it begins: `block.rs`
//! turns one pointer into the other.

use std::cell::Cell;
use std::ptr::NonNull;

use super::queue::{Linked, Links, Queue};
use crate::op::{Outcome, Token};
use crate::sys::descriptor::Raw;

/// A pointer to a wait node, with the provenance of the whole block or alternative that it begins.
pub(crate) type WaitNodePtr = NonNull<WaitNode>;

/// An entry in a queue of waiters; the first field of its owner.
#[repr(C)]
pub(crate) struct WaitNode {
    links: Links,
    /// The place of the value for a channel partner: an `Option<T>`.
    pub(crate) slot: Cell<*mut ()>,
    in_select: bool,
}

// SAFETY: the links are the first field.
unsafe impl Linked for WaitNode {}

impl WaitNode {
    /// Makes the node of a control block.
    #[inline(always)]
    pub(super) fn new_in_tasklet() -> WaitNode {
        WaitNode {
            links: Links::default(),
            slot: Cell::new(std::ptr::null_mut()),
            in_select: false,
        }
    }

    /// Tells whether the node begins an [`Alternative`], not a control block.
    #[inline(always)]
    pub(in crate::sched) fn is_in_select(&self) -> bool {
        self.in_select
    }
}

/// The node that is completed when something has ended; one at most.
pub(crate) type JoinWaiter = Cell<Option<WaitNodePtr>>;

/// The wait nodes in one channel: of senders or of receivers. Both queues have entries only where
/// one select waits to send and to receive.
#[derive(Default)]
pub(crate) struct WaitQueue {
    senders: Queue<WaitNode>,
    receivers: Queue<WaitNode>,
    /// The channel's name, for deadlock reports and dumps.
    name: Option<Box<str>>,
}

impl WaitQueue {
    /// Makes the empty queues of a channel with this name.
    pub(crate) fn named(name: Box<str>) -> WaitQueue {
        WaitQueue { name: Some(name), ..WaitQueue::default() }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the queue of senders, or that of receivers.
    #[inline(always)]
    pub(crate) fn side(&self, sending: bool) -> &Queue<WaitNode> {
        if sending { &self.senders } else { &self.receivers }
    }
}

/// The reason why a suspended tasklet goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The event that it waited for has happened.
    Done,
    /// Its deadline passed.
    TimedOut,
    /// It was killed.
    Killed,
    /// Nothing is left that could wake it.
    Deadlock,
    /// Its channel was closed.
    Closed,
}

/// The place where an alternative is registered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Registration {
    /// Not registered yet, or not any more.
    None,
    /// In a channel.
    Channel { queue: NonNull<WaitQueue>, sending: bool },
    /// For the end of the tasklet with this id.
    Join { joiner: NonNull<JoinWaiter>, id: u64 },
    /// For an operation's completion.
    Op { token: Token, name: &'static str, fd: Raw },
}

/// One alternative of a select.
#[repr(C)]
pub(crate) struct Alternative {
    pub(crate) node: WaitNode,
    pub(crate) registration: Cell<Registration>,
    /// The outcome of its operation.
    pub(crate) outcome: Cell<Outcome>,
    select: Cell<Option<NonNull<SelectState>>>,
    next: Cell<Option<NonNull<Alternative>>>,
}

impl Alternative {
    pub(crate) fn new() -> Alternative {
        Alternative {
            node: WaitNode {
                links: Links::default(),
                slot: Cell::new(std::ptr::null_mut()),
                in_select: true,
            },
            registration: Cell::new(Registration::None),
            outcome: Cell::new(Outcome::DONE),
            select: Cell::new(None),
            next: Cell::new(None),
        }
    }

    /// Returns its node, for registration.
    pub(crate) fn as_node(&self) -> WaitNodePtr {
        NonNull::from(self).cast()
    }

    /// Returns the state of its select.
    pub(crate) fn select(&self) -> &SelectState {
        match self.select.get() {
            // SAFETY: a registered alternative belongs to a select, whose frame stays until all of
            // its alternatives are unlinked.
            Some(select) => unsafe { select.as_ref() },
            None => unreachable!("a registered alternative belongs to a select"),
        }
    }
}

/// The state of one select, while it waits.
pub(crate) struct SelectState {
    /// The node in the block of the tasklet that waits.
    pub(in crate::sched) owner: WaitNodePtr,
    first: Cell<Option<NonNull<Alternative>>>,
    /// The alternative that happened; `None` if the wait ended otherwise.
    pub(crate) happened: Cell<Option<NonNull<Alternative>>>,
    /// The reason of the decision: the tasklet goes on with it when the last of its operations has
    /// ended.
    pub(crate) decided: Cell<Option<Wake>>,
    /// The number of operations whose completions are due.
    pub(crate) in_flight: Cell<usize>,
}

impl SelectState {
    pub(crate) fn new(owner: WaitNodePtr) -> SelectState {
        SelectState {
            owner,
            first: Cell::new(None),
            happened: Cell::new(None),
            decided: Cell::new(None),
            in_flight: Cell::new(0),
        }
    }

    /// Adds an alternative, before it is registered anywhere.
    ///
    /// # Safety
    /// Neither value moves, is dropped or is borrowed uniquely while this state exists.
    pub(crate) unsafe fn add(&self, alternative: &Alternative) {
        alternative.select.set(Some(NonNull::from(self)));
        alternative.next.set(self.first.replace(Some(NonNull::from(alternative))));
    }

    /// Calls `f` for each alternative, the last one first.
    pub(crate) fn each(&self, mut f: impl FnMut(&Alternative)) {
        let mut at = self.first.get();
        while let Some(alternative) = at {
            // SAFETY: `add`'s caller keeps the alternative in its place.
            let alternative = unsafe { alternative.as_ref() };
            at = alternative.next.get();
            f(alternative);
        }
    }
}

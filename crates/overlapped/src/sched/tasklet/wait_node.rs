//! Wait nodes: the entries by which a tasklet waits for others.
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
//! any more. Only an operation in flight cannot be given up at once (terminal completion first): it
//! is cancelled, and the select goes on when it has ended. Until then the select is *decided*, and
//! nothing changes it.

use std::cell::Cell;
use std::ptr::NonNull;

use super::queue::{Linked, Links};
use super::{Tcb, TcbPtr, Wake};
use crate::op::{Outcome, Token};
use crate::sched::WaitQueue;

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

/// The owner of a wait node.
pub(crate) enum NodeOwner {
    Tasklet(TcbPtr),
    Select(NonNull<Alternative>),
}

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

    /// Returns the owner.
    #[inline(always)]
    pub(crate) fn owner(node: WaitNodePtr) -> NodeOwner {
        // SAFETY: a node that others can reach belongs to a waiting tasklet, so its owner lives.
        if unsafe { node.as_ref() }.in_select {
            NodeOwner::Select(node.cast())
        } else {
            NodeOwner::Tasklet(node.cast())
        }
    }
}

/// Returns the node in a tasklet's control block.
#[inline(always)]
pub(crate) fn node_of(tcb: TcbPtr) -> WaitNodePtr {
    tcb.cast()
}

/// The node that is completed when something has ended; one at most.
pub(crate) type JoinWaiter = Cell<Option<WaitNodePtr>>;

/// The place where an alternative is registered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Registration {
    /// Not registered yet, or not any more.
    None,
    /// In a channel.
    Channel { queue: NonNull<WaitQueue>, sending: bool },
    /// For another tasklet's end.
    Join(TcbPtr),
    /// For an operation's completion.
    Op { token: Token, name: &'static str, fd: i32 },
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
    pub(crate) owner: TcbPtr,
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
    pub(crate) fn new(owner: TcbPtr) -> SelectState {
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

// SAFETY: a node is a block's first field, and the links are a node's.
unsafe impl Linked for Tcb {}

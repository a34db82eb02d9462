//! The state that the tasklets of a program share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use overlapped::sync::mpsc::{self, Receiver};
use overlapped::task::{Remote, Spawner};
use overlapped::{Channel, Handover, Tasklet};

use crate::actions::files::Files;
use crate::actions::locks::Locks;
use crate::actions::packets::Packets;
use crate::actions::streams::Streams;
use crate::ledger::{Ledger, Value};
use crate::plan::{End, Plan};
use crate::support::Rng;

/// The maximum number of tasklets of one program.
const TASKLETS_MAX: usize = 200;
/// The maximum number of actions.
const ACTIONS_MAX: i64 = 1_500;
/// The maximum number of handles that are kept.
const HANDLES_MAX: usize = 24;

/// The state that all threads of a program share.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) locks: Locks,
    pub(crate) senders: Mutex<Vec<Sending>>,
    /// The receiving ends of worlds that have ended.
    pub(crate) left: Mutex<Vec<Receiver<Value>>>,
    pub(crate) remotes: Mutex<Vec<(Remote, Arc<Fate>)>>,
    pub(crate) spawners: Mutex<Vec<Spawner>>,
    /// The first tasklet is about to end, and the remaining ones may be killed.
    pub(crate) is_ending: AtomicBool,
    left_to_do: AtomicI64,
    tasklets: AtomicUsize,
    ids: AtomicU64,
}

/// A sending end of a queue between threads.
#[derive(Clone)]
pub(crate) enum Sending {
    Unbounded(mpsc::Sender<Value>),
    Bounded(mpsc::SyncSender<Value>),
}

impl Shared {
    pub(crate) fn new(plan: Plan, rng: &mut Rng) -> Arc<Shared> {
        Arc::new(Shared {
            plan,
            ledger: Ledger::new(),
            locks: Locks::new(rng),
            senders: Mutex::default(),
            left: Mutex::default(),
            remotes: Mutex::default(),
            spawners: Mutex::default(),
            is_ending: AtomicBool::new(false),
            left_to_do: AtomicI64::new(ACTIONS_MAX),
            tasklets: AtomicUsize::new(0),
            ids: AtomicU64::new(1),
        })
    }

    pub(crate) fn value(&self) -> Value {
        self.ledger.value()
    }

    /// Returns a number that is used once.
    pub(crate) fn id(&self) -> u64 {
        self.ids.fetch_add(1, SeqCst)
    }

    /// Tells whether there may be one more action.
    pub(crate) fn may_act(&self) -> bool {
        self.left_to_do.fetch_sub(1, SeqCst) > 0
    }

    pub(crate) fn actions(&self) -> u64 {
        (ACTIONS_MAX - self.left_to_do.load(SeqCst).max(0)) as u64
    }

    /// Tells whether there may be one more tasklet.
    pub(crate) fn may_spawn(&self) -> bool {
        self.tasklets.fetch_add(1, SeqCst) < TASKLETS_MAX
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(SeqCst)
    }

    pub(crate) fn abandons(&self) -> bool {
        self.plan.end == End::Abandoned
    }
}

/// The record of a tasklet: what others have done to it, and what it has done.
#[derive(Default)]
pub(crate) struct Fate {
    pub(crate) id: u64,
    pub(crate) is_killed: AtomicBool,
    pub(crate) may_panic: AtomicBool,
    /// The number of the value that it returned, plus one.
    pub(crate) returned: AtomicUsize,
}

/// A handle that any tasklet of its scheduler may use.
pub(crate) struct Handle {
    pub(crate) tasklet: Tasklet<Value>,
    pub(crate) fate: Arc<Fate>,
}

/// The state that the tasklets of one scheduler share.
pub(crate) struct World {
    pub(crate) shared: Arc<Shared>,
    pub(crate) channels: Vec<Channel<Value>>,
    pub(crate) queues: Vec<Receiver<Value>>,
    pub(crate) handles: RefCell<Vec<Rc<Handle>>>,
    pub(crate) streams: Streams,
    pub(crate) packets: Packets,
    pub(crate) files: Files,
    /// A tasklet exists that drops what others have left.
    pub(crate) is_directed: Cell<bool>,
}

const HANDOVERS: [Handover; 4] =
    [Handover::Receiver, Handover::Sender, Handover::Neither, Handover::Yield];

impl World {
    pub(crate) fn new(shared: &Arc<Shared>, rng: &mut Rng) -> Rc<World> {
        let channel = |_| Channel::with_handover(HANDOVERS[rng.below(4)]);
        let channels = (0..3).map(channel).collect();
        let mut queues = Vec::new();
        let mut senders = shared.senders.lock().unwrap();
        let (sender, receiver) = mpsc::channel();
        senders.push(Sending::Unbounded(sender));
        queues.push(receiver);
        let (sender, receiver) = mpsc::sync_channel(rng.below(3));
        senders.push(Sending::Bounded(sender));
        queues.push(receiver);
        drop(senders);
        Rc::new(World {
            shared: shared.clone(),
            channels,
            queues,
            handles: RefCell::default(),
            streams: Streams::default(),
            packets: Packets::default(),
            files: Files::default(),
            is_directed: Cell::new(false),
        })
    }

    /// Keeps a handle; it replaces another one if there are many.
    pub(crate) fn keep(&self, handle: Handle, rng: &mut Rng) {
        let mut handles = self.handles.borrow_mut();
        let old = match handles.len() {
            HANDLES_MAX.. => Some(handles.swap_remove(rng.below(HANDLES_MAX))),
            _ => None,
        };
        handles.push(Rc::new(handle));
        drop(handles);
        drop(old);
    }

    pub(crate) fn some_handle(&self, rng: &mut Rng) -> Option<Rc<Handle>> {
        let handles = self.handles.borrow();
        (!handles.is_empty()).then(|| handles[rng.below(handles.len())].clone())
    }
}

impl Drop for World {
    /// All tasklets of this world have ended.
    fn drop(&mut self) {
        self.streams.settle();
        self.packets.settle();
        self.shared.left.lock().unwrap().append(&mut self.queues);
    }
}

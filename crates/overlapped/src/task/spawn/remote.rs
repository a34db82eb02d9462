//! Handles for other threads.

use std::fmt;
use std::sync::Arc;

use super::TaskletId;
use crate::sched::{Line, Tcb, TcbPtr, here};

/// A handle to a tasklet for any thread: `Send`, `Sync`, cheap to clone. It outlives the tasklet
/// and its scheduler; then it does nothing.
#[derive(Clone)]
pub struct Remote {
    /// `None`: it was over already.
    handle: Option<Handle>,
    id: u64,
    name: Option<Box<str>>,
}

/// A counted way to a tasklet: as long as there is one, somebody outside could kill it.
struct Handle(Arc<Line>);

impl Handle {
    fn new(line: Arc<Line>) -> Handle {
        line.add_handle();
        Handle(line)
    }
}

impl Clone for Handle {
    fn clone(&self) -> Handle {
        Handle::new(Arc::clone(&self.0))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.remove_handle();
    }
}

/// The handle of a tasklet of this thread.
pub(super) fn remote_of(tcb: TcbPtr, block: &Tcb) -> Remote {
    let (id, name) = (block.id, block.name().map(String::into_boxed_str));
    let Some(here) = here().filter(|_| !block.is_over()) else {
        return Remote { handle: None, id, name };
    };
    here.assert_ours(block);
    let known = block.extra(|extra| extra?.line.clone());
    let line = known.unwrap_or_else(|| {
        let Ok(token) = here.remotes.borrow_mut().insert(tcb) else {
            unreachable!("the table of remotes has no limit of its own")
        };
        let line = Arc::new(Line::new(Arc::clone(&here.inbox), token));
        block.extra_or_new(|extra| extra.line = Some(Arc::clone(&line)));
        line
    });
    Remote { handle: Some(Handle::new(line)), id, name }
}

impl Remote {
    /// Asks the tasklet to end, as [`Tasklet::kill`](super::Tasklet::kill) does.
    pub fn kill(&self) {
        if let Some(handle) = &self.handle {
            handle.0.kill();
        }
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(|handle| handle.0.is_over())
    }

    /// The tasklet's number.
    pub fn id(&self) -> TaskletId {
        TaskletId(self.id)
    }

    /// The tasklet's name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("id", &self.id).field("name", &self.name).finish()
    }
}

//! Handles for other threads.

use std::fmt;
use std::sync::Arc;

use super::TaskletId;
use crate::sched::{RemoteLink, Tcb, TcbPtr, here};

/// A handle to a tasklet for any thread: `Send`, `Sync`, cheap to clone. It outlives the tasklet
/// and its scheduler, and then does nothing.
#[derive(Clone)]
pub struct Remote {
    /// `None`: the tasklet was over already.
    handle: Option<Handle>,
    id: u64,
    name: Option<Box<str>>,
}

/// A counted handle: as long as there is one, another thread could kill the tasklet.
struct Handle(Arc<RemoteLink>);

impl Handle {
    fn new(link: Arc<RemoteLink>) -> Handle {
        link.add_handle();
        Handle(link)
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

/// Makes the handle of a tasklet of this thread.
pub(super) fn remote_of(tcb: TcbPtr, block: &Tcb) -> Remote {
    let (id, name) = (block.id, block.name().map(String::into_boxed_str));
    let Some(here) = here().filter(|_| !block.is_over()) else {
        return Remote { handle: None, id, name };
    };
    here.assert_ours(block);
    Remote { handle: Some(Handle::new(here.remote_link(tcb))), id, name }
}

impl Remote {
    /// Asks the tasklet to end, as [`Tasklet::kill`](super::Tasklet::kill) does.
    pub fn kill(&self) {
        if let Some(handle) = &self.handle {
            handle.0.kill();
        }
    }

    /// Tells whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(|handle| handle.0.is_over())
    }

    /// Returns the tasklet's number.
    pub fn id(&self) -> TaskletId {
        TaskletId(self.id)
    }

    /// Returns the tasklet's name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("id", &self.id).field("name", &self.name).finish()
    }
}

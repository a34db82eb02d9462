//! Process groups of all scripts that run, for a process that ends without its runs' ends.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, MutexGuard, RwLock};

use overlapped::process::{Child, Command};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::locks::IgnorePoison;

/// Tells whether scripts may be started. Held for reading from before a start until the script is
/// among the [`groups`], so that none is missed.
static OPEN: RwLock<bool> = RwLock::new(true);

/// Groups whose leaders have not been released: their numbers are nobody else's.
static GROUPS: Mutex<Option<HashSet<u32>>> = Mutex::new(None);

fn groups() -> MutexGuard<'static, Option<HashSet<u32>>> {
    GROUPS.lock().ignore_poison()
}

/// Kills all scripts of this process, their whole groups, and has no more started: for a process
/// that is about to end at once, as at a second Ctrl-C, without the destructors that would do it.
///
/// From any thread, but not from a signal's handler.
pub fn kill_scripts() {
    *OPEN.write().ignore_poison() = false;
    for group in groups().iter().flatten() {
        if let Some(pid) = i32::try_from(*group).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Starts a leader of a group. It waits for nobody: the guard is never held across a switch.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let open = OPEN.read().ignore_poison();
    if !*open {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let child = command.spawn()?;
    groups().get_or_insert_default().insert(child.id());
    Ok(child)
}

/// Forgets a group that has been killed, before its leader is released.
pub(super) fn forget(child: &Child) {
    if let Some(groups) = &mut *groups() {
        groups.remove(&child.id());
    }
}

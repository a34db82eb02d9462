//! The process groups of running scripts, for a process that ends without the ends of its runs.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, MutexGuard, RwLock};

use overlapped::process::{Child, Command};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::locks::IgnorePoison;

/// True if scripts may be started. It is locked for reading from before a start until the script is
/// among the [`groups`], so that none is missed.
static MAY_START: RwLock<bool> = RwLock::new(true);

/// The groups whose leaders were not reaped, so that their numbers cannot be reused.
static GROUPS: Mutex<Option<HashSet<u32>>> = Mutex::new(None);

fn groups() -> MutexGuard<'static, Option<HashSet<u32>>> {
    GROUPS.lock().ignore_poison()
}

/// Kills all scripts of this process with their whole groups, and prevents further ones. It is for
/// a process that ends at once, as at a second Ctrl-C, without the destructors that would do it.
///
/// It may be called from any thread, but not from a signal handler.
pub fn kill_scripts() {
    *MAY_START.write().ignore_poison() = false;
    for group in groups().iter().flatten() {
        if let Some(pid) = i32::try_from(*group).ok().and_then(Pid::from_raw) {
            // The script may have ended by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Starts the leader of a group. It does not wait, so the guard is never held across a switch.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let may_start = MAY_START.read().ignore_poison();
    if !*may_start {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let child = command.spawn()?;
    groups().get_or_insert_default().insert(child.id());
    Ok(child)
}

/// Removes a group that was killed, before its leader is reaped.
pub(super) fn remove(child: &Child) {
    if let Some(groups) = &mut *groups() {
        groups.remove(&child.id());
    }
}

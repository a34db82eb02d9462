//! This process: the core that it is pinned to, its limits, and its death with its parent.

use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;

/// The core of the subject: of its server, or of its tasks.
pub(crate) const SERVER_CORE: usize = 0;
/// The core of the load.
pub(crate) const LOAD_CORE: usize = 1;

/// Counts the cores that this process may use.
pub(crate) fn cores() -> usize {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize)
}

/// Pins the calling thread, and with it every thread and process that it starts later. It stays
/// where it is if there are fewer cores than needed: [`crate::rounds`] has then printed a warning.
pub(crate) fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

/// Asks the kernel to kill this process when the thread that started it ends, so that no server
/// outlives a run that is interrupted.
pub(crate) fn die_with_parent() {
    // Only a convenience on interruption, so a refusal is no error.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
}

/// Raises the limit of descriptors. A thousand connections need more than the usual soft limit of
/// 1024, and ten thousand more than many a hard limit, which root may raise.
pub(crate) fn raise_descriptor_limit() {
    const ENOUGH: u64 = 1 << 16;
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let set = |most: Option<u64>| {
        let limit = Rlimit { current: most, maximum: most };
        rustix::process::setrlimit(Resource::Nofile, limit).is_ok()
    };
    // After a refusal, the connection that is too many fails with EMFILE.
    let _ = hard.is_some_and(|hard| hard < ENOUGH) && set(Some(ENOUGH)) || set(hard);
}

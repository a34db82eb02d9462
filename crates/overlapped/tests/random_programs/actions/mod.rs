//! The actions of a program's tasklets: one function each.

pub(crate) mod channels;
pub(crate) mod files;
pub(crate) mod locks;
pub(crate) mod modes;
pub(crate) mod packets;
pub(crate) mod streams;
mod tasks;
pub(crate) mod threads;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::actor::Actor;
use channels::queues;

/// One action of a tasklet.
pub(crate) struct Action {
    pub(crate) name: &'static str,
    pub(crate) perform: fn(&mut Actor),
    /// The action may wait until another tasklet kills its tasklet.
    pub(crate) may_wait_long: bool,
    /// The action never waits, so it can be done inside `no_switch`.
    pub(crate) never_waits: bool,
    /// The action contains other actions.
    pub(crate) holds_others: bool,
    /// Only tasklets of this scheduler, or time, can end the action's waits, so deadlock reports
    /// stay possible.
    pub(crate) among_tasklets: bool,
    /// The action is part of every program.
    pub(crate) always: bool,
    /// The number of times that the action was done, in all programs.
    pub(crate) times: AtomicU64,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn plain(name: &'static str, perform: fn(&mut Actor)) -> Action {
    Action {
        name,
        perform,
        may_wait_long: false,
        never_waits: false,
        holds_others: false,
        among_tasklets: false,
        always: false,
        times: AtomicU64::new(0),
    }
}

impl Action {
    const fn long(mut self) -> Action {
        self.may_wait_long = true;
        self
    }

    const fn still(mut self) -> Action {
        self.never_waits = true;
        self
    }

    const fn holding(mut self) -> Action {
        self.holds_others = true;
        self
    }

    const fn among_tasklets(mut self) -> Action {
        self.among_tasklets = true;
        self
    }

    const fn always(mut self) -> Action {
        self.always = true;
        self
    }
}

/// All actions.
pub(crate) static ALL: [Action; 69] = [
    plain("yield", tasks::give_way).among_tasklets().always(),
    plain("spawn", tasks::spawn).among_tasklets().still().always(),
    plain("join", tasks::join).among_tasklets().still(),
    plain("kill", tasks::kill).among_tasklets().still(),
    plain("kill oneself", tasks::kill_oneself).among_tasklets().still(),
    plain("sleep", tasks::sleep).among_tasklets(),
    plain("pause", tasks::pause).among_tasklets().long(),
    plain("pause another", tasks::pause_another).among_tasklets().long(),
    plain("resume", tasks::resume).among_tasklets().still(),
    plain("run now", tasks::run_now).among_tasklets().still(),
    plain("scope", tasks::scope).among_tasklets().holding(),
    plain("group", tasks::group).among_tasklets().holding(),
    plain("map", tasks::map).among_tasklets().holding(),
    plain("wait for any", tasks::wait_any).among_tasklets().holding(),
    plain("wait for all", tasks::wait_all).among_tasklets().holding(),
    plain("block on", tasks::block_on).holding(),
    plain("poll", tasks::poll).among_tasklets().holding(),
    plain("panic", modes::panic).among_tasklets(),
    plain("catch", modes::catch).among_tasklets().holding(),
    plain("shield", modes::shield).among_tasklets().holding(),
    plain("kill as error", modes::kill_as_error).among_tasklets().holding(),
    plain("deadline", modes::deadline).among_tasklets().holding(),
    plain("no switch", modes::no_switch).among_tasklets().holding(),
    plain("local", modes::local).among_tasklets().holding(),
    plain("inspect", modes::inspect).among_tasklets().still(),
    plain("bomb", modes::bomb).among_tasklets().still(),
    plain("send", channels::send).among_tasklets(),
    plain("receive", channels::receive).among_tasklets(),
    plain("try to send", channels::try_send).among_tasklets().still(),
    plain("try to receive", channels::try_receive).among_tasklets().still(),
    plain("send all", channels::send_all).among_tasklets(),
    plain("close", channels::close).among_tasklets().still(),
    plain("hand over", channels::set_handover).among_tasklets().still(),
    plain("select", channels::select).among_tasklets(),
    plain("queue", queues::send),
    plain("try to queue", queues::try_send).still(),
    plain("dequeue", queues::receive),
    plain("try to dequeue", queues::try_receive).still(),
    plain("one shot", queues::oneshot),
    plain("mutex", locks::mutex).holding(),
    plain("try mutex", locks::try_mutex).still(),
    plain("read lock", locks::read).holding(),
    plain("write lock", locks::write).holding(),
    plain("permits", locks::permits).holding(),
    plain("permits in time", locks::permits_in_time).holding(),
    plain("condition", locks::condition),
    plain("barrier", locks::barrier).long(),
    plain("event", locks::event),
    plain("once", locks::once).holding(),
    plain("connect", streams::connect),
    plain("pair", streams::pair),
    plain("read", streams::read),
    plain("write", streams::write),
    plain("look", streams::peek),
    plain("shut down", streams::shut_down),
    plain("datagram", packets::send),
    plain("receive datagram", packets::receive),
    plain("read file", files::read_at_cursor),
    plain("read file somewhere", files::read_at),
    plain("write file", files::write_at),
    plain("whole file", files::whole),
    plain("copy", files::copy),
    plain("child", files::child),
    plain("standard output", files::standard_output),
    plain("unblock", threads::unblock).among_tasklets(),
    plain("place", threads::place).holding(),
    plain("spawner", threads::by_spawner).still(),
    plain("remote", threads::by_remote).still(),
    plain("stay", threads::stay).long(),
];

/// Returns the action that was done least often, and the number of times.
pub(crate) fn rarest() -> (&'static str, u64) {
    let times = |action: &&Action| action.times.load(Relaxed);
    ALL.iter().min_by_key(times).map_or(("none", 0), |action| (action.name, times(&action)))
}

/// Does one of the things that the first tasklet of a scheduler does to others.
pub(crate) fn direct(me: &mut Actor) {
    let all: [fn(&mut Actor); 5] =
        [tasks::spawn, tasks::kill, tasks::resume, tasks::run_now, tasks::join];
    all[me.rng.below(all.len())](me);
}

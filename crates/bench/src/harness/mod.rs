//! What every suite needs, and no subject knows: child processes, rounds, statistics, output,
//! and the instruments (memory, the echo load, the system call counter).

pub(crate) mod child;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod report;
pub(crate) mod rounds;
pub(crate) mod server;
pub(crate) mod stats;
pub(crate) mod syscalls;

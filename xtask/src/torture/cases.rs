//! The dangers that are tested, as data.

use super::checked::Tool;
use crate::port::Port;

/// One danger.
#[derive(Debug)]
pub(crate) struct Case {
    /// Its number, with which the names of its tests begin: `p1_…`.
    pub(crate) id: &'static str,
    /// The promise that holds in spite of it.
    pub(crate) promise: &'static str,
    /// The ports on which it can occur.
    pub(crate) ports: &'static [Port],
    /// The program that tests it.
    pub(crate) answer: Answer,
}

/// The program that tests a danger.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Tests that print `RELIABILITY <id> <checks> <figure>`.
    Tests,
    /// The whole suite while the kernel refuses io_uring with each of these errors.
    SuiteWithout(&'static [&'static str]),
    /// Tests of the library, under a tool that watches memory.
    Under(Tool),
    /// The tests that depend on the processor, on 64-bit Arm.
    Emulated,
    /// The tests of the library that Windows has, run by Wine.
    Wine,
    /// One test program of the library, in two builds: with debug assertions, and under
    /// AddressSanitizer. It prints the same line as `Tests`.
    Watched(&'static str),
    /// std's own tests and examples, over the library.
    StdTests,
    /// Others' suites, with tasklets in the place of threads.
    Suites,
    /// A fuzzer, for a while on each of these targets.
    Fuzzers(&'static [&'static str]),
}

const BOTH: &[Port] = &[Port::Uring, Port::Poll];

const fn both(id: &'static str, promise: &'static str) -> Case {
    Case { id, promise, ports: BOTH, answer: Answer::Tests }
}

const fn uring(id: &'static str, promise: &'static str) -> Case {
    Case { id, promise, ports: &[Port::Uring], answer: Answer::Tests }
}

/// Every case, in the order of the table.
pub(crate) const CASES: &[Case] = &[
    both("P1", "A cancel that races with data ends in exactly one completion and loses no byte."),
    both("P2", "A killed tasklet's buffer is never written to after its stack is used again."),
    both("P3", "Leaving with operations in flight takes < 1 s and leaks no descriptor or mapping."),
    both("P4", "A descriptor's number that is used again brings no byte of its last connection."),
    uring("P5", "When the completion queue overflows, no completion is lost."),
    uring("P6", "A cancel is delivered although the submission queue is full."),
    both("P8", "Without free descriptors, accept idles (< 10 % CPU) and goes on within 1 s."),
    both("P9", "Writing to closed sockets and pipes returns EPIPE and never kills the process."),
    both("P10", "write_all delivers every byte in order through partial writes."),
    both("P11", "Signals are never visible as EINTR."),
    Case {
        id: "P12",
        promise: "Where io_uring is refused, everything works on readiness.",
        ports: &[Port::Poll],
        answer: Answer::SuiteWithout(&["EPERM", "ENOSYS"]),
    },
    both("P13", "No wake from another thread is lost."),
    both("P14", "A tasklet that is always ready delays timers by < 50 ms (p99)."),
    both("P15", "A thousand opens that wait for ever delay another file's open by < 100 ms."),
    both("P16", "Unwinding against a peer that does not read delays neighbours by < 50 ms."),
    both(
        "P17",
        "A transfer that is cut short loses no byte, and a killed one leaves nothing open.",
    ),
    both("P18", "A job of the pool behind 400 that block begins within 100 ms."),
    both("P19", "Every run ends, and an idle scheduler takes < 1 % of a processor."),
    both("P21", "Crossing copies, turns at cursors and locks of streams: nobody waits for ever."),
    both("S1", "A stack overflow names the tasklet and leaves its neighbour's memory intact."),
    both("S2", "Frames of 4 to 60 KiB without stack probes cannot jump the guard."),
    both("S3", "100,000 parked tasklets take < 1,000 mappings; at the limit the surplus waits."),
    both("S4", "A million tasklets leave memory (within 5 MiB) and mappings as they were."),
    both("S5", "A panic reaches join, drops everything exactly once, and harms no neighbour."),
    both("S6", "A kill has its documented result in every state of a tasklet."),
    both("S7", "No tasklet ever sees a neighbour's unwinding."),
    both("S8", "A switch keeps errno."),
    both("S9", "A kill in a channel's queue neither loses nor doubles a value."),
    both("S10", "Channels keep order, balance and deadlock verdicts as the reference model does."),
    both("S11", "no_switch turns a suspension inside a thread-local's scope into an error."),
    Case {
        id: "S12",
        promise: "Under Miri, scheduler, channels and locks keep Rust's rules on references.",
        ports: &[Port::Uring],
        answer: Answer::Under(Tool::Miri(&[
            "channel_order",
            "deadlock",
            "groups",
            "kill",
            "select",
            "select_macro",
            "shutdown",
            "std_thread",
            "sync_locks",
            "tasklets",
            "tasklets_more",
            "threads",
            "unwinding",
            "table",
        ])),
    },
    Case {
        id: "S13",
        promise: "Under AddressSanitizer, no test uses memory of the heap that was freed.",
        ports: BOTH,
        answer: Answer::Under(Tool::AddressSanitizer),
    },
    both(
        "S14",
        "What outlives the grace time leaves no join, queue, closure or lent thread-local behind.",
    ),
    both("S15", "The user's code never runs on the scheduler's own stack, whatever calls it."),
    both("S16", "No count wraps: at its end there is an error, or the process ends."),
    Case {
        id: "S17",
        promise: "Random programs over the whole library break no promise and touch no foreign \
                  memory.",
        ports: BOTH,
        answer: Answer::Watched("random_programs"),
    },
    both("S18", "Each hazard does what the documents say, and its remedy works."),
    Case {
        id: "S19",
        promise: "On 64-bit Arm, own thread-locals and unmodified code in tasklets do what they do \
                  here.",
        ports: &[Port::Poll],
        answer: Answer::Emulated,
    },
    Case {
        id: "W1",
        promise: "On Windows, by Wine, tasklets, channels, locks and sockets do what they do here.",
        ports: &[Port::Poll],
        answer: Answer::Wine,
    },
    both("L1", "A tasklet's own thread-locals, errno and panic count are nobody else's."),
    both("L2", "Destructors of own thread-locals run once, whatever ends the tasklet."),
    both("L3", "No unpark of a tasklet with thread-locals of its own is lost."),
    both(
        "L4",
        "A million tasklets with thread-locals of their own leave no memory (within 4 MiB).",
    ),
    Case {
        id: "A1",
        promise: "std's own tests pass over this library, but for what docs/std.md names.",
        ports: BOTH,
        answer: Answer::StdTests,
    },
    Case {
        id: "A2",
        promise: "Others' test-suites for threads pass on tasklets, but for what docs/install.md \
                  excludes.",
        ports: BOTH,
        answer: Answer::Suites,
    },
    both("K1", "Kills in the queues of locks shared by threads lose no lock, permit or waiter."),
    both(
        "K2",
        "Kills and time limits at a channel between threads neither lose nor double a value.",
    ),
    both("I1", "No wake of std's locks and parks is lost among tasklets, schedulers and threads."),
    both("I2", "Kills and deadlines inside of hooked calls lose nothing and leave nothing locked."),
    both("I3", "Posts of semaphores by signal handlers, at any instruction, wake tasklets."),
    both("D1", "A signal at any instruction shows every tasklet, whole, and harms none."),
    both("F1", "Random programs on files do what they do with std: same bytes, same errors."),
    both(
        "H1",
        "What two parsers may understand differently is refused; nothing behind it is served.",
    ),
    both("H3", "Bytes mean the same however they are split on their way."),
    both("H4", "Where a request is accepted, other parsers see the same one."),
    Case {
        id: "H5",
        promise: "No bytes crash a parser, and how they are cut changes nothing.",
        ports: &[Port::Uring],
        answer: Answer::Fuzzers(&[
            "echo", "bracket", "length", "line", "zen", "http", "codec", "proxy", "cgi",
        ]),
    },
    both("H6", "Slow clients are closed by their deadline, and others do not notice them."),
    both("H7", "Each limit of a request holds exactly at its edge: 414, 431, 413."),
    both("H8", "No path, link or rename leads out of a served folder; hidden files are nowhere."),
    both("H9", "A script's environment is that of RFC 3875 and an allow-list: no HTTP_PROXY."),
    both("H10", "Whatever scripts and clients do, no process and no descriptor is left."),
    both("H11", "No script and no path can split a response or lead a redirect off its site."),
    both("H12", "Under load, every client gets its own answers, and no error."),
    both("H13", "A stop under load cuts no answer short."),
    both("H14", "Whatever clients write, a request has one line of printable text in the log."),
    both("H15", "A rolling restart behind a load balancer fails no request."),
    both(
        "H16",
        "Scripts are never starved: by slow bodies, by clients that have left, or by many at once.",
    ),
    both("H17", "Clients at the promised rate are kept, by all connections; slower ones are cut."),
    both("C1", "What real clients send through the echo server comes back with the same sha256."),
    both("C2", "1,000 clients, half of them killed in mid-transfer, leave nothing behind."),
    both("C3", "Stopped at any moment, `get` leaves no half file under a name, and can go on."),
    both("C4", "Stopped at any moment, `copy` leaves whole files only, and nothing else."),
    both("T1", "Whatever names, files and file systems do, `copy` loses nothing in silence."),
];

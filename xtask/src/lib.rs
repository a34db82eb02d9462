//! Programs that enforce the rules of this repository. Each prints the number of its checks, and
//! fails if that number is zero.
//!
//! ```text
//! tidy             imports, circles, outside calls, unsafe, sizes, words: rules about the text
//! ci               the checks that a change must pass, as steps that can be chosen
//! counted          the results of test programs
//! workspace_tests  the test programs of the workspace, several at a time; failed tests run again
//! new_op           the files that lack an arm for a new operation, by the compiler
//! torture          the danger tests with all their rounds, and the table in RELIABILITY.md
//! std_items        the list of the methods and traits of std's blocking types
//! std_tests        std's own tests and examples, over this library
//! systems          the check that the crates compile for other systems
//! suites           others' test-suites, with tasklets in the place of threads
//! libtest          test programs, with each test in a process of its own
//! clients          crates from the registry in tasklets, against real servers
//! exec             programs that are run with a time limit, and their output
//! port             the ports on which tests run
//! folders          the root of the repository, and the folder of builds
//! ```

#![forbid(unsafe_code)]

pub mod ci;
pub mod clients;
mod counted;
pub mod exec;
mod folders;
mod libtest;
pub mod new_op;
pub mod port;
pub mod std_items;
pub mod std_tests;
pub mod suites;
mod systems;
pub mod tidy;
pub mod torture;
pub mod workspace_tests;

pub use folders::root;

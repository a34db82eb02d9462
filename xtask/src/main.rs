//! `cargo xtask`. The library describes each program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::port::Port;
use xtask::{ci, clients, exec, new_op, std_items, std_tests, suites, tidy, torture};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Programs that hold the rules of this repository")]
struct Arguments {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    /// Checks imports, outside calls, unsafe, sizes and words.
    Tidy,
    /// Runs the checks that a change must pass: all steps, or the named ones.
    Ci {
        /// The steps to run, in the order of the list.
        #[arg(value_enum)]
        steps: Vec<ci::Step>,
        /// The steps to leave out, separated by commas.
        #[arg(long, value_enum, value_delimiter = ',')]
        without: Vec<ci::Step>,
    },
    /// Adds an operation to a copy of the library, and compares the files that lack an arm for it
    /// with the list in CONTRIBUTING.md.
    NewOp,
    /// Lists the methods and traits of std's blocking types, from the installed documentation.
    StdItems,
    /// Runs std's own tests and examples over this library.
    StdTests {
        /// The folder of std's sources, instead of that of Debian's package or rustup.
        #[arg(long)]
        source: Option<std::path::PathBuf>,
        /// One port instead of the one that the machine chooses.
        #[arg(long, value_enum)]
        port: Option<Port>,
    },
    /// Runs crates from the registry, unmodified, in tasklets against real servers, and writes the
    /// table in docs/install.md.
    Clients {
        /// The crates; all if none is named.
        names: Vec<String>,
        /// One port instead of the one that the machine chooses.
        #[arg(long, value_enum)]
        port: Option<Port>,
    },
    /// Runs others' test-suites with tasklets in the place of threads, and prints a table.
    Suites {
        /// Suites such as test_queue or std; all if none is named.
        names: Vec<String>,
        /// One port instead of the one that the machine chooses.
        #[arg(long, value_enum)]
        port: Option<Port>,
        /// Prints the suites and runs nothing.
        #[arg(long)]
        list: bool,
    },
    /// Runs the danger tests with all their rounds and writes their figures to RELIABILITY.md.
    Torture {
        /// Cases such as P1 or S10; all if none is named.
        cases: Vec<String>,
        /// One port instead of all that the case names.
        #[arg(long, value_enum)]
        port: Option<Port>,
        /// Prints the cases and runs nothing.
        #[arg(long)]
        list: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    exec::end_on_interrupt()?;
    let root = xtask::root();
    let passed = match Arguments::parse().program {
        Program::Tidy => {
            let report = tidy::check_repository(&root)?;
            print!("{report}");
            report.passed()
        }
        Program::Ci { steps, without } => ci::run(&root, &steps, &without)?,
        Program::NewOp => new_op::run(&root)?,
        Program::StdItems => {
            println!("std-items: {} items", std_items::write(&root)?);
            true
        }
        Program::StdTests { source, port } => match std_tests::run(&root, source, port)? {
            std_tests::Outcome::Missing(remedy) => anyhow::bail!(remedy),
            std_tests::Outcome::Passed(_) => true,
            std_tests::Outcome::Failed(_) => false,
        },
        Program::Clients { names, port } => clients::run(&root, &names, port)?,
        Program::Suites { list: true, .. } => {
            println!("{}", suites::names().join("\n"));
            true
        }
        Program::Suites { names, port, list: false } => suites::run(&root, &names, port)?.passed(),
        Program::Torture { list: true, .. } => {
            print!("{}", torture::list());
            true
        }
        Program::Torture { cases, port, list: false } => torture::run(&root, &cases, port)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

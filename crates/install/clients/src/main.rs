//! Crates from the registry, unmodified, in tasklets of overlapped-install, against real servers.
//!
//! ```text
//! cargo xtask clients [NAME…]        all, or those named; writes the table in docs/install.md
//! ```
//!
//! Twenty requests, whose answers take 100 ms each, go through each crate: one by one on a thread,
//! on twenty threads, and in twenty tasklets of one thread. Every answer's content is checked. A
//! further tasklet of that thread ticks, so that the longest time for which the thread was blocked
//! is known.
//!
//! ```text
//! supervise ─▶ servers: started in a temporary folder, on a free port, stopped in every case
//!     │           └── delay: a proxy, where a server cannot be asked to be slow
//!     └──────▶ a process for each row: measure ─▶ rows: the requests through each crate
//!                  └── figures, line by line ─▶ verdict ─▶ table
//! ```

mod measure;
mod request;
mod row;
mod rows;
mod servers;
mod supervise;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, address, folder] = arguments.as_slice()
        && flag == supervise::CHILD
    {
        return measure::run(name, address, folder.into());
    }
    let mut docs = None;
    let mut names = Vec::new();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--docs" => docs = rest.next().map(PathBuf::from),
            "--list" => {
                rows::all().iter().for_each(|row| println!("{}: {}", row.name, row.request));
                return ExitCode::SUCCESS;
            }
            _ => names.push(argument),
        }
    }
    supervise::run(&names, docs.as_deref())
}

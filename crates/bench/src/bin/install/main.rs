//! Unmodified std code for the suite `install`, in a program of its own: linking overlapped-install
//! replaces libc's functions in the whole program, and the other subjects have to be measured
//! without that.
//!
//! ```text
//! overlapped-bench-install WORLD CASE N               prints nanoseconds, or KiB
//! overlapped-bench-install tasklets downloads PORT    prints nanoseconds, twice
//! ```
//!
//! The world is `threads` (hooks installed, but outside tasklets), or `tasklets`.

mod cost;
mod downloads;
mod outside;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(figures) => {
            figures.iter().for_each(|figure| println!("{figure}"));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Vec<f64>, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [world, case, n] = &arguments[..] else { return Err("usage: WORLD CASE N".into()) };
    let n: u64 = n.parse().map_err(|_| "N is not a number")?;
    // SAFETY: nothing in this program takes gettid(2) for its own identity.
    unsafe { overlapped_install::install() }.map_err(|why| why.to_string())?;
    let figure = match (world.as_str(), case.as_str()) {
        (_, "recv" | "mutex" | "recursive") => outside::more(world, case, n),
        ("threads", _) => cost::measure::<cost::Threads>(case, n),
        ("tasklets", "downloads") => {
            return Ok(downloads::both_ways(n)?.map(|time| time.as_nanos() as f64).to_vec());
        }
        ("tasklets", _) => overlapped_install::run(|| cost::measure::<cost::Tasklets>(case, n))
            .map_err(|why| why.to_string())?,
        _ => Err(format!("no world {world}")),
    };
    Ok(vec![figure?])
}

//! The tour: what the library does, measured on this machine, one line per step.
//!
//! Every step runs as the first tasklet of one scheduler and leaves nothing behind: each waits for
//! the tasklets that it spawned. A step returns its result as text; what it had to leave out for
//! want of something it says in a line of its own, beginning with `LIMITED`.

mod echo;
mod memory;
mod mishaps;
mod parked;
mod speed;

use std::process::ExitCode;

use anyhow::Context;
use overlapped::port::PortChoice;
use overlapped::time::Instant;
use overlapped::{Config, task};

use crate::stdout::print;

/// Shows what the library does on this machine, measured now; the same as no subcommand.
///
/// An echo server with 1,000 clients, as many waiting tasklets as a quarter of the free memory
/// takes (a million at most), what spawning, channels and switches take, what a kill and a
/// deadlock look like. Takes less than half a minute.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub(crate) struct Arguments {
    /// A hundredth of the work, for a quick look; the figures get rough
    #[arg(long)]
    quick: bool,
}

/// How much each step does.
#[derive(Debug, Clone, Copy)]
struct Effort {
    quick: bool,
}

impl Effort {
    /// `full` in a program that was built to be fast; a hundredth of it in others.
    fn of(self, full: usize) -> usize {
        if self.quick { (full / 100).max(1) } else { full }
    }
}

type Step = fn(Effort) -> anyhow::Result<String>;

const STEPS: &[(&str, Step)] = &[
    ("port", port),
    ("echo", echo::step),
    ("waiting tasklets", parked::step),
    ("spawn and join", speed::spawn_and_join),
    ("channel, there and back", speed::there_and_back),
    ("yield", speed::give_way),
    ("kill", mishaps::kill),
    ("deadlock", mishaps::deadlock),
];

pub(crate) fn main(port: PortChoice, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let effort = Effort { quick: arguments.quick || cfg!(debug_assertions) };
    if cfg!(debug_assertions) {
        print(
            "Built without optimisation, so a hundredth of the work and slower figures; \
             `cargo run --release` has the real ones.\n",
        )?;
    }
    // Fewer descriptors are no reason to stop; the echo step says what it means.
    let _ = overlapped::port::raise_fd_limit();
    let begin = Instant::now();
    Config::new().port(port).run(|| take(effort))??;
    print(format_args!("{:<24} {:.1} s\n", "in total", begin.elapsed().as_secs_f64()))?;
    // Cargo says that it is there; then the program is most likely not on the path.
    let cargo = std::env::var_os("CARGO").is_some();
    let program = if cargo { "cargo run --release --" } else { "overlapped" };
    print(format_args!(
        "\nGo on with:  {program} serve echo   a server to try with nc\n             \
         {program} doctor       what this machine offers\n             \
         {program} --help       everything else\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// All steps. The name is there first, so that one sees what takes its time.
fn take(effort: Effort) -> anyhow::Result<()> {
    for (name, step) in STEPS {
        print(format_args!("{name:<24} "))?;
        let text = step(effort).with_context(|| format!("the step {name:?} failed"))?;
        print(indent(&text))?;
    }
    Ok(())
}

/// Further lines stand under the first.
fn indent(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(&format!("\n{:<24} ", "")) + "\n"
}

fn port(_: Effort) -> anyhow::Result<String> {
    let stats = task::stats().context("not in a scheduler")?;
    Ok(match stats.port {
        "uring" => "uring: io_uring completes operations (--port poll compares)".to_owned(),
        "poll" => "poll: readiness (`overlapped doctor` says why not io_uring)".to_owned(),
        other => other.to_owned(),
    })
}

/// A number with its thousands set apart: 1,000,000.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }
}

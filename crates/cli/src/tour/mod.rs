//! The tour: what the library does, measured on this machine, one line per step.
//!
//! The first tasklet of a scheduler runs the steps, one after another. A step joins the tasklets
//! that it spawned, and returns its result as text. If the machine's limits made it leave something
//! out, the text says so in a line that begins with `LIMITED`.

mod echo;
mod effort;
mod failures;
mod memory;
mod parked;
mod speed;

use std::process::ExitCode;

use anyhow::Context;
use overlapped::port::PortChoice;
use overlapped::time::Instant;
use overlapped::{Config, task};

use crate::stdout::print;
use effort::Effort;

/// Shows what the library does on this machine, measured now (also the default command).
///
/// Runs an echo server with 1,000 clients; spawns as many waiting tasklets as fit into a quarter of
/// the free memory (a million at most); measures spawning, channels and switches; shows a kill and
/// a deadlock. Takes less than half a minute.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub(crate) struct Arguments {
    /// Does a hundredth of the work, for a quick look; the figures are rough
    #[arg(long)]
    quick: bool,
}

type Step = fn(Effort) -> anyhow::Result<String>;

const STEPS: &[(&str, Step)] = &[
    ("port", port),
    ("echo", echo::step),
    ("waiting tasklets", parked::step),
    ("spawn and join", speed::spawn_and_join),
    ("channel round trip", speed::round_trip),
    ("yield", speed::switch),
    ("kill", failures::kill),
    ("deadlock", failures::deadlock),
];

pub(crate) fn main(port: PortChoice, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let effort = Effort { quick: arguments.quick || cfg!(debug_assertions) };
    if cfg!(debug_assertions) {
        print(
            "Built without optimisation: a hundredth of the work, and slower figures; \
             `cargo run --release` shows the real ones.\n",
        )?;
    }
    // A lower limit is no reason to stop; the echo step reports its effect.
    let _ = overlapped::port::raise_fd_limit();
    let begin = Instant::now();
    Config::new().port(port).run(|| run_steps(effort))??;
    print(format_args!("{:<24} {:.1} s\n", "in total", begin.elapsed().as_secs_f64()))?;
    // If Cargo started this program, `overlapped` is most likely not on the path.
    let cargo = std::env::var_os("CARGO").is_some();
    let program = if cargo { "cargo run --release --" } else { "overlapped" };
    print(format_args!(
        "\nGo on with:  {program} serve echo   a server to try with nc\n             \
         {program} doctor       what this machine offers\n             \
         {program} --help       everything else\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs all steps. The name is printed first, so that a user sees which step takes time.
fn run_steps(effort: Effort) -> anyhow::Result<()> {
    for (name, step) in STEPS {
        print(format_args!("{name:<24} "))?;
        let text = step(effort).with_context(|| format!("the step {name:?} failed"))?;
        print(indent(&text))?;
    }
    Ok(())
}

/// Indents further lines under the first.
fn indent(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(&format!("\n{:<24} ", "")) + "\n"
}

fn port(_: Effort) -> anyhow::Result<String> {
    let stats = task::stats().context("not in a scheduler")?;
    Ok(match stats.port {
        "uring" => "uring: io_uring completes operations (--port poll compares)".to_owned(),
        "poll" => "poll: readiness (`overlapped doctor` says why it is not io_uring)".to_owned(),
        other => other.to_owned(),
    })
}

//! The supervisor: it starts servers and a process for each row, and stops them in every case.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::measure;
use crate::request::Result;
use crate::row::Row;
use crate::rows;
use crate::servers::NotStarted;
use crate::table::{self, Figures, Verdict};

/// The flag of a row's process.
pub(crate) const CHILD: &str = "--row";
/// The time after which a row's process counts as hanging.
const LIMIT: Duration = Duration::from_secs(60);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Relaxed);
}

/// Runs all rows, or those of `names`.
pub(crate) fn run(names: &[String], docs: Option<&Path>) -> ExitCode {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler stores a flag.
        unsafe { libc::signal(signal, interrupt as *const () as libc::sighandler_t) };
    }
    let all = rows::all();
    if let Some(name) = names.iter().find(|name| all.iter().all(|row| row.name != **name)) {
        eprintln!("clients: there is no row {name}; --list shows all");
        return ExitCode::FAILURE;
    }
    if names.is_empty() && !matches!(run_row(&rows::canary()), Ok((_, Verdict::Stalls))) {
        println!("clients: interrupted, or a sleep past libc is not seen to stall");
        return ExitCode::FAILURE;
    }
    let mut lines = Vec::new();
    let (mut bad, mut skipped) = (0, 0);
    for row in all.iter().filter(|row| names.is_empty() || names.iter().any(|n| n == row.name)) {
        let outcome = run_row(row);
        if INTERRUPTED.load(Relaxed) {
            println!("clients: interrupted");
            return ExitCode::FAILURE;
        }
        match outcome {
            Ok((figures, verdict)) => {
                let line = table::line(row, &figures, &verdict);
                println!("{line}");
                lines.push(line);
                bad += u32::from(matches!(verdict, Verdict::Stalls | Verdict::Wrong(_)));
            }
            Err(NotStarted::Missing(package)) => {
                println!("SKIPPED {}: Debian's package {package} is not installed", row.name);
                skipped += 1;
            }
            Err(NotStarted::Failed(text)) => {
                println!("FAILED {}: {text}", row.name);
                bad += 1;
            }
        }
    }
    println!("clients: {} rows, {skipped} skipped, {bad} bad", lines.len());
    if let Some(docs) = docs
        && let Err(error) = table::write(docs, &all, &lines)
    {
        eprintln!("clients: {}: {error}", docs.display());
        return ExitCode::FAILURE;
    }
    if bad == 0 && !lines.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_row(row: &Row) -> Result<(Figures, Verdict), NotStarted> {
    let folder = Folder::new(row.name)?;
    let path = |name: &str| {
        let path = folder.0.join(name);
        std::fs::create_dir(&path).map(|()| path)
    };
    // Dropped before the folder.
    let server = row.server.start(&path(measure::SERVER)?)?;
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.args([CHILD, row.name, &server.address.to_string()]).arg(path("client")?);
    let mut child = Killed(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let figures = follow(&mut child.0);
    drop(child);
    match figures.verdict() {
        Some(verdict) => Ok((figures, verdict)),
        None => {
            let text = figures.broken.unwrap_or_else(|| "it hangs on threads, or has died".into());
            Err(NotStarted::Failed(text))
        }
    }
}

/// Reads the output of a row's process until it ends, hangs, or there is an interrupt.
fn follow(child: &mut Child) -> Figures {
    let mut figures = Figures::default();
    let Some(output) = child.stdout.take() else { return figures };
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let begin = Instant::now();
    while begin.elapsed() < LIMIT && !INTERRUPTED.load(Relaxed) {
        match lines.recv_timeout(Duration::from_millis(50)) {
            Ok(line) => figures.heed(&line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    figures
}

/// A row's process, which ends with this value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A temporary folder, which ends with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> std::io::Result<Folder> {
        let name = format!("overlapped-clients-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

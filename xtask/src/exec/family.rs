//! The processes that have been started here, with all processes that those have started. None of
//! them is left after a limit or an interrupt.
//!
//! A process whose parent has ended cannot be found by its parent any more. So a program that may
//! leave such processes behind gets a [`Mark`] in its environment, which its children inherit.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::invocation::Invocation;

/// The variable that holds the mark.
const NAME: &str = "OVERLAPPED_XTASK_CHILD";

/// A lock that every start takes for reading, and an interrupt takes for writing, for ever.
static STARTS: RwLock<()> = RwLock::new(());

/// True once interrupts are handled.
static HANDLES_INTERRUPTS: AtomicBool = AtomicBool::new(false);

/// The folders that are removed at the end of this process.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Starts a program, unless an interrupt is ending this one.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _open = STARTS.read();
    command.spawn()
}

/// Waits after a program has failed. If an interrupt has ended the program, and is about to end
/// this process, the wait never ends: such a failure says nothing about the program.
pub(crate) fn wait_out_interrupt() {
    /// The time in which the signal arrives here, too.
    const MOMENT: Duration = Duration::from_millis(100);
    if HANDLES_INTERRUPTS.load(Ordering::Relaxed) {
        std::thread::sleep(MOMENT);
        drop(STARTS.read());
    }
}

/// A variable of the environment that a child and all its descendants have in common. When the mark
/// is dropped, those that still run are killed.
pub(crate) struct Mark(String);

impl Mark {
    pub(crate) fn new() -> Mark {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Mark(format!("{}{}.", of_this_process(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Gives the mark to a program.
    pub(crate) fn set(&self, command: &mut Command) {
        command.env(NAME, &self.0);
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        kill_marked(&self.0);
    }
}

/// Returns the beginning of the marks that this process gives.
fn of_this_process() -> String {
    format!("{}.", std::process::id())
}

/// Kills all processes whose mark begins with `mark`.
fn kill_marked(mark: &str) {
    let variable = format!("{NAME}={mark}");
    let has_mark = |id: &u32| {
        // proc(5): the initial environment, with zeros between the variables.
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one.starts_with(variable.as_bytes()))
    };
    kill_while(|| parents().into_iter().map(|(id, _)| id).filter(has_mark).collect());
}

/// Kills `child` and all processes that it started. They are found one by one, not by a process
/// group of their own: they stay in the group of this process, so that an interrupt from the
/// terminal reaches all of them.
pub(crate) fn kill_all(child: &mut Child) {
    kill(&with_children(child.id()));
    // The call fails if the child has already ended, which is as good.
    let _ = child.kill();
}

/// Lists a process and its descendants.
fn with_children(process: u32) -> Vec<u32> {
    let mut family = vec![process];
    let parents = parents();
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        let children = parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id);
        family.extend(children);
        at += 1;
    }
    family
}

/// Kills again and again until none is left, since they may start others in the meantime.
fn kill_while(living: impl Fn() -> Vec<u32>) {
    const ROUNDS: usize = 50;
    for _ in 0..ROUNDS {
        let found = living();
        if found.is_empty() {
            return;
        }
        kill(&found);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(ids: &[u32]) {
    let ids = ids.iter().map(|id| format!(" {id}")).collect::<String>();
    Invocation::new("kill", &format!("-KILL{ids}")).probe();
}

/// Lists every running process with its parent. (In `stat`, proc(5), the state and the parent
/// follow the name in brackets.)
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parent = |entry: io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let mut words = rest.split_whitespace();
        let is_dead = words.next()? == "Z";
        Some((id, words.next()?.parse().ok().filter(|_| !is_dead)?))
    };
    entries.filter_map(parent).collect()
}

/// A folder that is removed when this value is dropped, and by an interrupt.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder, empty.
    pub(crate) fn new(path: PathBuf) -> io::Result<Scratch> {
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        folders().push(path.clone());
        let scratch = Scratch(path);
        std::fs::create_dir_all(scratch.path())?;
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that cannot be removed stays below `target`, and the next run empties it.
        let _ = std::fs::remove_dir_all(&self.0);
        folders().retain(|path| *path != self.0);
    }
}

fn folders() -> MutexGuard<'static, Vec<PathBuf>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes SIGINT and SIGTERM end this process with all processes that it has started.
pub fn end_on_interrupt() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    HANDLES_INTERRUPTS.store(true, Ordering::Relaxed);
    std::thread::spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        // Nothing is started from here on.
        let _closed = STARTS.write();
        let own = std::process::id();
        kill_while(|| with_children(own).into_iter().filter(|id| *id != own).collect());
        kill_marked(&of_this_process());
        for folder in folders().iter() {
            let _ = std::fs::remove_dir_all(folder);
        }
        eprintln!("interrupted: all running programs have been ended");
        let _ = emulate_default_handler(signal);
        std::process::exit(1); // Reached only if the default handler could not be called.
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::Stdio;

    fn runs(id: u32) -> bool {
        parents().iter().any(|(other, _)| *other == id)
    }

    #[test]
    fn a_process_that_outlives_its_parent_is_found_by_its_mark() {
        let mark = Mark::new();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 300 & echo $!"]).stdin(Stdio::null()).stdout(Stdio::piped());
        mark.set(&mut command);
        let mut child = spawn(&mut command).unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut line)
            .unwrap();
        child.wait().unwrap();
        let orphan = line.trim().parse().unwrap();
        assert!(runs(orphan));
        drop(mark);
        assert!(!runs(orphan));
    }

    /// Runs the test `name` again in a process in a group of its own, and sends a signal to
    /// `target` as soon as the file `begun` in its folder has a process id. Returns the folder: as
    /// a success here, as an error in that process.
    fn interrupted(name: &str, target: fn(u32) -> String) -> Result<PathBuf, PathBuf> {
        const ROLE: &str = "OVERLAPPED_XTASK_TEST_INTERRUPTED";
        if let Some(path) = std::env::var_os(ROLE) {
            end_on_interrupt().unwrap();
            return Err(path.into());
        }
        let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([name, "--nocapture"]).env(ROLE, &path).process_group(0);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = || std::fs::read_to_string(path.join("begun")).ok()?.trim().parse().ok();
        let begin = std::time::Instant::now();
        let started: u32 = loop {
            match begun() {
                Some(id) => break id,
                None if begin.elapsed() > Duration::from_secs(60) => {
                    panic!("the process does not begin")
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert!(Invocation::new("kill", &target(child.id())).probe());
        assert!(!child.wait().unwrap().success());
        assert!(!runs(started));
        Ok(path)
    }

    #[test]
    fn an_interrupt_ends_what_has_been_started_and_removes_its_folders() {
        let name = "an_interrupt_ends_what_has_been_started_and_removes_its_folders";
        match interrupted(name, |id| format!("-TERM {id}")) {
            Ok(path) => assert!(!path.exists()),
            Err(path) => {
                let scratch = Scratch::new(path).unwrap();
                let mark = Mark::new();
                let mut command = Command::new("sh");
                command.args(["-c", "trap '' INT TERM; sleep 300 & echo $! >begun; wait"]);
                command.current_dir(scratch.path());
                mark.set(&mut command);
                spawn(&mut command).unwrap().wait().unwrap();
                wait_out_interrupt();
                unreachable!("the interrupt ends this process");
            }
        }
    }

    /// The terminal sends an interrupt to the whole group.
    #[test]
    fn a_program_that_an_interrupt_has_ended_is_not_reported() {
        let name = "a_program_that_an_interrupt_has_ended_is_not_reported";
        match interrupted(name, |id| format!("-INT -- -{id}")) {
            Ok(path) => {
                let is_reported = path.join("reported").exists();
                std::fs::remove_dir_all(path).unwrap();
                assert!(!is_reported);
            }
            Err(path) => {
                std::fs::create_dir_all(&path).unwrap();
                let sleep = Invocation::new("sh", "-c").arg("echo $$ >begun; exec sleep 300");
                let ran = crate::exec::run(&path, &sleep, Duration::from_secs(300)).unwrap();
                std::fs::write(path.join("reported"), format!("{ran:?}")).unwrap();
            }
        }
    }

    #[test]
    fn a_scratch_folder_goes_with_its_owner() {
        let path = std::env::temp_dir().join(format!("xtask-scratch-{}", std::process::id()));
        let scratch = Scratch::new(path.clone()).unwrap();
        std::fs::write(scratch.path().join("file"), "x").unwrap();
        assert!(folders().contains(&path));
        drop(scratch);
        assert!(!path.exists() && !folders().contains(&path));
    }
}

//! `Command`, method by method as in std.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;

use super::child::KillOnDrop;
use super::{Child, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
use crate::sys::process as host;

/// A builder of child processes; the counterpart of `std::process::Command`.
///
/// To start one takes fork(2) or posix_spawn(3), and the time that the system takes to open the
/// program. Calls that wait (`status`, `output`, the methods of [`Child`]) block only the calling
/// tasklet.
///
/// ```
/// use overlapped::process::Command;
/// overlapped::run(|| {
///     let jobs = ["one", "two"].map(|word| {
///         overlapped::spawn(move || Command::new("echo").arg(word).output().unwrap())
///     });
///     let said = jobs.map(|job| job.join().unwrap().stdout);
///     assert_eq!(said, [b"one\n", b"two\n"]);
/// }).unwrap();
/// ```
pub struct Command {
    pub(super) inner: host::Command,
    /// The streams that the user has chosen.
    chosen: [bool; 3],
    kill_on_drop: bool,
    /// The child is to lead a process group of its own.
    pub(super) leads_group: bool,
}

impl Command {
    /// Returns a command that runs `program`, found as in std: by `PATH` if it has no slash.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        let inner = host::Command::new(program);
        Command { inner, chosen: [false; 3], kill_on_drop: false, leads_group: false }
    }

    /// Adds an argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.inner.arg(arg);
        self
    }

    /// Adds several arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.inner.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env<K, V>(&mut self, key: K, val: V) -> &mut Command
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.env(key, val);
        self
    }

    /// Sets several environment variables.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.envs(vars);
        self
    }

    /// Keeps an environment variable from the child.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.inner.env_remove(key);
        self
    }

    /// Keeps the whole environment from the child.
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// Sets the child's working directory.
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.inner.current_dir(dir);
        self
    }

    /// Sets the child's standard input. Default: inherited; for [`output`](Command::output) none.
    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.chosen[0] = true;
        self.inner.stdin(cfg);
        self
    }

    /// Sets the child's standard output. Default: inherited; for [`output`](Command::output) piped.
    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.chosen[1] = true;
        self.inner.stdout(cfg);
        self
    }

    /// Sets the child's standard error. Default: inherited; for [`output`](Command::output) piped.
    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.chosen[2] = true;
        self.inner.stderr(cfg);
        self
    }

    /// Sets whether a [`Child`] that is dropped before its end was waited for kills its process, by
    /// SIGKILL, and has it released. Default: no, as in std. std has no such method.
    ///
    /// With it, a tasklet that is killed, or whose [`output`](Command::output) or
    /// [`status`](Command::status) meets a deadline, leaves no process behind.
    ///
    /// It kills the child alone, and not the processes that the child has started, unless the child
    /// leads a process group of its own ([`process_group(0)`](super::CommandExt::process_group)).
    /// Then the whole group is killed, also if its leader has ended. Processes that have left the
    /// group run on.
    ///
    /// ```
    /// use overlapped::os::unix::process::CommandExt;
    /// use overlapped::{process::Command, run, time::{Duration, timeout}};
    /// run(|| {
    ///     let mut slow = Command::new("sleep");
    ///     let slow = slow.arg("60").kill_on_drop(true);
    ///     timeout(Duration::from_millis(5), || slow.status()).unwrap_err();
    ///     // The sleep has been killed.
    ///     let mut many = Command::new("sh");
    ///     let many = many.args(["-c", "sleep 60 & sleep 60"]).process_group(0).kill_on_drop(true);
    ///     timeout(Duration::from_millis(5), || many.status()).unwrap_err();
    ///     // So have the shell and both of its sleeps.
    /// }).unwrap();
    /// ```
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// Starts the child.
    ///
    /// # Errors
    /// The same as in std: `NotFound`, `PermissionDenied`, and the others of fork(2) and execve(2).
    pub fn spawn(&mut self) -> io::Result<Child> {
        let on_drop = match (self.kill_on_drop, self.leads_group) {
            (false, _) => KillOnDrop::Nothing,
            (true, false) => KillOnDrop::Child,
            (true, true) => KillOnDrop::Group,
        };
        Ok(Child::new(host::spawn(&mut self.inner)?, on_drop))
    }

    /// Starts the child, waits for its end, and returns its output, as far as its streams are
    /// piped, which both are by default.
    ///
    /// # Errors
    /// Those of [`spawn`](Command::spawn) and [`Child::wait_with_output`]: the bytes that were read
    /// before a deadline are in the error.
    ///
    /// ```
    /// use overlapped::process::{Command, PartialOutput};
    /// use overlapped::time::{Duration, timeout};
    ///
    /// overlapped::run(|| {
    ///     let mut slow = Command::new("sh");
    ///     let slow = slow.args(["-c", "echo so far; exec sleep 60"]).kill_on_drop(true);
    ///     let error = timeout(Duration::from_millis(500), || slow.output()).unwrap_err();
    ///     assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    ///     let partial = error.downcast::<PartialOutput>().unwrap();
    ///     println!("{}", String::from_utf8_lossy(&partial.stdout));
    /// }).unwrap();
    /// ```
    pub fn output(&mut self) -> io::Result<Output> {
        self.default_streams(Stdio::null, Stdio::piped);
        let child = self.spawn();
        self.default_streams(Stdio::inherit, Stdio::inherit);
        child?.wait_with_output()
    }

    /// Sets the streams that the user has not chosen.
    fn default_streams(&mut self, input: fn() -> Stdio, outputs: fn() -> Stdio) {
        let [stdin, stdout, stderr] = self.chosen;
        if !stdin {
            self.inner.stdin(input());
        }
        if !stdout {
            self.inner.stdout(outputs());
        }
        if !stderr {
            self.inner.stderr(outputs());
        }
    }

    /// Starts the child and waits for its end.
    ///
    /// # Errors
    /// Those of [`spawn`](Command::spawn) and [`Child::wait`].
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Returns the program.
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// Returns the arguments, without the program's name.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.inner.get_args()
    }

    /// Returns the environment variables that were set, or removed (`None`), for the child.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// Returns the child's working directory, if it was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }
}

impl fmt::Debug for Command {
    /// Prints the quoted command line, as std; all settings in the alternate form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

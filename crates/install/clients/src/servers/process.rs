//! A server's program, and its process, which does not outlive this one.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A command whose process is to be a server.
pub(super) struct Program {
    command: Command,
    log: PathBuf,
    stop: libc::c_int,
}

/// The user that runs a server.
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) name: String,
    pub(super) group: String,
}

impl User {
    /// Finds the user of that name if this program is root, for a server that refuses root; else
    /// the program's own user.
    pub(super) fn instead_of_root(name: &str) -> io::Result<User> {
        // SAFETY: the call only reads a number.
        let own = unsafe { libc::geteuid() }.to_string();
        let users = std::fs::read_to_string("/etc/passwd")?;
        let is_it = |user: &Vec<&str>| match own.as_str() {
            "0" => user[0] == name,
            own => user[2] == own,
        };
        let fields = |line| str::split(line, ':').collect::<Vec<_>>();
        let user = users.lines().map(fields).filter(|user| user.len() > 3).find(is_it);
        let user = user.ok_or_else(|| io::Error::other(format!("there is no user {name}")))?;
        let groups = std::fs::read_to_string("/etc/group")?;
        let mut groups = groups.lines().map(fields).filter(|group| group.len() > 2);
        let group = groups.find(|group| group[2] == user[3]);
        let group = group.ok_or_else(|| io::Error::other(format!("{name} has no group")))?;
        let number = |text: &str| text.parse().map_err(io::Error::other);
        Ok(User {
            uid: number(user[2])?,
            gid: number(user[3])?,
            name: user[0].to_owned(),
            group: group[0].to_owned(),
        })
    }

    /// Gives a file or folder to the user.
    pub(super) fn own(&self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
    }
}

impl Program {
    /// Makes a command for a program whose output goes to a file in `folder`.
    pub(super) fn new(path: &Path, folder: &Path) -> Program {
        let mut command = Command::new(path);
        command.current_dir(folder).env("LC_ALL", "C.UTF-8");
        Program { command, log: folder.join("log"), stop: libc::SIGTERM }
    }

    pub(super) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Program {
        self.command.args(arguments);
        self
    }

    /// Sets the user that runs it, and gives the folder to that user.
    pub(super) fn by(mut self, user: &User, folder: &Path) -> io::Result<Program> {
        user.own(folder)?;
        self.command.uid(user.uid).gid(user.gid);
        Ok(self)
    }

    /// Sets the signal that ends it quickly.
    pub(super) fn stopped_by(mut self, signal: libc::c_int) -> Program {
        self.stop = signal;
        self
    }

    fn to_log(mut self) -> io::Result<Program> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        self.command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(self)
    }

    /// Runs the program to its end.
    pub(super) fn run(self) -> io::Result<()> {
        let mut program = self.to_log()?;
        let status = program.command.status()?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("{status}: {}", last_lines(&program.log))))
    }

    /// Starts the program as a server.
    pub(super) fn start(self) -> io::Result<Process> {
        let Program { mut command, log, stop } = self.to_log()?;
        command.process_group(0);
        // SAFETY: one system call. The kernel kills the server when the thread that has started it
        // ends, which is this program's first one.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        Ok(Process { child: command.spawn()?, log, stop })
    }
}

/// A server's process with all that it has started; stopped when dropped.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    stop: libc::c_int,
}

impl Process {
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns the end of its output.
    pub(super) fn said(&self) -> String {
        last_lines(&self.log)
    }

    fn signal_all(&self, signal: libc::c_int) {
        // SAFETY: the call passes two numbers. A group whose processes have all ended is not found.
        unsafe { libc::kill(-(self.child.id() as libc::pid_t), signal) };
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        const LIMIT: Duration = Duration::from_secs(3);
        let begin = Instant::now();
        self.signal_all(self.stop);
        while !self.has_ended() && begin.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.signal_all(libc::SIGKILL);
        let _ = self.child.wait();
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

/// Finds a program, also in the folders in which Debian has servers.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/lib/dovecot".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Debian's own interpreter; another one in PATH does not find Debian's packages.
pub(super) fn find_python() -> Option<PathBuf> {
    Some(PathBuf::from("/usr/bin/python3")).filter(|path| path.is_file())
}

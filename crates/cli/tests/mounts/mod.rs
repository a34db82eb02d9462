//! Mounts for tests: file systems with faults, and scripts that may mount.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::text;

/// A file system that passes everything on to `back`, with faults (see `clients/faulty_fs.py`).
pub(crate) struct Faulty {
    child: Child,
    pub(crate) mount: PathBuf,
    pub(crate) back: PathBuf,
}

impl Faulty {
    /// Mounts such a file system in `folder`. Without FUSE or its Python module it prints SKIPPED
    /// and returns `None`.
    pub(crate) fn mount(folder: &Path, faults: &[&str]) -> Option<Faulty> {
        let (mount, back) = (folder.join("mount"), folder.join("back"));
        fs::create_dir(&mount).unwrap();
        fs::create_dir(&back).unwrap();
        let script: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "tests", "clients", "faulty_fs.py"].iter().collect();
        let mut command = Command::new("python3");
        command.arg(script).arg(&back).arg(&mount).args(faults).stdin(Stdio::null());
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            println!("SKIPPED: a file system with faults, for want of python3");
            return None;
        };
        let mut faulty = Faulty { child, mount, back };
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        let begin = Instant::now();
        while device(&faulty.mount) == device(folder) {
            let ended = faulty.child.try_wait().unwrap();
            if ended.is_some() || begin.elapsed() > Duration::from_secs(60) {
                println!("SKIPPED: a file system with faults: python3-fusepy, fuse3 or /dev/fuse");
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Some(faulty)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        for program in ["fusermount3", "fusermount"] {
            let mut command = Command::new(program);
            let done = command.arg("-u").arg(&self.mount).stderr(Stdio::null()).status();
            if done.is_ok_and(|status| status.success()) {
                break;
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a shell script that may mount, in namespaces of its own, and returns its output. If nothing
/// can be mounted in such a namespace, this prints SKIPPED and returns `None`.
///
/// # Panics
/// The script exits before its end.
pub(crate) fn in_a_namespace(folder: &Path, script: &str) -> Option<(String, String)> {
    let run = |script: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["-rm", "sh", "-c", script]).current_dir(folder).output().unwrap()
    };
    let probe = run("mount -t tmpfs none . && mount --bind . .");
    if !probe.status.success() {
        println!("SKIPPED: a check that takes mounts: {}", text(&probe).1);
        return None;
    }
    let (stdout, stderr) = text(&run(&format!("{script}\necho END")));
    assert!(stdout.ends_with("END\n"), "the script ended early: {stdout}{stderr}");
    Some((stdout, stderr))
}

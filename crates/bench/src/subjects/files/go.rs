//! Go: `go/files.go`, run by the child that measures.

use super::division::TASKS;
use crate::harness::process;
use crate::material::files::Tree;
use crate::subjects::go::{nanoseconds, nanoseconds_on};
use crate::traits::files::Files;
use std::path::Path;
use std::time::Duration;

pub(crate) struct Go;

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))
}

impl Files for Go {
    fn random_reads(&self, file: &Path, reads: u64) -> Result<Duration, String> {
        nanoseconds(&["random_read", text(file)?, &reads.to_string(), &TASKS.to_string()])
    }

    fn small_files(&self, tree: &Tree, files: u64) -> Result<Duration, String> {
        let (files, tasks) = (files.to_string(), TASKS.to_string());
        nanoseconds(&["small_files", text(&tree.root)?, &files, &tasks])
    }

    fn copy_big(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        nanoseconds(&["copy_big", text(from)?, text(to)?])
    }

    fn copy_tree(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        let tasks = TASKS.to_string();
        nanoseconds_on(process::cores(), &["copy_tree", text(from)?, text(to)?, &tasks])
    }

    fn remark(&self, case: &str) -> Option<&'static str> {
        case.starts_with("copy").then_some("io.Copy")
    }
}

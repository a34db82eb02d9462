//! Suite `files`: what is in the page cache is read and copied, so that the disk has no say.
//!
//! Everything runs on one core, pool threads and kernel workers included: the question is what
//! each way costs, not how many cores it takes. Only [`ON_ALL_CORES`] asks how long somebody has to
//! wait. Subjects that have tasks work with [`TASKS`] of them.

pub(crate) mod material;

use crate::harness::child::Report;
use crate::subjects::{Name, files, say};
use crate::tasklets::ns_each;
use material::{TREE_FILES, Tree};
use std::path::Path;
use std::time::Duration;

/// The names of the cases, in their order.
pub(crate) const CASES: [&str; 5] =
    ["random_read_4k", "small_files", "copy_big", "copy_tree", ON_ALL_CORES];

/// The case that may use all cores.
pub(crate) const ON_ALL_CORES: &str = "copy_tree_all_cores";

/// How many tasks work at the same time.
pub(crate) const TASKS: usize = 64;

/// The file of the random reads, in MiB.
const READ_MEBIBYTES: u64 = 256;

/// One case of one subject, in this process.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let subject = files::of(name)?;
    let budget = Duration::from_millis(if quick { 200 } else { 800 });
    let mut report = Report::default();
    match case {
        "random_read_4k" => {
            let file = material::big(READ_MEBIBYTES)?;
            let ns = ns_each(budget, 6400, |reads| subject.random_reads(&file, reads))?;
            report.push(case, "1/s", 1e9 / ns);
        }
        "small_files" => {
            let tree = Tree::made()?;
            let ns = ns_each(budget, TREE_FILES, |files| subject.small_files(&tree, files))?;
            report.push(case, "1/s", 1e9 / ns);
        }
        "copy_big" => {
            let mebibytes = if quick { 256 } else { 1024 };
            let from = material::big(mebibytes)?;
            let took = copied(|to| {
                let took = subject.copy_big(&from, to)?;
                material::check_big(&from, to)?;
                Ok(took)
            })?;
            report.push(case, "MiB/s", mebibytes as f64 / took.as_secs_f64());
        }
        "copy_tree" | ON_ALL_CORES => {
            let tree = Tree::made()?;
            let took = copied(|to| {
                let took = subject.copy_tree(&tree.root, to)?;
                Tree { root: to.to_path_buf() }.check()?;
                Ok(took)
            })?;
            report.push(case, "1/s", TREE_FILES as f64 / took.as_secs_f64());
        }
        _ => return Err(format!("no case {case}")),
    }
    report.notes.extend(subject.remark(case).map(String::from));
    Ok(report)
}

/// Copies to where nothing is, and leaves nothing. What others have left to be written goes to the
/// disk before.
fn copied(copy: impl Fn(&Path) -> Result<Duration, String>) -> Result<Duration, String> {
    let to = material::target()?;
    rustix::fs::sync();
    let took = copy(&to);
    remove(&to)?;
    took
}

fn remove(path: &Path) -> Result<(), String> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.map_err(say)
}

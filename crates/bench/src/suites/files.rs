//! Suite `files`: files in the page cache are read and copied, so that the disk plays no part.
//!
//! Everything runs on one core, pool threads and kernel workers included: the question is what
//! each way costs, not how many cores it takes. Only [`ON_ALL_CORES`] asks how long its user has to
//! wait.

use crate::error::say;
use crate::harness::child::Report;
use crate::harness::passes::ns_each;
use crate::material::files::{self as material, TREE_FILES, Tree};
use crate::names::Name;
use crate::subjects::files;
use std::path::Path;
use std::time::Duration;

/// The names of the cases, in their order.
pub(crate) const CASES: [&str; 5] =
    ["random_read_4k", "small_files", "copy_big", "copy_tree", ON_ALL_CORES];

/// The case that may use all cores.
pub(crate) const ON_ALL_CORES: &str = "copy_tree_all_cores";

/// The file of the random reads, in MiB.
const READ_MEBIBYTES: u64 = 256;

/// Measures a case of a subject, in this process.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let subject = files::by_name(name)?;
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

/// Copies to a path where nothing is, and removes the copy. The pages that earlier measurements
/// have left to be written go to the disk before.
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

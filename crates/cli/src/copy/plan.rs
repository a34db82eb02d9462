//! Plans the copies: each source with its name in the destination, by the rules of cp.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::display::Escaped;
use crate::resume_command::operand;

/// One SRC and its copy: an entry of the source's folder, and one of the destination's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) from_folder: PathBuf,
    pub(super) from_name: OsString,
    pub(super) to_folder: PathBuf,
    pub(super) to_name: OsString,
    /// The source as the user wrote it.
    pub(super) shown: PathBuf,
}

impl Item {
    /// Returns the path of the source.
    pub(super) fn source(&self) -> PathBuf {
        self.from_folder.join(&self.from_name)
    }
}

/// A path as it was written: `Path` treats `a/.` as `a`, cp does not.
struct Written<'a> {
    path: &'a Path,
    /// The part before the last name; may be empty.
    folder: &'a Path,
    /// The last name without slashes; empty for the root.
    name: &'a OsStr,
    ends_in_slash: bool,
}

impl<'a> Written<'a> {
    fn new(path: &'a Path) -> Written<'a> {
        let bytes = path.as_os_str().as_bytes();
        let end = bytes.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
        let begin = bytes[..end].iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        Written {
            path,
            folder: Path::new(OsStr::from_bytes(&bytes[..begin])),
            name: OsStr::from_bytes(&bytes[begin..end]),
            ends_in_slash: end < bytes.len(),
        }
    }

    fn folder(&self) -> PathBuf {
        if self.folder.as_os_str().is_empty() { ".".into() } else { self.folder.to_owned() }
    }

    /// Tells whether the path stands for the contents of a folder: `.`, `..`, `/`.
    fn is_contents(&self) -> bool {
        ["", ".", ".."].iter().any(|name| self.name == *name)
    }
}

/// Makes the plan, or refuses contradictory arguments. Missing sources are reported later, so that
/// the others are copied.
pub(super) fn plan(sources: &[PathBuf], target: &Path) -> anyhow::Result<Vec<Item>> {
    let into = match fs::metadata(target) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot examine {}", Escaped::new(target)));
        }
    };
    if !into && sources.len() > 1 {
        bail!(
            "{} is not a folder, and several files can only be copied into one. Create it first: \
             mkdir -p {}",
            Escaped::new(target),
            operand(target)
        );
    }
    let mut items = Vec::new();
    let mut names = HashSet::new();
    for source in sources {
        let item = item(source, target, into)?;
        refuse_itself(&item)?;
        // The contents of several folders may be merged: names that meet are reported later.
        let is_contents = item.to_name == ".";
        if !names.insert((item.to_folder.clone(), item.to_name.clone())) && !is_contents {
            bail!(
                "two sources would become {}. Copy them one after the other, or to different names",
                Escaped::new(&item.to_folder.join(&item.to_name))
            );
        }
        items.push(item);
    }
    Ok(items)
}

fn item(source: &Path, target: &Path, into: bool) -> anyhow::Result<Item> {
    let (from, to) = (Written::new(source), Written::new(target));
    // With a slash or a dot at the end, the path is the folder itself, even if its name is a link.
    let (from_folder, from_name) = if from.is_contents() || from.ends_in_slash {
        (source.to_owned(), OsStr::new("."))
    } else {
        (from.folder(), from.name)
    };
    let (to_folder, to_name) = if into && from.is_contents() {
        (target.to_owned(), OsStr::new("."))
    } else if into {
        (target.to_owned(), from.name)
    } else {
        if to.ends_in_slash && !fs::metadata(source).is_ok_and(|source| source.is_dir()) {
            bail!(
                "{} is not a folder. Create it first, or leave out the slash",
                Escaped::new(target)
            );
        }
        (to.folder(), to.name)
    };
    if !into && !to_folder.is_dir() {
        bail!(
            "cannot copy {} into {}, which is not a folder. Create it first: mkdir -p {}",
            Escaped::new(from.path),
            Escaped::new(&to_folder),
            operand(&to_folder)
        );
    }
    Ok(Item {
        from_folder,
        from_name: from_name.into(),
        to_folder,
        to_name: to_name.into(),
        shown: source.to_owned(),
    })
}

/// Refuses to copy a folder into itself: the copy would never end. Folders are compared by device
/// and inode, because links and bind mounts have other names.
fn refuse_itself(item: &Item) -> anyhow::Result<()> {
    let from = item.source();
    if !fs::symlink_metadata(&from).is_ok_and(|from| from.is_dir()) {
        return Ok(());
    }
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let from = identity(&from);
    if from.is_some() && identity(&item.to_folder.join(&item.to_name)) == from {
        bail!(
            "{} and its copy would be the same folder. Choose another DST",
            Escaped::new(&item.shown)
        );
    }
    let (mut above, mut at) = (item.to_folder.clone(), identity(&item.to_folder));
    while at.is_some() {
        if at == from {
            bail!(
                "cannot copy {} into itself ({}). Choose a DST outside of it",
                Escaped::new(&item.shown),
                Escaped::new(&item.to_folder.join(&item.to_name))
            );
        }
        above.push("..");
        let next = identity(&above);
        // The root is its own parent.
        at = if next == at { None } else { next };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tree/sub", "into", "other/tree"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("file"), "x").unwrap();
        symlink("tree", folder.path().join("link")).unwrap();
        folder
    }

    fn planned(folder: &Path, sources: &[&str], target: &str) -> Result<Vec<[String; 4]>, String> {
        let path = |name: &str| PathBuf::from(format!("{}/{name}", folder.display()));
        let sources: Vec<_> = sources.iter().map(|name| path(name)).collect();
        let short = |path: &Path| {
            let text = path.to_str().unwrap().replace(folder.to_str().unwrap(), "");
            text.trim_matches('/').to_owned()
        };
        let plan = plan(&sources, &path(target)).map_err(|error| error.to_string())?;
        Ok(plan
            .iter()
            .map(|item| {
                [
                    short(&item.from_folder),
                    item.from_name.to_str().unwrap().to_owned(),
                    short(&item.to_folder),
                    item.to_name.to_str().unwrap().to_owned(),
                ]
            })
            .collect())
    }

    #[test]
    fn the_rules_are_those_of_cp() {
        let folder = folder();
        let one = |source: &str, target: &str| planned(folder.path(), &[source], target).unwrap();
        assert_eq!(one("file", "into"), [["", "file", "into", "file"]]);
        assert_eq!(one("file", "into/"), [["", "file", "into", "file"]]);
        assert_eq!(one("file", "new"), [["", "file", "", "new"]]);
        assert_eq!(one("tree", "into"), [["", "tree", "into", "tree"]]);
        assert_eq!(one("tree", "new/"), [["", "tree", "", "new"]]);
        assert_eq!(one("tree/", "into"), [["tree", ".", "into", "tree"]]);
        assert_eq!(one("tree/.", "into"), [["tree/.", ".", "into", "."]]);
        assert_eq!(one("tree/.", "new"), [["tree/.", ".", "", "new"]]);
        assert_eq!(one("link", "into"), [["", "link", "into", "link"]]);
        assert_eq!(one("link/", "into"), [["link", ".", "into", "link"]]);
        assert_eq!(one("missing", "into"), [["", "missing", "into", "missing"]]);
        let two = planned(folder.path(), &["file", "tree"], "into").unwrap();
        assert_eq!(two, [["", "file", "into", "file"], ["", "tree", "into", "tree"]]);
    }

    #[test]
    fn contradictory_arguments_are_refused_with_a_remedy() {
        let folder = folder();
        for (sources, target, text) in [
            (&["file", "tree"][..], "new", "mkdir -p"),
            (&["file", "tree"], "file", "is not a folder"),
            (&["file"], "no/where", "mkdir -p"),
            (&["file"], "new/", "leave out the slash"),
            (&["tree", "other/tree"], "into", "one after the other"),
            (&["tree"], "tree", "into itself"),
            (&["tree"], "tree/sub", "into itself"),
            (&["tree"], "tree/new", "into itself"),
            (&["tree/"], "link", "into itself"),
            (&["tree/."], "link", "same folder"),
            (&["tree"], ".", "same folder"),
        ] {
            let error = planned(folder.path(), sources, target).unwrap_err();
            assert!(error.contains(text), "{sources:?} to {target}: {error}");
        }
    }
}

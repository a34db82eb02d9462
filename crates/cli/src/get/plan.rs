//! Plans the downloads of a run: the folder, and a name for each.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, bail, ensure};
use overlapped::fs;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::arguments::Arguments;
use super::client::url::{self, Url};
use super::file::key::Key;
use super::file::name::{self, Names};
use super::file::record::Records;
use super::file::sink::Target;
use super::list::{self, Entry};
use super::shared::Item;
use crate::display::{Escaped, plain};

/// The downloads of a run, in the order of the arguments.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) items: Vec<Item>,
    pub(super) folder: PathBuf,
    /// The target, if it is not a folder of files.
    pub(super) target: Option<Target>,
    names: Names,
    pub(super) records: Rc<Records>,
    /// True if the list came from standard input, and so cannot be read again.
    pub(super) from_stdin: bool,
}

impl Plan {
    pub(super) fn new(arguments: &Arguments) -> anyhow::Result<Plan> {
        let (urls, from_stdin) = list::read(arguments)?;
        ensure!(!urls.is_empty(), "the list has no URLs: write one on each line");
        let target = arguments.output.as_deref().and_then(Target::from_path);
        if let Some(target) = &target {
            ensure!(
                !arguments.resume,
                "--resume is for files: the bytes already written to {} are unknown",
                Escaped::new(target.path())
            );
            check_target(target, urls.len(), arguments)?;
        }
        let (folder, file) = match &target {
            Some(target) => (PathBuf::new(), Some(Escaped::new(target.path()).to_string())),
            None => save_location(arguments, urls.len())?,
        };
        // Without either flag, an existing file is a failure, whatever it was saved from.
        let records = match target.is_none() && (arguments.resume || arguments.overwrite) {
            true => Records::read(&folder)
                .with_context(|| format!("cannot read the folder {}", Escaped::new(&folder)))?,
            false if target.is_some() => Records::default(),
            false => Records::names_only(&folder),
        };
        let mut items: Vec<Item> = urls.iter().map(item).collect();
        if let Some(sha256) = arguments.sha256 {
            let [item] = &mut items[..] else {
                bail!("--sha256 is for one URL, not {}: a list has a column for it", items.len())
            };
            item.sha256 = Some(sha256);
        }
        let names = assign_names(&mut items, file.as_deref(), &records, arguments.overwrite);
        if target.is_none() {
            check_folder(&folder, &records, &items, arguments)?;
        }
        Ok(Plan { items, folder, target, names, records: Rc::new(records), from_stdin })
    }

    /// Returns the names in use, for downloads to add theirs.
    pub(super) fn names(&self) -> Rc<RefCell<Names>> {
        Rc::new(RefCell::new(self.names.clone()))
    }
}

fn check_target(target: &Target, urls: usize, arguments: &Arguments) -> anyhow::Result<()> {
    let shown = Escaped::new(target.path());
    ensure!(
        urls == 1 || target.takes_several(),
        "--output {shown} takes one URL, not {urls}: their bytes would be mixed"
    );
    ensure!(!arguments.compare, "--compare downloads into files, not to --output {shown}");
    ensure!(
        arguments.overwrite || !target.is_disk(),
        "--output {shown} is a disk; --overwrite overwrites its contents"
    );
    Ok(())
}

/// Refuses what would otherwise fail only after the first bytes have arrived.
fn check_folder(
    folder: &Path,
    records: &Records,
    items: &[Item],
    arguments: &Arguments,
) -> anyhow::Result<()> {
    let there = |item: &&Item| {
        records.may_have(&item.name) && fs::symlink_metadata(folder.join(&item.name)).is_ok()
    };
    let mut wanted = items.iter().filter(|item| item.url.is_ok());
    if arguments.compare && !arguments.overwrite {
        // Otherwise everything would be downloaded once before the failure.
        if let Some(item) = wanted.clone().find(there) {
            let path = folder.join(&item.name);
            bail!(
                "{} exists; --overwrite replaces it, --output saves elsewhere",
                Escaped::new(&path)
            )
        }
    }
    if arguments.overwrite || wanted.any(|item| !there(&item)) {
        let path = if folder == Path::new("") { Path::new(".") } else { folder };
        let access = Access::WRITE_OK | Access::EXEC_OK;
        // The causes of other errors are unknown.
        if let Err(error @ (Errno::ACCESS | Errno::ROFS)) =
            accessat(CWD, path, access, AtFlags::EACCESS)
        {
            let error = plain(&error.into());
            bail!(
                "cannot write to the folder {}: {error}; --output saves elsewhere",
                Escaped::new(path)
            )
        }
    }
    Ok(())
}

/// Follows a link to a file, which need not exist; `None` if the link leads to something else, or
/// in a circle.
fn resolve_link(link: &Path) -> Option<PathBuf> {
    /// The maximum number of links in a path, as on Linux.
    const LINKS_MAX: usize = 40;
    if let Ok(end) = fs::canonicalize(link) {
        return end.is_file().then_some(end);
    }
    let mut path = link.to_owned();
    for _ in 0..LINKS_MAX {
        path = match fs::read_link(&path) {
            Ok(next) => path.parent().unwrap_or(Path::new("")).join(next),
            Err(error) => return (error.kind() == io::ErrorKind::NotFound).then_some(path),
        };
    }
    None
}

/// Returns the folder to save in, and the name of the file if the user gives it. If that name is a
/// link to a file, the new file goes where the link leads, as with curl and wget.
fn save_location(arguments: &Arguments, urls: usize) -> anyhow::Result<(PathBuf, Option<String>)> {
    let Some(path) = arguments.output.as_deref() else { return Ok((PathBuf::new(), None)) };
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let end = match urls == 1 && is_link && (arguments.overwrite || arguments.resume) {
        true => resolve_link(path),
        false => None,
    };
    let path = end.as_deref().unwrap_or(path);
    let shown = Escaped::new(path);
    if path.is_dir() {
        return Ok((path.to_owned(), None));
    }
    if urls > 1 || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        ensure!(
            fs::metadata(path).is_err(),
            "--output {shown} is a file; {} a folder",
            if urls > 1 { format!("{urls} URLs need") } else { "a slash at the end means".into() }
        );
        fs::create_dir_all(path).with_context(|| format!("cannot create the folder {shown}"))?;
        return Ok((path.to_owned(), None));
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else { bail!("--output {shown} does not end in a file name") };
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    ensure!(
        folder == Path::new("") || folder.is_dir(),
        "cannot save {name}: there is no folder {}",
        Escaped::new(&folder)
    );
    Ok((folder, Some(name.to_owned())))
}

fn item(entry: &Entry) -> Item {
    let shown = url::shown(&entry.url);
    let mut url = entry.check().and_then(|()| Url::parse(&entry.url));
    let from_url = match &url {
        Ok(url) => name::from_url(&url.uri),
        Err(_) => "index.html".to_owned(),
    };
    let key =
        Key::from_url(&url.as_ref().map_or_else(|_| shown.clone(), |url| url.uri.to_string()));
    let given = entry.name.as_deref().map(|name| String::from_utf8_lossy(name).into_owned());
    // A name that is not UTF-8 is refused, too: it would be changed.
    let is_plain = |name: &String| {
        name::clean(name).as_ref() == Some(name) && entry.name.as_deref() == Some(name.as_bytes())
    };
    if !given.as_ref().is_none_or(is_plain) && url.is_ok() {
        url = Err(format!("its name{} is not a plain file name", entry.location()));
    }
    let sha256 = entry.sha256.as_deref().map(|digits| String::from_utf8_lossy(digits).parse());
    let sha256 = sha256.transpose().unwrap_or_else(|error| {
        url = Err(format!("its checksum{} is malformed: {error}", entry.location()));
        None
    });
    let has_fixed_name = given.is_some();
    let name = given.unwrap_or(from_url);
    Item { key, shown, url, name, has_fixed_name, sha256 }
}

/// Gives each download a name of its own: the user's, the name of the file that an earlier run
/// saved from its URL, or the name in the URL.
fn assign_names(
    items: &mut [Item],
    file: Option<&str>,
    records: &Records,
    replaces: bool,
) -> Names {
    let mut names = Names::default();
    let keys: HashSet<Key> = items.iter().map(|item| item.key).collect();
    for (name, record) in records.files() {
        // With --overwrite, files of URLs outside the list may be replaced.
        if !replaces || keys.contains(&record.key) {
            names.reserve(name, record.key);
        }
    }
    // By key: whether the list gives it a name or a checksum.
    let mut seen: HashMap<Key, bool> = HashMap::new();
    for item in items.iter_mut() {
        let is_given = item.has_fixed_name || item.sha256.is_some();
        let was_given = seen.insert(item.key, is_given);
        if was_given.is_some_and(|was_given| was_given || is_given) && item.url.is_ok() {
            item.url = Err("the list has this URL twice, and gives it a name or a checksum".into());
        } else if item.has_fixed_name && item.url.is_ok() && !names.take(&item.name) {
            item.url = Err(format!("the list gives the name {} to two URLs", item.name));
        }
    }
    // After all names that the list gives.
    for item in items.iter_mut().filter(|item| !item.has_fixed_name) {
        let known = file.or_else(|| records.name_of(item.key));
        item.has_fixed_name = known.is_some();
        item.name = match file {
            Some(file) => file.to_owned(),
            None => names.claim(known.unwrap_or(&item.name), item.key),
        };
    }
    if let (Some(file), [item]) = (file, items) {
        item.name = file.to_owned();
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_get_numbers_in_the_order_of_the_urls() {
        let mut items = ["http://a/x.txt", "http://b/x.txt", "http://c/"]
            .map(|url| item(&list::entry(url.as_bytes())));
        assign_names(&mut items, None, &Records::default(), false);
        assert_eq!(items.map(|item| item.name), ["x.txt", "x-1.txt", "index.html"]);
    }
}

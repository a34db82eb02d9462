//! From the arguments to a list of downloads, each with a place of its own.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, bail, ensure};
use overlapped::fs;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use ureq::http::Uri;

use super::Arguments;
use super::download::Item;
use super::file::name::{self, Names};
use super::file::record::{Key, Records};

/// What people paste although a URL cannot have it. The percent sign is not among them: what is
/// encoded stays as it is.
const TO_ENCODE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// All downloads, in the order in which they were named.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) items: Vec<Item>,
    pub(super) folder: PathBuf,
    names: Names,
    pub(super) records: Rc<Records>,
    /// Whether the list came from standard input, and so cannot be had again.
    pub(super) from_stdin: bool,
}

impl Plan {
    pub(super) fn of(arguments: &Arguments) -> anyhow::Result<Plan> {
        let (urls, from_stdin) = list(arguments)?;
        ensure!(!urls.is_empty(), "the list has no URL in it: give one on each line");
        let (folder, file) = place(arguments.output.as_deref(), urls.len())?;
        // Without either, a file that exists is a failure, whatever it was saved from.
        let records = match arguments.resume || arguments.overwrite {
            true => Records::read(&folder)
                .with_context(|| format!("cannot read the folder {}", folder.display()))?,
            false => Records::default(),
        };
        let mut items: Vec<Item> = urls.iter().map(|url| item(url)).collect();
        let names = settle_names(&mut items, file.as_deref(), &records, arguments.overwrite);
        Ok(Plan { items, folder, names, records: Rc::new(records), from_stdin })
    }

    /// The names that are taken, for downloads to add theirs.
    pub(super) fn names(&self) -> Rc<RefCell<Names>> {
        Rc::new(RefCell::new(self.names.clone()))
    }
}

/// Every URL once, and whether some came from standard input.
fn list(arguments: &Arguments) -> anyhow::Result<(Vec<String>, bool)> {
    let (mut urls, mut from_stdin) = (Vec::new(), false);
    let mut read = |urls: &mut Vec<String>| {
        from_stdin = true;
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("cannot read URLs from standard input")?;
        urls.extend(lines(&text));
        anyhow::Ok(())
    };
    for url in &arguments.urls {
        match url.as_str() {
            "-" => read(&mut urls)?,
            url => urls.push(url.to_owned()),
        }
    }
    match arguments.input.as_deref() {
        None => {}
        Some(path) if path == Path::new("-") => read(&mut urls)?,
        Some(path) => {
            let name = path.display();
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
            urls.extend(lines(&text));
        }
    }
    let mut seen = HashSet::new();
    urls.retain(|url| seen.insert(url.clone()));
    Ok((urls, from_stdin))
}

fn lines(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
}

/// The folder to save in, and the name of the file if the user gives it.
fn place(output: Option<&Path>, urls: usize) -> anyhow::Result<(PathBuf, Option<String>)> {
    let Some(path) = output else { return Ok((PathBuf::new(), None)) };
    let shown = path.display();
    if path.is_dir() {
        return Ok((path.to_owned(), None));
    }
    if urls > 1 || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        fs::create_dir_all(path)
            .with_context(|| format!("cannot make the folder {shown} to save {urls} URLs in"))?;
        return Ok((path.to_owned(), None));
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else { bail!("--output {shown} is no name for a file") };
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    ensure!(
        folder == Path::new("") || folder.is_dir(),
        "there is no folder {} to save {name} in",
        folder.display()
    );
    Ok((folder, Some(name.to_owned())))
}

fn item(url: &str) -> Item {
    let url = utf8_percent_encode(url, TO_ENCODE).to_string();
    let uri = url.parse::<Uri>();
    let refused = match &uri {
        Err(error) => Some(error.to_string()),
        Ok(uri) => match uri.scheme_str() {
            Some("http" | "https") => None,
            _ => Some("this is no URL that begins with http:// or https://".to_owned()),
        },
    };
    let name = uri.map_or_else(|_| "index.html".to_owned(), |uri| name::from_url(&uri));
    let shown = without_password(&url);
    Item { key: Key::of(&shown), shown, url, name, is_name_settled: false, refused }
}

/// Gives each download a name of its own: the user's, that of the file which an earlier run has
/// saved from its URL, or what the URL proposes.
fn settle_names(
    items: &mut [Item],
    file: Option<&str>,
    records: &Records,
    replaces: bool,
) -> Names {
    let mut names = Names::default();
    let keys: HashSet<Key> = items.iter().map(|item| item.key).collect();
    for (name, record) in records.files() {
        // Files of URLs that are not in the list may be replaced by who asks for it.
        if !replaces || keys.contains(&record.key) {
            names.reserve(name, record.key);
        }
    }
    for item in items {
        let known = file.or_else(|| records.name_of(item.key));
        item.is_name_settled = known.is_some();
        item.name = match file {
            Some(file) => file.to_owned(),
            None => names.claim(known.unwrap_or(&item.name), item.key),
        };
    }
    names
}

/// The URL without user and password, for people and files.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_comments_and_empty_lines() {
        let text = "http://a\n\n# not this\n  http://b  \r\n#http://c";
        assert_eq!(lines(text).collect::<Vec<_>>(), ["http://a", "http://b"]);
    }

    #[test]
    fn what_is_pasted_is_encoded_and_what_is_encoded_stays() {
        assert_eq!(item("http://h/a b/ü.txt?x=%20").url, "http://h/a%20b/%C3%BC.txt?x=%20");
        assert_eq!(item("http://h/a b/ü.txt").name, "ü.txt");
        assert_eq!(item("http://[::1]:80/x").refused, None);
        for url in ["ftp://h/x", "h/x", "/x", "", "http//h", "file:///etc/passwd"] {
            assert!(item(url).refused.is_some(), "{url}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("http://user:secret@host/a@b", "http://host/a@b"),
            ("http://user@host", "http://host"),
            ("http://a@b@host?x@y", "http://host?x@y"),
            ("http://host/x@y", "http://host/x@y"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn equal_names_get_numbers_in_the_order_of_the_urls() {
        let mut items = ["http://a/x.txt", "http://b/x.txt", "http://c/"].map(item);
        settle_names(&mut items, None, &Records::default(), false);
        assert_eq!(items.map(|item| item.name), ["x.txt", "x-1.txt", "index.html"]);
    }
}

//! The list of the methods and traits of std's blocking types, `docs/std-items.txt`, which is made
//! from the documentation that rustup installs (component `rust-docs`).
//!
//! Each line is an item: `fn Type::method version` or `impl Trait for Type version`. Only stable
//! items that exist on Linux are listed. `crates/overlapped/tests/std_shapes.rs` compares the
//! library with this list.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

/// The pages, each for a type or for a trait that only some systems have.
const PAGES: &[&str] = &[
    "net/struct.TcpStream",
    "os/linux/net/trait.TcpStreamExt",
    "net/struct.TcpListener",
    "net/struct.UdpSocket",
    "os/unix/net/struct.UnixStream",
    "os/unix/net/struct.UnixListener",
    "os/unix/net/struct.UnixDatagram",
    "fs/struct.File",
    "os/unix/fs/trait.FileExt",
    "fs/struct.OpenOptions",
    "os/unix/fs/trait.OpenOptionsExt",
    "process/struct.Command",
    "os/unix/process/trait.CommandExt",
    "process/struct.Child",
];

/// The path of the list from the root.
const LIST: &str = "docs/std-items.txt";

/// Writes the list, and returns the number of its items.
pub fn write(root: &Path) -> anyhow::Result<usize> {
    let std = Path::new(&rustc(&["--print", "sysroot"])?).join("share/doc/rust/html/std");
    let version = rustc(&["--version"])?;
    let version = version.split(' ').nth(1).context("rustc prints no version")?;
    let mut list = format!(
        "# The stable items of std {version}, on Linux: written by `cargo xtask std-items`.\n"
    );
    let mut count = 0;
    for page in PAGES {
        let path = std.join(format!("{page}.html"));
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("{} is missing: `rustup component add rust-docs` installs it", path.display())
        })?;
        let name = page.rsplit('.').next().context("a page has a name")?;
        let items = items(&text, name);
        if items.is_empty() {
            bail!("{} has no items: has rustdoc changed?", path.display());
        }
        count += items.len();
        writeln!(list, "\n# {page}")?;
        for item in items {
            writeln!(list, "{item}")?;
        }
    }
    std::fs::write(root.join(LIST), list)?;
    Ok(count)
}

/// Runs rustc, and returns its output.
fn rustc(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("rustc").args(arguments).output()?;
    if !output.status.success() {
        bail!("rustc {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Lists the items of one page.
fn items(page: &str, name: &str) -> Vec<String> {
    let traits = page.find("id=\"trait-implementations\"").unwrap_or(page.len());
    // On a trait's page the implementors follow. On a type's page, the traits of every type do.
    let ends = ["id=\"implementors\"", "id=\"synthetic-implementations\""];
    let end = ends.iter().filter_map(|end| page.find(end)).min().unwrap_or(page.len());
    let own = &page[..traits.min(end)];
    let mut items = Vec::new();
    for section in sections(own, &["method.", "tymethod."]) {
        let head = section.split("<h4").next().unwrap_or_default();
        let method = section.split('"').next().unwrap_or_default();
        if let Some(version) = stable_since(head) {
            items.push(format!("fn {name}::{method} {version}"));
        }
    }
    for section in sections(page.get(traits..end).unwrap_or_default(), &["impl-"]) {
        let head = section.split("</section>").next().unwrap_or_default();
        let title = head.split_once("<h3").and_then(|(_, title)| title.split_once("</h3>"));
        let (Some(version), Some((title, _))) = (stable_since(head), title) else {
            continue;
        };
        if is_on_linux(head) {
            let title = title.split_once('>').map_or(title, |(_, title)| title);
            items.push(format!("{} {version}", without_lifetimes(&plain(title))));
        }
    }
    items
}

/// Collects the text after each `<section id="…` that begins with one of `kinds`.
fn sections<'a>(page: &'a str, kinds: &[&str]) -> Vec<&'a str> {
    let parts = page.split("<section id=\"").skip(1);
    parts.filter_map(|part| kinds.iter().find_map(|kind| part.strip_prefix(kind))).collect()
}

fn stable_since(head: &str) -> Option<&str> {
    head.split_once("Stable since Rust version ")?.1.split('"').next()
}

fn is_on_linux(head: &str) -> bool {
    let Some((_, places)) = head.split_once("Available on ") else {
        return true;
    };
    let places = places.split(" only").next().unwrap_or_default();
    places.contains("Unix") || places.contains("Linux")
}

/// Removes tags, replaces entities by their characters, and leaves single spaces.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        rest = tag.split_once('>').map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    for (entity, character) in [("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&amp;", "&")] {
        text = text.replace(entity, character);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Turns `impl<'a> Read for &'a File` into `impl Read for &File`.
fn without_lifetimes(title: &str) -> String {
    title.replacen("<'a>", "", 1).replace("&'a ", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r##"
<div id="implementations-list"><section id="impl-T" class="impl"></section>
<section id="method.open" class="method"><span class="since"
title="Stable since Rust version 1.2.0">1.2.0</span><h4 class="code-header">pub fn
<a href="#">open</a>()</h4></section><section id="method.new_thing" class="method"><h4>…</h4>
<div class="stab unstable">…</div></section></div>
<h2 id="trait-implementations">…</h2><section id="impl-Read-for-%26T" class="impl"><span
title="Stable since Rust version 1.3.0">1.3.0</span><h3 class="code-header">impl&lt;'a&gt;
<a>Read</a> for &amp;'a <a>T</a></h3></section><section id="method.read"
class="method trait-impl"><span title="Stable since Rust version 1.0.0"><h4>…</h4></section>
<section id="impl-From" class="impl"><span title="Stable since Rust version 1.4.0"><h3
class="code-header">impl <a>From</a>&lt;<a>X</a>&gt; for T</h3><span>Available on
<strong>Windows</strong> only.</span></section>
<h2 id="synthetic-implementations">…</h2><section id="impl-Send-for-T"><span
title="Stable since Rust version 1.0.0"><h3>impl Send for T</h3></section>"##;

    #[test]
    fn stable_items_that_exist_on_linux_are_listed() {
        // As rustdoc writes it: no line breaks in these places.
        let page = PAGE.replace("Available on\n", "Available on ").replace("since\"\n", "since\" ");
        let page = page.replace("<span\n", "<span ").replace("<h3\n", "<h3 ");
        assert_eq!(items(&page, "T"), ["fn T::open 1.2.0", "impl Read for &T 1.3.0"]);
    }
}

//! The page that lists a folder.
//!
//! One job on a pool thread reads the names and their metadata and writes the page; otherwise each
//! of thousands of small calls would go to the pool and back. The server sorts, by a query
//! (`?sort=size&order=desc`), so the page needs no script.

use std::borrow::Cow;
use std::fmt::Write;
use std::os::fd::OwnedFd;

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, VARY};
use http::{HeaderValue, StatusCode};
use overlapped::task::unblock;
use overlapped_wire::http::{Answer, Content};
use rustix::io::Errno;

use super::config::FilesConfig;
use super::encoding::{accepted_from_server, compress};
use super::entries::{Column, Entries, Entry, READ_MAX, SHOWN_MAX, Sorting};
use super::mime;
use crate::web::page::{self, HtmlEscaped, STYLE};
use crate::web::{Call, target};

/// Answers with the page of the folder `path`, which is open as `fd`.
pub(super) fn answer(call: &Call<'_>, config: &FilesConfig, path: Vec<u8>, fd: OwnedFd) -> Answer {
    let sorting = Sorting::from_query(call.request.uri().query().unwrap_or_default());
    let coding = accepted_from_server(call.request.headers());
    let (config, prefix) = (config.clone(), call.prefix.to_owned());
    let job = move || {
        let entries = Entries::read(&config, &path, fd, sorting)?;
        let page = Listing { entries }.page(&prefix, &path, sorting);
        let compressed =
            coding.and_then(|coding| Some((coding, compress(page.as_bytes(), coding).ok()?)));
        Ok::<_, Errno>((page, compressed))
    };
    let (page, compressed) = match unblock(job) {
        Ok(Ok(made)) => made,
        Ok(Err(errno)) => {
            tracing::error!(%errno, "cannot list a folder");
            return page::refusal(&call.request, StatusCode::INTERNAL_SERVER_ERROR);
        }
        Err(error) => {
            tracing::error!(%error, "cannot list a folder");
            return page::busy(&call.request);
        }
    };
    let mut answer = page::html(StatusCode::OK, page);
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some((coding, compressed)) = compressed
        && let Some((name, _)) = coding.name()
    {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        *answer.body_mut() = Content::Bytes(Cow::Owned(compressed));
    }
    answer
}

struct Listing {
    entries: Entries,
}

impl Listing {
    fn page(&self, prefix: &str, path: &[u8], sorting: Sorting) -> String {
        let title = String::from_utf8_lossy(path).into_owned();
        let title = format!("{prefix}/{title}");
        let mut page = String::with_capacity(4096 + 300 * self.entries.shown.len());
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{}</title>\n<style>{STYLE}</style></head>\n<body><main>\n",
            HtmlEscaped(&title)
        );
        crumbs(&mut page, prefix, path);
        self.summary(&mut page);
        page += "<table><thead><tr>";
        for (by, class, text) in [
            (Column::Name, "name", "Name"),
            (Column::Size, "size", "Size"),
            (Column::Time, "time", "Modified"),
        ] {
            heading(&mut page, sorting, by, class, text);
        }
        page += "</tr></thead>\n<tbody>\n";
        if !path.is_empty() {
            page += "<tr class=\"up\"><td class=\"name\"><a href=\"../\"><i class=\"up\"></i>\
                     <span>Parent folder</span></a></td><td class=\"size\"></td>\
                     <td class=\"time\"></td></tr>\n";
        }
        self.entries.shown.iter().for_each(|entry| row(&mut page, entry));
        page += "</tbody></table>\n";
        if self.entries.shown.is_empty() {
            page += "<p class=\"note\">This folder is empty.</p>\n";
        }
        if let Some(cut) = self.truncation() {
            let _ = writeln!(page, "<p class=\"note\">{cut} are shown.</p>");
        }
        page += "</main></body></html>\n";
        page
    }

    /// Describes the entries that are shown; returns `None` if these are all.
    fn truncation(&self) -> Option<String> {
        let Entries { shown, found, is_cut } = &self.entries;
        if !is_cut && *found <= SHOWN_MAX {
            return None;
        }
        let (shown, found) = (grouped(shown.len()), grouped(*found));
        let more = if *is_cut {
            format!("; only {} names of this folder were read", grouped(READ_MAX))
        } else {
            String::new()
        };
        Some(format!("The first {shown} of {found} entries{more}"))
    }

    fn summary(&self, page: &mut String) {
        if let Some(cut) = self.truncation() {
            let _ = writeln!(page, "<p class=\"summary\">{cut}</p>");
            return;
        }
        let entries = &self.entries.shown;
        let folders = entries.iter().filter(|entry| entry.is_folder).count();
        let files = entries.len() - folders;
        let total = entries.iter().filter(|entry| !entry.is_folder).map(|entry| entry.size);
        let total: u64 = total.fold(0, u64::saturating_add);
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let mut facts = Vec::new();
        if folders > 0 {
            facts.push(format!("{} folder{}", grouped(folders), plural(folders)));
        }
        if files > 0 {
            facts.push(format!("{} file{}", grouped(files), plural(files)));
            facts.push(size(total));
        }
        let _ = writeln!(page, "<p class=\"summary\">{}</p>", facts.join(" · "));
    }
}

/// Formats 12345 as `12,345`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Writes the folders from the site's root to this one, each as a link.
fn crumbs(page: &mut String, prefix: &str, path: &[u8]) {
    *page += "<h1>";
    let root = target::encode(prefix.trim_start_matches('/').as_bytes());
    let root = if prefix.is_empty() { "/".to_owned() } else { root + "/" };
    let _ = write!(page, "<a href=\"{root}\" class=\"root\" title=\"Top\"><i class=\"home\"></i>");
    if !prefix.is_empty() {
        let _ = write!(page, "<span>{}</span>", HtmlEscaped(prefix.trim_start_matches('/')));
    }
    *page += "</a>";
    let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|n| !n.is_empty()).collect();
    for (at, name) in names.iter().enumerate() {
        let text = String::from_utf8_lossy(name);
        let text = HtmlEscaped(&text);
        *page += "<b>/</b>";
        if at + 1 == names.len() {
            let _ = write!(page, "<span aria-current=\"page\">{text}</span>");
        } else {
            let up = "../".repeat(names.len() - 1 - at);
            let _ = write!(page, "<a href=\"{up}\">{text}</a>");
        }
    }
    *page += "</h1>\n";
}

fn heading(page: &mut String, sorting: Sorting, by: Column, class: &str, text: &str) {
    let column = match by {
        Column::Name => "name",
        Column::Size => "size",
        Column::Time => "time",
    };
    let is_current = sorting.by == by;
    // A second click reverses the order.
    let next = if is_current && !sorting.descending { "desc" } else { "asc" };
    let (sort, arrow) = match (is_current, sorting.descending) {
        (false, _) => ("none", ""),
        (true, false) => ("ascending", " <u>↑</u>"),
        (true, true) => ("descending", " <u>↓</u>"),
    };
    let _ = write!(
        page,
        "<th class=\"{class}\" aria-sort=\"{sort}\">\
         <a href=\"?sort={column}&amp;order={next}\">{text}{arrow}</a></th>"
    );
}

fn row(page: &mut String, entry: &Entry) {
    let name = String::from_utf8_lossy(&entry.name);
    let (slash, class) =
        if entry.is_folder { ("/", "folder") } else { ("", class(std::path::Path::new(&*name))) };
    // Without `./`, a name with a colon would be taken for a scheme.
    let link = format!(".{}{slash}", target::encode(&entry.name));
    let _ = write!(
        page,
        "<tr><td class=\"name\"><a href=\"{link}\" title=\"{name}{slash}\">\
         <i class=\"{class}\"></i><span>{name}{slash}</span></a></td>",
        name = HtmlEscaped(&name)
    );
    if entry.is_folder {
        *page += "<td class=\"size\">—</td>";
    } else {
        let bytes = entry.size;
        let _ = write!(page, "<td class=\"size\" title=\"{bytes} bytes\">{}</td>", size(bytes));
    }
    let (day, clock) = date(entry.modified);
    let _ = writeln!(
        page,
        "<td class=\"time\"><time datetime=\"{day}T{clock}Z\" title=\"{day} {clock} UTC\">{day}\
         <s> {clock}</s></time></td></tr>"
    );
}

/// Returns the CSS class of the picture for a file.
fn class(name: &std::path::Path) -> &'static str {
    let kind = mime::media_type(name);
    let kind = kind.split(';').next().unwrap_or_default();
    match kind.split_once('/').unwrap_or((kind, "")) {
        ("image", _) => "image",
        ("audio" | "video", _) => "media",
        (
            "application",
            "gzip" | "zip" | "x-tar" | "zstd" | "x-xz" | "x-bzip2" | "x-7z-compressed",
        ) => "archive",
        ("text", "html" | "css" | "javascript" | "xml" | "x-rust" | "x-c" | "x-sh")
        | ("application", "json" | "xml" | "wasm" | "javascript" | "x-sh" | "yaml" | "toml") => {
            "code"
        }
        ("text", _) | ("application", "pdf") => "text",
        _ => "file",
    }
}

/// Formats 1536 as `1.5 KiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // A value that would be rounded to 1024 becomes 1 of the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 99.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// Formats day and time of day in UTC, by the civil calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms", `civil_from_days`).
fn date(seconds: i64) -> (String, String) {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let day = format!("{year:04}-{month:02}-{day:02}");
    (day, format!("{:02}:{:02}", second / 3600, second / 60 % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_formatted_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (102_348, "99.9 KiB"),
            (102_400, "100 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
        for (seconds, day, clock) in [
            (0, "1970-01-01", "00:00"),
            (-1, "1969-12-31", "23:59"),
            (1_709_210_096, "2024-02-29", "12:34"),
        ] {
            assert_eq!(date(seconds), (day.to_owned(), clock.to_owned()));
        }
    }

    #[test]
    fn names_are_escaped_in_texts_and_in_links() {
        let entry = Entry {
            name: b"<b>&\"'%:\xff\n\xe2\x80\xaetxt.exe".to_vec(),
            is_folder: false,
            size: 1,
            modified: 0,
        };
        let mut page = String::new();
        row(&mut page, &entry);
        let link = "href=\"./%3Cb%3E%26%22%27%25%3A%FF%0A%E2%80%AEtxt.exe\"";
        assert!(page.contains(link), "{page}");
        let text = "<span>&lt;b&gt;&amp;&quot;&#39;%:\u{fffd}\u{fffd}\u{fffd}txt.exe</span>";
        assert!(page.contains(text), "{page}");
    }
}

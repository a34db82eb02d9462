//! Flags of other programs, typed by habit: what does the same here.
//!
//! A flag that means exactly the same is an alias or a hidden argument of its command. For the
//! others clap would propose a flag of a similar name, or to take them for a file; here the error
//! says what to type instead, or that nothing does the same.

use std::ffi::OsString;
use std::net::IpAddr;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Flags with one answer.
type Habit = (&'static [&'static str], &'static str);

/// cp's and rsync's.
const COPY: &[Habit] = &[
    (
        &["-v", "--verbose", "--progress"],
        "there is no list of what is copied: totals and failures are printed anyway",
    ),
    (
        &["-u", "--update"],
        "dates are not compared: --no-clobber (-n) keeps every file that is there",
    ),
    (&["-i", "--interactive"], "copy never asks: --no-clobber (-n) keeps every file that is there"),
    (&["-b", "--backup"], "no backups are made: --no-clobber (-n) keeps every file that is there"),
    (
        &["-c", "--resume", "--continue", "--partial"],
        "after a stop --no-clobber (-n) copies what is not there yet",
    ),
    (&["--overwrite"], "files that are there are replaced anyway, write-protected ones by --force"),
    (&["-q", "--quiet"], "all that is printed is one line, and what failed: leave this out"),
    (&["-d"], "symbolic links stay links anyway; --archive (-a) keeps hard links, too"),
    (
        &["-L", "--dereference", "-H"],
        "symbolic links are never followed: give the path that a link leads to",
    ),
    (
        &["--preserve="],
        "it takes no list: permissions and times are kept anyway, --preserve (-p) keeps owners, \
         set-ID bits and ACLs, too, and --archive (-a) all that can be kept",
    ),
    (
        &["--no-preserve"],
        "permissions and times are kept anyway; owners, ACLs and extended attributes only by \
         --preserve (-p) or --archive (-a)",
    ),
    (&["-l", "--link", "-s", "--symbolic-link"], "links are made by ln: this makes copies"),
    (
        &["-t", "--target-directory"],
        "the folder to copy into is the last argument: overlapped copy SRC... DST",
    ),
    (
        &["-T", "--no-target-directory"],
        "SRC/. stands for what is in SRC: overlapped copy SRC/. DST",
    ),
    (&["--sparse"], "holes are always kept"),
    (&["--reflink"], "it cannot be chosen: the kernel decides whether blocks are shared"),
    (
        &["--delete", "--exclude", "--include", "--dry-run"],
        "folders are copied whole, and nothing is removed from DST: rsync can do more",
    ),
];

/// curl's, wget's and aria2's.
const GET: &[Habit] = &[
    (
        &["-u", "--user", "--http-user", "--password", "--http-password"],
        "user and password are a part of the URL, https://USER:PASSWORD@HOST/, or stand in \
         ~/.netrc: --netrc",
    ),
    (
        &["-n"],
        "in place of curl's -n write --netrc, of wget's -nv --quiet (-q), of wget's -nc --resume \
         (-c), which skips files that are there",
    ),
    (
        &["-k", "--insecure", "--no-check-certificate", "--check-certificate"],
        "certificates are always checked: --cacert FILE trusts the one in FILE",
    ),
    (&["--ca-certificate"], "--cacert FILE trusts the certificates in FILE, and no others"),
    (&["-E", "--cert", "--key", "--certificate"], "client certificates are not supported"),
    (
        &["-O", "--output-document", "--remote-name"],
        "--output (-o) FILE gives the file its name; without it the server or the URL does",
    ),
    (
        &["-J", "--remote-header-name", "--content-disposition"],
        "the name that the server proposes is taken anyway: leave this out",
    ),
    (
        &["-P", "--directory-prefix", "--output-dir", "--dir"],
        "--output (-o) DIR/ saves in that folder, and makes it where it is missing",
    ),
    (
        &["-d"],
        "in place of aria2's -d write --output (-o) DIR/; curl's has no counterpart: only GET is \
         sent",
    ),
    (&["-s", "--silent", "--no-verbose"], "--quiet (-q) says only what failed"),
    (&["-S", "--show-error"], "errors are always said: leave this out"),
    (&["-v", "--verbose"], "RUST_LOG=debug in front of the command tells more"),
    (&["-#", "--progress-bar"], "bars are always shown on a terminal: leave this out"),
    (&["-C", "--continue-at"], "--resume (-c) goes on where an earlier run has ended"),
    (
        &["-x"],
        "in place of curl's -x set the variable https_proxy=http://HOST:PORT (http_proxy for \
         http://); aria2's has no counterpart: each file comes over one connection",
    ),
    (
        &["--proxy", "--all-proxy", "--https-proxy", "--http-proxy"],
        "a proxy is set by the variable https_proxy=http://HOST:PORT (http_proxy for http://)",
    ),
    (
        &["--split", "--max-connection-per-server", "--min-split-size"],
        "each file comes over one connection: --jobs (-j) N downloads N files at a time",
    ),
    (
        &["-Z", "--parallel", "--parallel-max", "--max-concurrent-downloads"],
        "files are downloaded at the same time anyway: --jobs (-j) N says how many",
    ),
    (
        &["-X", "--request", "--data", "-F", "--form", "--json", "--method", "--post-data"],
        "only GET is sent: curl can do more",
    ),
    (&["--upload-file", "-I", "--head", "--spider"], "files are downloaded: curl can do more"),
    (
        &["-T"],
        "in place of wget's -T write --timeout DURATION; curl's has no counterpart: nothing is \
         uploaded",
    ),
    (
        &["--connect-timeout", "--read-timeout", "--dns-timeout"],
        "--timeout DURATION limits connecting, and every wait behind it",
    ),
    (
        &["-m", "--max-time", "--mirror"],
        "the time for a whole download has no limit, --timeout limits every wait; wget's -m has no \
         counterpart: links of pages are not followed",
    ),
    (
        &["--limit-rate", "--max-overall-download-limit", "--max-download-limit"],
        "--rate-limit SIZE is for all downloads together",
    ),
    (
        &["-t", "--retry", "--tries", "--max-tries"],
        "--retries N: that many attempts after the first one",
    ),
    (&["-U"], "--user-agent (-A) NAME"),
    (&["-b", "--cookie", "--load-cookies"], "--header (-H) \"Cookie: NAME=VALUE\" sends a cookie"),
    (&["-e", "--referer"], "--header (-H) \"Referer: URL\" sends it"),
    (&["--checksum"], "--sha256 HEX; a list has a column for it"),
    (
        &["-N", "--timestamping", "-z", "--time-cond"],
        "dates are not compared: --overwrite replaces files that are there, --resume (-c) keeps \
         them",
    ),
    (&["--force"], "--overwrite replaces files that are there"),
    (&["--no-clobber"], "without a flag no file is replaced; --resume (-c) skips those there"),
    (
        &["-r", "--recursive", "-l", "--level", "-p", "--page-requisites"],
        "links of pages are not followed: wget does that",
    ),
];

/// Those of other servers of folders.
const SERVE: &[Habit] = &[
    (&["-p"], "a TCP port is part of the address: --listen 127.0.0.1:PORT"),
    (
        &["-b", "--bind", "-a", "--address", "--addr", "--interface"],
        "--listen ADDRESS:PORT, and 0.0.0.0 for the whole network",
    ),
    (
        &["-d", "--directory", "--dir", "--root", "--docroot"],
        "the folder is no flag: overlapped serve http DIR",
    ),
    (&["-s", "--single", "--spa"], "--fallback /index.html sends that page for every path"),
    (
        &["-S", "--ssl", "--tls", "--https", "--cert", "--key", "--ssl-cert", "--ssl-key"],
        "--tls-cert FILE --tls-key FILE",
    ),
    (&["-g", "--gzip", "--brotli", "--compress"], "texts are packed anyway: leave this out"),
    (&["-l", "--browse", "--directory-listing"], "--list lists folders that have no index"),
    (&["-w", "--workers", "--processes"], "--threads N"),
    (&["-c"], "overlapped serve --config FILE"),
];

const COMMANDS: &[(&str, &[Habit])] = &[("copy", COPY), ("get", GET), ("serve", SERVE)];

/// The arguments as clap reads them right. Of `copy -- a -n2` it takes `-n2` for an option: where
/// several values may stand in front of the last one, it looks ahead and forgets the `--`.
pub(crate) fn for_clap(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let is_copy = arguments.iter().find(|name| COMMANDS.iter().any(|(known, _)| *name == known));
    if is_copy.is_some_and(|name| name == "copy") {
        let paths = arguments.iter_mut().skip_while(|argument| *argument != "--").skip(1);
        for path in paths.filter(|path| path.as_encoded_bytes().starts_with(b"-")) {
            let mut same = OsString::from("./");
            same.push(&*path);
            *path = same;
        }
    }
    arguments
}

/// Makes the error of who has typed a flag of another program, with these arguments, name ours.
pub(crate) fn explain(
    mut error: clap::Error,
    arguments: impl IntoIterator<Item = OsString>,
) -> clap::Error {
    let tip = misplaced(&error).or_else(|| {
        let mut names = arguments.into_iter().skip(1);
        let known = |name: OsString| COMMANDS.iter().find(|(command, _)| name == *command);
        let (_, habits) = names.find_map(known)?;
        answer(habits, &typed(&error)?).map(str::to_owned)
    });
    if let Some(tip) = tip {
        for wrong in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            error.remove(wrong);
        }
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn answer(habits: &[Habit], flag: &str) -> Option<&'static str> {
    let found = habits.iter().find(|(flags, _)| flags.contains(&flag));
    found.map(|(_, tip)| *tip)
}

/// The flag that the error is about; with `=` where it is the value that is too much.
fn typed(error: &clap::Error) -> Option<String> {
    let flag = text(error, ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument => Some(flag.to_owned()),
        ErrorKind::TooManyValues => Some(format!("{flag}=")),
        _ => None,
    }
}

/// Says where a value belongs that other programs have in a flag which is another one here.
fn misplaced(error: &clap::Error) -> Option<String> {
    let value = text(error, ContextKind::InvalidValue);
    match text(error, ContextKind::InvalidArg).split(' ').next() {
        Some("--output") if error.kind() == ErrorKind::ArgumentConflict => {
            Some("a list gives each of several URLs a name: --input (-i) FILE".to_owned())
        }
        Some("<URL>...") if error.kind() == ErrorKind::MissingRequiredArgument => {
            Some("URLs may stand in a file, too, one on each line: --input (-i) FILE".to_owned())
        }
        Some("--port") => value
            .parse::<u32>()
            .ok()
            .map(|port| format!("a TCP port is part of the address: --listen 127.0.0.1:{port}")),
        Some("--host") => value
            .parse::<IpAddr>()
            .ok()
            .map(|_| format!("an address to listen on: --listen {value}:PORT")),
        _ => None,
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> &str {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text,
        Some(ContextValue::Strings(texts)) => texts.first().map_or("", String::as_str),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    /// The command line in which a flag is typed.
    fn line(command: &str, flag: &str) -> Vec<OsString> {
        let protocol = if command == "serve" { &["http"][..] } else { &[] };
        let flag = if flag.ends_with('=') { format!("{flag}mode") } else { flag.to_owned() };
        let words = ["overlapped", command].into_iter().chain(protocol.iter().copied());
        words.chain([&*flag, "a", "b"]).map(OsString::from).collect()
    }

    fn said(line: &[OsString]) -> String {
        let error = crate::Arguments::try_parse_from(line).err().expect("it is an error");
        explain(error, line.iter().cloned()).to_string()
    }

    #[test]
    fn a_flag_of_another_program_is_answered_by_ours() {
        for (command, habits) in COMMANDS {
            for (flags, tip) in *habits {
                for flag in *flags {
                    let said = said(&line(command, flag));
                    assert!(said.contains(&format!("tip: {tip}\n")), "{command} {flag}: {said}");
                    assert_eq!(said.matches("tip:").count(), 1, "{command} {flag}: {said}");
                }
            }
        }
    }

    #[test]
    fn a_value_that_belongs_elsewhere_is_answered_with_the_place() {
        for (typed, place) in [
            ("serve http a --port 8080", "--listen 127.0.0.1:8080"),
            ("serve http a --host 0.0.0.0", "--listen 0.0.0.0:PORT"),
            ("get -o a http://a -o b http://b", "--input (-i) FILE"),
            ("get", "--input (-i) FILE"),
            ("get --quiet", "--input (-i) FILE"),
        ] {
            let line = "overlapped ".to_owned() + typed;
            let line: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert!(said(&line).contains(place), "{typed}: {}", said(&line));
        }
    }

    #[test]
    fn an_answer_names_only_flags_that_are_there() {
        for (name, habits) in COMMANDS {
            let mut program = crate::Arguments::command();
            program.build();
            let command = program.find_subcommand(name).unwrap();
            let http = command.find_subcommand("http");
            let arguments =
                || command.get_arguments().chain(http.iter().flat_map(|h| h.get_arguments()));
            for (_, tip) in *habits {
                let words = tip.split(|c: char| c.is_whitespace() || "(),:;".contains(c));
                for flag in words.filter_map(|word| word.strip_prefix("--")) {
                    let is_there = arguments().any(|argument| argument.get_long() == Some(flag));
                    assert!(is_there, "{name} has no --{flag}: {tip}");
                }
                for short in tip.split("(-").skip(1).filter_map(|rest| rest.chars().next()) {
                    let is_there = arguments().any(|argument| argument.get_short() == Some(short));
                    assert!(is_there, "{name} has no -{short}: {tip}");
                }
            }
        }
    }

    #[test]
    fn a_flag_with_the_same_meaning_is_taken() {
        for typed in [
            "copy -r a b",
            "copy -R a b",
            "copy --recursive a b",
            "copy -P a b",
            "copy --no-dereference a b",
            "copy -af a b",
            "copy -n a b",
            "copy -p a b",
            "copy -ax a b",
            "get -L http://a",
            "get --location http://a",
            "get -fL -o b http://a",
            "get --fail http://a",
            "get -c http://a",
            "get --continue http://a",
            "get -j 4 http://a",
            "get -q http://a",
            "get --input-file list",
            "get -H A:b -A c http://a",
            "serve http --check a",
            "serve http a --check",
            "serve --check http a",
        ] {
            let line = "overlapped ".to_owned() + typed;
            let parsed = crate::Arguments::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{typed}: {}", parsed.err().unwrap());
        }
    }

    #[test]
    fn behind_two_dashes_there_is_no_flag() {
        for typed in ["-- a -n2", "-- -x -y", "-- a -n2 b", "-n -- -x --force", "a -- -n"] {
            let line = "overlapped copy ".to_owned() + typed;
            let parsed =
                crate::Arguments::try_parse_from(for_clap(line.split(' ').map(OsString::from)));
            assert!(parsed.is_ok(), "{typed}: {}", parsed.err().unwrap());
        }
        let others = ["overlapped", "get", "--", "-x"].map(OsString::from);
        assert_eq!(for_clap(others.clone()), others);
    }

    #[test]
    fn a_flag_that_nobody_knows_is_answered_by_clap() {
        let said = said(&line("copy", "--archve"));
        assert!(said.contains("a similar argument exists: '--archive'"), "{said}");
    }
}

//! Flags of other programs, typed by habit: the error names our flag that does the same.
//!
//! A flag with exactly the same meaning is an alias or a hidden argument of its command. For the
//! others clap would propose a flag of a similar name, or suggest that it is a file; here the error
//! says what to type instead, or that there is no equivalent.

use std::ffi::OsString;
use std::net::IpAddr;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Flags that share a tip.
type Tip = (&'static [&'static str], &'static str);

/// Flags of cp and rsync.
const COPY: &[Tip] = &[
    (
        &["-v", "--verbose", "--progress"],
        "there is no list of copied files: totals and failures are always printed",
    ),
    (&["-u", "--update"], "dates are not compared: --no-clobber (-n) keeps every file that exists"),
    (&["-i", "--interactive"], "copy never asks: --no-clobber (-n) keeps every file that exists"),
    (&["-b", "--backup"], "no backups are made: --no-clobber (-n) keeps every file that exists"),
    (
        &["-c", "--resume", "--continue", "--partial"],
        "after a stop --no-clobber (-n) copies what is still missing",
    ),
    (&["--overwrite"], "existing files are replaced anyway, write-protected ones with --force"),
    (&["-q", "--quiet"], "only one line and the failures are printed anyway: leave this out"),
    (&["-d"], "symbolic links stay links anyway; --archive (-a) also keeps hard links"),
    (
        &["-L", "--dereference", "-H"],
        "symbolic links are never followed: give the path that the link leads to",
    ),
    (
        &["--preserve="],
        "it takes no list: permissions and times are always kept, --preserve (-p) also keeps \
         owners, set-ID bits and ACLs, and --archive (-a) everything that can be kept",
    ),
    (
        &["--no-preserve"],
        "permissions and times are always kept; owners, ACLs and extended attributes only with \
         --preserve (-p) or --archive (-a)",
    ),
    (&["-l", "--link", "-s", "--symbolic-link"], "copy makes no links: use ln"),
    (
        &["-t", "--target-directory"],
        "the last argument is the folder to copy into: overlapped copy SRC... DST",
    ),
    (
        &["-T", "--no-target-directory"],
        "SRC/. stands for the contents of SRC: overlapped copy SRC/. DST",
    ),
    (&["--sparse"], "holes are always kept"),
    (&["--reflink"], "there is no choice: the kernel decides whether blocks are shared"),
    (
        &["--delete", "--exclude", "--include", "--dry-run"],
        "folders are copied as a whole, and nothing is removed from DST: use rsync",
    ),
];

/// Flags of curl, wget and aria2.
const GET: &[Tip] = &[
    (
        &["-u", "--user", "--http-user", "--password", "--http-password"],
        "write user and password into the URL, https://USER:PASSWORD@HOST/, or into ~/.netrc and \
         give --netrc",
    ),
    (
        &["-n"],
        "for curl's -n write --netrc, for wget's -nv --quiet (-q), for wget's -nc --resume (-c), \
         which skips files that exist",
    ),
    (
        &["-k", "--insecure", "--no-check-certificate", "--check-certificate"],
        "certificates are always checked: --cacert FILE trusts those in FILE",
    ),
    (&["--ca-certificate"], "--cacert FILE trusts the certificates in FILE, and no others"),
    (&["-E", "--cert", "--key", "--certificate"], "client certificates are not supported"),
    (
        &["-O", "--output-document", "--remote-name"],
        "--output (-o) FILE names the file; by default the server or the URL does",
    ),
    (
        &["-J", "--remote-header-name", "--content-disposition"],
        "the name that the server proposes is used anyway: leave this out",
    ),
    (
        &["-P", "--directory-prefix", "--output-dir", "--dir"],
        "--output (-o) DIR/ saves in that folder, and creates it if it is missing",
    ),
    (
        &["-d"],
        "for aria2's -d write --output (-o) DIR/; curl's has no equivalent: only GET is sent",
    ),
    (&["-s", "--silent", "--no-verbose"], "--quiet (-q) prints only failures"),
    (&["-S", "--show-error"], "errors are always printed: leave this out"),
    (&["-v", "--verbose"], "RUST_LOG=debug before the command logs more"),
    (&["-#", "--progress-bar"], "bars are always shown on a terminal: leave this out"),
    (&["-C", "--continue-at"], "--resume (-c) continues where an earlier run ended"),
    (
        &["-x"],
        "for curl's -x set the variable https_proxy=http://HOST:PORT (http_proxy for http://); \
         aria2's has no equivalent: each file is downloaded over one connection",
    ),
    (
        &["--proxy", "--all-proxy", "--https-proxy", "--http-proxy"],
        "set the variable https_proxy=http://HOST:PORT (http_proxy for http://)",
    ),
    (
        &["--split", "--max-connection-per-server", "--min-split-size"],
        "each file is downloaded over one connection: --jobs (-j) N downloads N files at a time",
    ),
    (
        &["-Z", "--parallel", "--parallel-max", "--max-concurrent-downloads"],
        "files are downloaded at the same time anyway: --jobs (-j) N sets their number",
    ),
    (
        &["-X", "--request", "--data", "-F", "--form", "--json", "--method", "--post-data"],
        "only GET is sent: use curl",
    ),
    (&["--upload-file", "-I", "--head", "--spider"], "files are only downloaded: use curl"),
    (
        &["-T"],
        "for wget's -T write --timeout DURATION; curl's has no equivalent: nothing is uploaded",
    ),
    (
        &["--connect-timeout", "--read-timeout", "--dns-timeout"],
        "--timeout DURATION limits connecting, and every wait after it",
    ),
    (
        &["-m", "--max-time", "--mirror"],
        "a whole download has no time limit, --timeout limits every wait; wget's -m has no \
         equivalent: links in pages are not followed",
    ),
    (
        &["--limit-rate", "--max-overall-download-limit", "--max-download-limit"],
        "--rate-limit SIZE covers all downloads together",
    ),
    (
        &["-t", "--retry", "--tries", "--max-tries"],
        "--retries N sets the number of attempts after the first one",
    ),
    (&["-U"], "--user-agent (-A) NAME sets the name"),
    (&["-b", "--cookie", "--load-cookies"], "--header (-H) \"Cookie: NAME=VALUE\" sends a cookie"),
    (&["-e", "--referer"], "--header (-H) \"Referer: URL\" sends it"),
    (&["--checksum"], "--sha256 HEX checks one file; a list has a column for it"),
    (
        &["-N", "--timestamping", "-z", "--time-cond"],
        "dates are not compared: --overwrite replaces existing files, --resume (-c) keeps them",
    ),
    (&["--force"], "--overwrite replaces existing files"),
    (&["--no-clobber"], "no file is replaced by default; --resume (-c) skips existing ones"),
    (
        &["-r", "--recursive", "-l", "--level", "-p", "--page-requisites"],
        "links in pages are not followed: use wget",
    ),
];

/// Flags of other servers of folders.
const SERVE: &[Tip] = &[
    (&["-p"], "the TCP port is a part of the address: --listen 127.0.0.1:PORT"),
    (
        &["-b", "--bind", "-a", "--address", "--addr", "--interface"],
        "--listen ADDRESS:PORT, with 0.0.0.0 for the whole network",
    ),
    (
        &["-d", "--directory", "--dir", "--root", "--docroot"],
        "the folder is an argument without a flag: overlapped serve http DIR",
    ),
    (&["-s", "--single", "--spa"], "--fallback /index.html sends that page for every path"),
    (
        &["-S", "--ssl", "--tls", "--https", "--cert", "--key", "--ssl-cert", "--ssl-key"],
        "--tls-cert FILE --tls-key FILE",
    ),
    (&["-g", "--gzip", "--brotli", "--compress"], "texts are compressed anyway: leave this out"),
    (&["-l", "--browse", "--directory-listing"], "--list lists folders without an index"),
    (&["-w", "--workers", "--processes"], "--threads N sets the number of threads"),
    (&["-c"], "overlapped serve --config FILE reads a configuration file"),
];

const COMMANDS: &[(&str, &[Tip])] = &[("copy", COPY), ("get", GET), ("serve", SERVE)];

/// Rewrites the arguments so that clap parses them correctly. Of `copy -- a -n2` it would take
/// `-n2`
/// for an option: if several values may precede the last one, it looks ahead and ignores the `--`.
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

/// Adds a tip to the error if the user has typed a flag of another program.
pub(crate) fn explain(
    mut error: clap::Error,
    arguments: impl IntoIterator<Item = OsString>,
) -> clap::Error {
    let tip = misplaced(&error).or_else(|| {
        let mut names = arguments.into_iter().skip(1);
        let known = |name: OsString| COMMANDS.iter().find(|(command, _)| name == *command);
        let (_, tips) = names.find_map(known)?;
        find_tip(tips, &typed(&error)?).map(str::to_owned)
    });
    if let Some(tip) = tip {
        for wrong in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            error.remove(wrong);
        }
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn find_tip(tips: &[Tip], flag: &str) -> Option<&'static str> {
    let found = tips.iter().find(|(flags, _)| flags.contains(&flag));
    found.map(|(_, tip)| *tip)
}

/// Returns the flag that the error is about; with `=` if its value is the one too many.
fn typed(error: &clap::Error) -> Option<String> {
    let flag = text(error, ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument => Some(flag.to_owned()),
        ErrorKind::TooManyValues => Some(format!("{flag}=")),
        _ => None,
    }
}

/// Tells where a value belongs that the user has given to a flag with another meaning here.
fn misplaced(error: &clap::Error) -> Option<String> {
    let value = text(error, ContextKind::InvalidValue);
    match text(error, ContextKind::InvalidArg).split(' ').next() {
        Some("--output") if error.kind() == ErrorKind::ArgumentConflict => {
            Some("use a list to name the files of several URLs: --input (-i) FILE".to_owned())
        }
        Some("<URL>...") if error.kind() == ErrorKind::MissingRequiredArgument => Some(
            "URLs may also be read from a file, one on each line: --input (-i) FILE".to_owned(),
        ),
        Some("--port") => value.parse::<u32>().ok().map(|port| {
            format!("the TCP port is a part of the address: --listen 127.0.0.1:{port}")
        }),
        Some("--host") => value
            .parse::<IpAddr>()
            .ok()
            .map(|_| format!("the address to listen on: --listen {value}:PORT")),
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

    /// Makes the command line in which a flag is typed.
    fn line(command: &str, flag: &str) -> Vec<OsString> {
        let protocol = if command == "serve" { &["http"][..] } else { &[] };
        let flag = if flag.ends_with('=') { format!("{flag}mode") } else { flag.to_owned() };
        let words = ["overlapped", command].into_iter().chain(protocol.iter().copied());
        words.chain([&*flag, "a", "b"]).map(OsString::from).collect()
    }

    fn message(line: &[OsString]) -> String {
        let error = crate::Arguments::try_parse_from(line).err().expect("it is an error");
        explain(error, line.iter().cloned()).to_string()
    }

    #[test]
    fn a_flag_of_another_program_gets_a_tip_about_ours() {
        for (command, tips) in COMMANDS {
            for (flags, tip) in *tips {
                for flag in *flags {
                    let message = message(&line(command, flag));
                    assert!(
                        message.contains(&format!("tip: {tip}\n")),
                        "{command} {flag}: {message}"
                    );
                    assert_eq!(message.matches("tip:").count(), 1, "{command} {flag}: {message}");
                }
            }
        }
    }

    #[test]
    fn a_misplaced_value_gets_a_tip_about_its_place() {
        for (typed, place) in [
            ("serve http a --port 8080", "--listen 127.0.0.1:8080"),
            ("serve http a --host 0.0.0.0", "--listen 0.0.0.0:PORT"),
            ("get -o a http://a -o b http://b", "--input (-i) FILE"),
            ("get", "--input (-i) FILE"),
            ("get --quiet", "--input (-i) FILE"),
        ] {
            let line = "overlapped ".to_owned() + typed;
            let line: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert!(message(&line).contains(place), "{typed}: {}", message(&line));
        }
    }

    #[test]
    fn a_tip_names_only_existing_flags() {
        for (name, tips) in COMMANDS {
            let mut program = crate::Arguments::command();
            program.build();
            let command = program.find_subcommand(name).unwrap();
            let http = command.find_subcommand("http");
            let arguments =
                || command.get_arguments().chain(http.iter().flat_map(|h| h.get_arguments()));
            for (_, tip) in *tips {
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
    fn a_flag_with_the_same_meaning_is_accepted() {
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
    fn after_two_dashes_there_is_no_flag() {
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
    fn an_unknown_flag_is_left_to_clap() {
        let message = message(&line("copy", "--archve"));
        assert!(message.contains("a similar argument exists: '--archive'"), "{message}");
    }
}

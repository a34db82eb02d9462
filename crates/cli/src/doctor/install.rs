//! `overlapped doctor --install [PROGRAM]`: what unmodified code can do in tasklets here, and what
//! in a program is out of the reach of overlapped-install.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use overlapped::port;

use super::elf::{self, Elf, Library};
use crate::display::Escaped;
use crate::stdout::print;

/// The functions of libc that overlapped-install replaces.
const FUNCTIONS: &str = include_str!("functions.txt");

/// Functions of libc that block inside libc, where nothing can be replaced (the rows of
/// docs/install.md that stall), without the prefixes of their variants.
const STALLING: &str = "\
    printf vprintf fprintf vfprintf dprintf vdprintf puts fputs fputs_unlocked \
    putc fputc putchar putc_unlocked fputc_unlocked putchar_unlocked putw _IO_putc _IO_puts \
    fwrite fwrite_unlocked fflush fflush_unlocked fclose perror \
    wprintf vwprintf fwprintf vfwprintf putwc fputwc putwchar fputws \
    scanf vscanf fscanf vfscanf wscanf fwscanf vwscanf vfwscanf \
    getwc fgetwc getwchar fgetws getw gets \
    getc_unlocked fgetc_unlocked getchar_unlocked fgets_unlocked fread_unlocked";

/// Functions of `STALLING` that overlapped-install itself calls, where nothing can block.
const CALLED_BY_INSTALL: [&str; 2] = ["fflush_unlocked", "fgetc_unlocked"];

/// The doctor's lines of output.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, subject: &str, value: &str, remedy: Option<&str>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{subject:<25} {value}");
        if let Some(remedy) = remedy {
            let _ = writeln!(self.0, "{:<25} → {remedy}", "");
        }
    }
}

/// Reports on this machine.
pub(super) fn machine() -> anyhow::Result<ExitCode> {
    let mut lines = Lines::default();
    let report = port::report();
    let locals = report.findings.iter().find(|finding| finding.subject == "own thread-locals");
    let mut can = false;
    if let Some(locals) = locals {
        can = locals.value == "yes";
        let remedy = "overlapped_install::install() is refused: it needs glibc 2.34 or later, \
                      linked dynamically, on x86-64 (Linux 5.9 or later) or 64-bit Arm";
        lines.add("own thread-locals", &locals.value, (!can).then_some(remedy));
    }
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    let traps = actions.is_ok_and(|actions| actions.split_whitespace().any(|a| a == "user_notif"));
    match traps {
        true => lines.add("traps for raw calls", "yes (OVERLAPPED_TRAP=on, for debugging)", None),
        false => lines.add(
            "traps for raw calls",
            "no",
            Some("OVERLAPPED_TRAP=on needs seccomp with user notification, Linux 5.5"),
        ),
    }
    let count = FUNCTIONS.lines().count();
    lines.add("functions", &format!("{count} of libc's are replaced if it is linked"), None);
    lines.add("", "`--install PROGRAM` lists those that a program calls", None);
    let verdict = match can {
        true => "Good: unmodified code can run in tasklets here.",
        false => "Bad: unmodified code cannot run in tasklets here. The arrow above says why.",
    };
    print(format_args!("{}\n{verdict}\n", lines.0))?;
    Ok(if can { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reports on a program's file.
pub(super) fn program(path: &Path) -> anyhow::Result<ExitCode> {
    let program = elf::read(path)?;
    let mut lines = Lines::default();
    let kind = match &program.interpreter {
        Some(loader) => format!("linked dynamically, by {}", Escaped::new(loader.as_ref())),
        None if program.is_go => "linked statically, by Go".to_owned(),
        None => "linked statically, or a library".to_owned(),
    };
    lines.add("program", &Escaped::new(path).to_string(), None);
    lines.add("kind", &format!("{}, {kind}", program.processor), None);
    let bad = obstacle(&program);
    let defined = replaced(&program.exports);
    let all = FUNCTIONS.lines().count();
    let is_linked = defined.len() == all;
    match defined.len() {
        0 => {}
        count if count == all => {
            lines.add("overlapped-install", &format!("linked in: all {all} functions"), None);
        }
        count => lines.add(
            "overlapped-install",
            &format!("incomplete: {count} of {all} functions are the program's"),
            Some(
                "another library (a sanitizer, say) defines functions of these names: leave it out",
            ),
        ),
    }
    let called = replaced(&program.imports);
    if !called.is_empty() {
        let names = called.join(" ");
        lines.add("calls by name", &format!("{} of the {all}: {names}", called.len()), None);
    }
    let (libraries, missing) = elf::libraries(&program);
    let stalls = bad.is_none() && add_stalling(&mut lines, &program, &libraries, is_linked);
    add_system_calls(&mut lines, &program, (&libraries, missing), is_linked, bad.is_none());
    let (verdict, code) = match (bad, is_linked) {
        (Some(why), _) => (format!("Bad: {why}"), ExitCode::FAILURE),
        (None, true) => {
            let but = if stalls { "Good, except for the calls that stall, above" } else { "Good" };
            (format!("{but}: {}", verdict_on_calls("block")), ExitCode::SUCCESS)
        }
        (None, false) if !defined.is_empty() => {
            ("Bad: install() refuses. The arrow above says why.".to_owned(), ExitCode::FAILURE)
        }
        (None, false) => (
            format!(
                "This program is not built with overlapped-install. If it were: {}",
                verdict_on_calls("would block")
            ),
            ExitCode::SUCCESS,
        ),
    };
    print(format_args!("{}\n{verdict}\n", lines.0))?;
    Ok(code)
}

/// Describes a program whose functions can be replaced, and what its file does not show.
fn verdict_on_calls(blocks: &str) -> String {
    format!(
        "calls by name of the replaced functions {blocks} only the tasklet. A file does not show \
         whether the program's own system calls block."
    )
}

/// Lists the functions that stall, by caller, and returns whether there are any.
fn add_stalling(lines: &mut Lines, program: &Elf, libraries: &[Library], is_linked: bool) -> bool {
    let others = libraries.iter().filter(|library| !is_libc(&library.name));
    let others = others.map(|library| (Escaped::new(&library.path).to_string(), &library.elf));
    let mut found = false;
    for (whose, elf) in std::iter::once(("the program".to_owned(), program)).chain(others) {
        let mut names = stalling(&elf.imports);
        if is_linked && std::ptr::eq(elf, program) {
            names.retain(|name| !CALLED_BY_INSTALL.contains(name));
        }
        if !names.is_empty() {
            let subject = if found { "" } else { "calls that stall" };
            lines.add(subject, &format!("{} in {whose}", names.join(" ")), None);
            found = true;
        }
    }
    if found {
        lines.add(
            "",
            "if they wait (for a full pipe, for input), they block the thread",
            Some("make such calls inside overlapped::task::unblock(|| …), or in a thread"),
        );
    }
    found
}

/// Filters the names of functions that stall.
fn stalling(names: &[String]) -> Vec<&str> {
    let plain = |name: &str| {
        // __fprintf_chk, __isoc23_scanf.
        let name =
            name.strip_prefix("__isoc99_").or(name.strip_prefix("__isoc23_")).unwrap_or(name);
        let checked = name.strip_prefix("__").and_then(|name| name.strip_suffix("_chk"));
        checked.unwrap_or(name).to_owned()
    };
    let stalls = |name: &&str| STALLING.split_whitespace().any(|known| known == plain(name));
    let mut names: Vec<_> = names.iter().map(String::as_str).filter(stalls).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Tells whether a library is a part of libc.
fn is_libc(name: &str) -> bool {
    let parts = ["libc.so", "libm.so", "ld-linux", "libpthread.so"];
    parts.iter().any(|part| name.starts_with(part))
}

/// Filters the names of functions that overlapped-install replaces.
fn replaced(names: &[String]) -> Vec<&str> {
    FUNCTIONS.lines().filter(|function| names.iter().any(|name| name == function)).collect()
}

/// Explains why nothing in the program can be replaced, if so.
fn obstacle(program: &Elf) -> Option<&'static str> {
    let loader = program.interpreter.as_deref().unwrap_or_default();
    let is_musl = |name: &str| name.contains("ld-musl") || name.starts_with("libc.musl");
    if is_musl(loader) || program.needed.iter().any(|name| is_musl(name)) {
        return Some(
            "it uses musl, which has no thread-locals for tasklets. Build it for glibc \
             (a target that ends in -gnu).",
        );
    }
    if program.is_go {
        return Some(
            "Go's runtime calls the system by its own instructions: no function can be replaced.",
        );
    }
    if program.interpreter.is_none() && program.needed.is_empty() {
        return Some(
            "it is linked statically (with musl, or with +crt-static), so functions are not found \
             by name. Link it dynamically, with glibc.",
        );
    }
    None
}

fn add_system_calls(
    lines: &mut Lines,
    program: &Elf,
    (libraries, missing): (&[Library], Vec<String>),
    is_linked: bool,
    can_be: bool,
) {
    let whose = match is_linked {
        true => "; this library and overlapped-install contain most of them",
        false => "",
    };
    let of_program = format!("at most {} in the program{whose}", program.system_calls);
    lines.add("system calls of its own", &of_program, None);
    for library in libraries {
        let count = library.elf.system_calls;
        let path = Escaped::new(&library.path);
        if is_libc(&library.name) && count > 0 {
            lines.add("", &format!("{count} in {path}: libc's inner calls are not replaced"), None);
        } else if count > 0 {
            lines.add("", &format!("at most {count} in {path}"), None);
        }
    }
    let others = libraries.iter().any(|one| one.elf.system_calls > 0 && !is_libc(&one.name));
    if can_be && (others || (program.system_calls > 0 && !is_linked)) {
        lines.add(
            "",
            "if these wait, they block the thread",
            Some("OVERLAPPED_TRAP=on in its environment reports which are made, and where"),
        );
    }
    for name in missing {
        let name = Escaped::new(name.as_ref());
        lines.add("", &format!("{name} was not found, so its calls are not listed"), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_in_which_nothing_can_be_replaced_are_told_apart() {
        let dynamic = || Elf {
            interpreter: Some("/lib64/ld-linux-x86-64.so.2".into()),
            needed: vec!["libc.so.6".into()],
            ..Elf::default()
        };
        assert_eq!(obstacle(&dynamic()), None);
        let why = |elf: Elf| obstacle(&elf).unwrap_or_default();
        assert!(why(Elf::default()).contains("statically"));
        assert!(why(Elf { is_go: true, ..dynamic() }).contains("Go's runtime"));
        let musl = Some("/lib/ld-musl-x86_64.so.1".into());
        assert!(why(Elf { interpreter: musl, ..Elf::default() }).contains("musl"));
        let needed = vec!["libc.musl-x86_64.so.1".into()];
        assert!(why(Elf { needed, ..Elf::default() }).contains("musl"));
    }

    #[test]
    fn functions_that_stall_are_known_in_all_their_variants() {
        let names = ["fwrite", "__fprintf_chk", "__isoc23_scanf", "write", "snprintf", "sscanf"];
        let names = [&names[..], &["__isoc99_sscanf", "__snprintf_chk"]].concat();
        let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
        assert_eq!(stalling(&names), ["__fprintf_chk", "__isoc23_scanf", "fwrite"]);
    }

    #[test]
    fn functions_are_known_by_their_whole_names() {
        let names = ["read", "readlink", "recv", "my_recv"].map(str::to_owned);
        assert_eq!(replaced(&names), ["read", "recv"]);
    }
}

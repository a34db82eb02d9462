//! Reads from a program's file its loader, its libraries, the names that it imports and exports,
//! and the number of instructions that make system calls.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use object::elf::{self, PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol};

/// The largest file that is read.
const SIZE_MAX: u64 = 1 << 30;

/// The contents of a file that matter here.
#[derive(Debug, Default)]
pub(super) struct Elf {
    pub(super) processor: &'static str,
    /// The loader; `None` if the program is linked statically.
    pub(super) interpreter: Option<String>,
    /// Libraries, by the names in the file.
    pub(super) needed: Vec<String>,
    /// Folders that the file names for its libraries.
    pub(super) folders: Vec<PathBuf>,
    /// Functions that it calls by name.
    pub(super) imports: Vec<String>,
    /// Functions that it exports to all libraries of the process.
    pub(super) exports: Vec<String>,
    /// True if the Go compiler made it.
    pub(super) is_go: bool,
    /// The number of places that read as an instruction for a system call: an upper bound.
    pub(super) system_calls: usize,
}

/// Reads a program, or a library.
pub(super) fn read(path: &Path) -> anyhow::Result<Elf> {
    let opened = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let about = opened.metadata()?;
    ensure!(about.is_file(), "{} is not a file", path.display());
    ensure!(about.len() <= SIZE_MAX, "{} is larger than {SIZE_MAX} bytes", path.display());
    let mut bytes = Vec::new();
    opened.take(SIZE_MAX).read_to_end(&mut bytes)?;
    parse(&bytes, path)
}

/// Parses the bytes of a file; `path` is for messages, and for folders relative to the file.
fn parse(bytes: &[u8], path: &Path) -> anyhow::Result<Elf> {
    if let Some(rest) = bytes.strip_prefix(b"#!") {
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(&line[..line.len().min(100)]).trim().to_owned();
        bail!("{} is a script: name the program that runs it: {line}", path.display());
    }
    let file = ElfFile64::<Endianness>::parse(bytes)
        .with_context(|| format!("{} is not a 64-bit Linux program", path.display()))?;
    let endian = file.endian();
    let machine = file.elf_header().e_machine(endian);
    let processor = match machine {
        elf::EM_X86_64 => "x86-64",
        elf::EM_AARCH64 => "64-bit Arm",
        _ => bail!("{} is for another processor than x86-64 or 64-bit Arm", path.display()),
    };
    let mut found = Elf { processor, ..Elf::default() };
    for header in file.elf_program_headers() {
        if let Ok(Some(interpreter)) = header.interpreter(endian, bytes) {
            found.interpreter = Some(String::from_utf8_lossy(interpreter).into_owned());
        }
        if header.p_type(endian) == PT_LOAD && header.p_flags(endian).0 & PF_X.0 != 0 {
            let code = header.data(endian, bytes).unwrap_or_default();
            found.system_calls += system_calls(code, processor == "x86-64");
        }
    }
    if let Ok(table) = file.elf_dynamic_table() {
        let beside = path.parent().unwrap_or(Path::new("."));
        for entry in table.iter() {
            if !entry.is_string() {
                continue;
            }
            let Ok(text) = table.string(entry) else { continue };
            let text = String::from_utf8_lossy(text).into_owned();
            if entry.tag == elf::DT_NEEDED {
                found.needed.push(text);
            } else if matches!(entry.tag, elf::DT_RPATH | elf::DT_RUNPATH) {
                found.folders.extend(text.split(':').map(|folder| at_origin(folder, beside)));
            }
        }
    }
    for symbol in file.dynamic_symbols() {
        let Ok(name) = symbol.name() else { continue };
        let list = match symbol.is_undefined() {
            true => &mut found.imports,
            false => &mut found.exports,
        };
        list.push(name.to_owned());
    }
    let is_gos = |name: &str| matches!(name, ".gopclntab" | ".note.go.buildid" | ".go.buildinfo");
    found.is_go = file.sections().any(|section| section.name().is_ok_and(is_gos));
    Ok(found)
}

/// Resolves `$ORIGIN` in a folder as the loader does.
fn at_origin(folder: &str, origin: &Path) -> PathBuf {
    let origin = origin.to_string_lossy();
    PathBuf::from(folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin))
}

/// Counts the instructions that call the system. Bytes do not show where instructions begin, so on
/// x86-64 the number is an upper bound.
fn system_calls(code: &[u8], is_x86: bool) -> usize {
    match is_x86 {
        true => code.windows(2).filter(|bytes| *bytes == [0x0f, 0x05]).count(),
        false => code.chunks_exact(4).filter(|word| *word == [0x01, 0, 0, 0xd4]).count(),
    }
}

/// A library of a program, and how it was found.
pub(super) struct Library {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) elf: Elf,
}

/// Folders that loaders search by default.
const FOLDERS: &[&str] = &[
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];

/// Finds the libraries of a program, and theirs, and returns the names of those not found.
pub(super) fn libraries(program: &Elf) -> (Vec<Library>, Vec<String>) {
    const MOST: usize = 500;
    let from_environment = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let always: Vec<PathBuf> =
        std::env::split_paths(&from_environment).chain(FOLDERS.iter().map(PathBuf::from)).collect();
    let mut open: Vec<(String, Vec<PathBuf>)> =
        program.needed.iter().map(|name| (name.clone(), program.folders.clone())).collect();
    let (mut found, mut missing) = (Vec::<Library>::new(), Vec::new());
    while let Some((name, folders)) = open.pop() {
        let is_known = found.iter().any(|known| known.name == name) || missing.contains(&name);
        if is_known || found.len() >= MOST {
            continue;
        }
        let places = folders.iter().chain(&always).map(|folder| folder.join(&name));
        let read = places
            .filter_map(|path| Some((read(&path).ok()?, path)))
            .find(|(elf, _)| elf.processor == program.processor);
        match read {
            Some((elf, path)) => {
                let more = |name: &String| (name.clone(), [&elf.folders[..], &folders].concat());
                open.extend(elf.needed.iter().map(more));
                found.push(Library { name, path, elf });
            }
            None => missing.push(name),
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    (found, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_read_with_its_loader_and_its_libraries() {
        let path = std::env::current_exe().unwrap();
        let program = read(&path).unwrap();
        if cfg!(target_env = "gnu") {
            assert!(program.interpreter.as_ref().is_some_and(|name| name.contains("ld-linux")));
            assert!(program.imports.iter().any(|name| name == "read"), "{:?}", program.imports);
            let (found, _) = libraries(&program);
            let libc = found.iter().find(|library| library.name.starts_with("libc.so"));
            let libc = libc.expect("libc");
            assert!(libc.elf.system_calls > 100 && libc.elf.exports.iter().any(|n| n == "read"));
        }
    }

    #[test]
    fn a_file_that_is_not_a_program_is_refused_with_a_reason() {
        let refused = |bytes: &[u8]| parse(bytes, Path::new("x")).unwrap_err().to_string();
        assert_eq!(refused(b""), "x is not a 64-bit Linux program");
        assert!(refused(b"#!/bin/sh -e\necho").ends_with("runs it: /bin/sh -e"));
        let mut other = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        // Truncated files are read as far as they go, without a panic.
        for len in [64, 100, 1_000, other.len() / 2] {
            let _ = parse(&other[..len], Path::new("x"));
        }
        other[18] = 8; // MIPS
        assert!(refused(&other).contains("another processor"));
    }

    #[test]
    fn a_files_bytes_in_any_state_are_read_without_a_panic() {
        let mut bytes = std::fs::read("/proc/self/exe").unwrap();
        bytes.truncate(200_000);
        for at in (0..1_024).step_by(3) {
            let before = std::mem::replace(&mut bytes[at], 0xff);
            let _ = parse(&bytes, Path::new("x"));
            bytes[at] = before;
        }
    }
}

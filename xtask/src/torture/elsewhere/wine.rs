//! The library's tests on Windows, as far as Wine shows it.
//!
//! Wine runs our code paths, and Windows' own behaviour may differ: a figure here is no proof for
//! Windows. The compiler is Debian's, whose sources of std are a package (`systems` says why).
//!
//! Wine 8 lacks one function of which std gets random numbers, so a library with that function is
//! compiled into Wine's folder. Wine's server stays during the run: one that ends with its last
//! program would end a program that begins at that moment.

use std::path::Path;
use std::time::Duration;

use super::{print, skip};
use crate::counted::Counted;
use crate::exec::{self, Invocation};
use crate::folders;
use crate::port::Port;
use crate::torture::figure::parted;

const TARGET: &str = "x86_64-pc-windows-gnu";
const COMPILER: &str = "/usr/bin/rustc";
const LINKER: &str = "x86_64-w64-mingw32-gcc";
const WINE: &str = "/usr/lib/wine/wine64";
const WINE_SERVER: &str = "/usr/lib/wine/wineserver64";

/// The test programs that Windows can have: no descriptors, processes or signals of Unix.
const TESTS: &str = "--test auto_traits --test channel_order --test deadlock --test floods \
    --test fs_kills --test fs_std --test futures --test groups --test io_errors --test kill \
    --test lock_deadlocks --test net_std --test par_map --test pool_dangers --test std_sync \
    --test std_thread --test sync_channels --test sync_dangers --test sync_locks --test sync_many \
    --test tasklets --test tasklets_more --test threads --test unwinding --test windows_files \
    --test windows_net";

/// The tests that are left out, each with the reason.
const LEFT_OUT: [(&str, &str); 2] = [
    ("a_reset_by_the_peer", "Wine reports a reset as an end after a question for readiness"),
    ("vectored", "std's own call waits for ever"),
];

/// The function of which std gets random numbers, by one that Wine has.
const RANDOM: &str = "\
    __declspec(dllimport) unsigned char __stdcall SystemFunction036(void *, unsigned long);\n\
    __declspec(dllexport) int __stdcall ProcessPrng(unsigned char *p, unsigned long long n)\n\
    { return SystemFunction036(p, (unsigned long)n); }\n\
    int __stdcall DllMainCRTStartup(void *a, unsigned long b, void *c) { return 1; }\n";

/// The limit of one step: std and all dependencies are compiled, too.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs the tests, and returns the number that passed, or the reason why there is no figure.
pub(in crate::torture) fn run(root: &Path, port: Port) -> anyhow::Result<Result<String, String>> {
    for (program, package) in [
        (COMPILER, "rustc-web rust-web-src"),
        (LINKER, "gcc-mingw-w64-x86-64-win32"),
        (WINE, "wine64"),
    ] {
        if !Invocation::new(program, "--version").probe() {
            let remedy = format!("`apt install {package}`");
            return Ok(Err(format!("SKIPPED: a program for Wine is missing: {remedy}")));
        }
    }
    let folder = folders::target(root).join("windows");
    let prefix = folder.join("wine");
    std::fs::create_dir_all(&prefix)?;
    let with_prefix = |invocation: Invocation| {
        invocation.env("WINEDEBUG", "-all").env("WINEPREFIX", &prefix.to_string_lossy())
    };
    let source = folder.join("random.c");
    std::fs::write(&source, RANDOM)?;
    let library = prefix.join("drive_c/windows/system32/bcryptprimitives.dll");
    let stop = with_prefix(Invocation::new(WINE_SERVER, "-k"));
    // One may be left of a run that was ended early. If there is none, this fails.
    exec::run(root, &stop, LIMIT)?;
    for step in [
        Invocation::new(WINE_SERVER, "-p"),
        Invocation::new(WINE, "wineboot -i"),
        Invocation::new(LINKER, "-O1 -shared -nostdlib -o")
            .arg(&library.to_string_lossy())
            .arg(&source.to_string_lossy())
            .arg("-ladvapi32"),
    ] {
        let step = with_prefix(step);
        println!("$ {step}");
        if let Some(reason) = exec::run(root, &step, LIMIT)?.failure {
            return Ok(Err(format!("{step}: {reason}")));
        }
    }
    let tested = test(root, port, &folder, with_prefix);
    let stopped = exec::run(root, &stop, LIMIT);
    let counted = tested?;
    stopped?;
    print(&LEFT_OUT);
    Ok(counted.map(|counted| {
        let passed = parted(counted.passed);
        format!("{passed} checks: tests passed by Wine; {} left out", LEFT_OUT.len())
    }))
}

fn test(
    root: &Path,
    port: Port,
    folder: &Path,
    with_prefix: impl Fn(Invocation) -> Invocation,
) -> anyhow::Result<Result<Counted, String>> {
    let arguments = format!(
        "test --no-fail-fast -Zbuild-std=std,panic_unwind,test --target {TARGET} -p overlapped \
         {TESTS}"
    );
    let tests = with_prefix(Invocation::cargo(&arguments))
        .env("RUSTC", COMPILER)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &folder.to_string_lossy())
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", LINKER)
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", WINE)
        .env("OVERLAPPED_PORT", port.name())
        .arg("--")
        .arg("--show-output");
    let tests = skip(tests, &LEFT_OUT);
    println!("$ {tests}");
    let ran = exec::run(root, &tests, LIMIT)?;
    let counted = Counted::parse(&ran.lines);
    Ok(match ran.failure {
        Some(reason) => Err(format!("{reason}; {counted}")),
        None => Ok(counted),
    })
}

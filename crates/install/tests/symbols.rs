//! The functions that std calls, and those that this crate replaces.
#![allow(missing_docs)]
mod support;

use std::collections::BTreeSet;
use std::process::Command;

use overlapped_install::report;

/// Functions that std calls, that may wait, and that this crate does not replace, with the reason.
const LEFT_ALONE: &[(&str, &str)] = &[
    ("close", "waits only with SO_LINGER, and then for as long as the program has said"),
    ("closedir", "as close"),
    ("copy_file_range", "from disk to disk: waits for no other program"),
    ("dup2", "closes its target, as close does"),
    ("execvp", "ends the program, or the child"),
    ("exit", "ends the program"),
    ("fork", "copies; the child does not wait"),
    ("ioctl", "std asks for FIOCLEX, FIONBIO and FIONREAD"),
    ("opendir", "from disk: short, and a thread of the pool would cost more"),
    ("pidfd_spawnp", "waits until the child runs its program: short"),
    ("posix_spawnp", "waits until the child runs its program: short"),
    ("readdir64", "from disk, as opendir"),
    ("readlink", "from disk, as opendir"),
    ("realpath", "from disk, as opendir"),
    ("fstatat64", "from disk, as opendir"),
    ("stat64", "from disk, as opendir"),
    ("lstat64", "from disk, as opendir"),
    ("statx", "from disk, as opendir"),
    ("linkat", "from disk, as opendir"),
    ("mkdir", "from disk, as opendir"),
    ("rename", "from disk, as opendir"),
    ("rmdir", "from disk, as opendir"),
    ("symlink", "from disk, as opendir"),
    ("unlink", "from disk, as opendir"),
    ("unlinkat", "from disk, as opendir"),
    ("getpwuid_r", "std asks it for the home of a user without HOME"),
    ("getrandom", "waits only until the system has begun"),
];

/// Functions that std calls and that never wait for another program or the disk for long.
const NEVER: &str = "\
    __cxa_finalize __cxa_thread_atexit_impl __dso_handle __errno_location __res_init \
    __tls_get_addr __xpg_strerror_r __fxstat64 __fxstatat64 __lxstat64 __xstat64 \
    __gmon_start__ _ITM_deregisterTMCloneTable _ITM_registerTMCloneTable _exit abort bcmp bind \
    calloc chdir chmod chown chroot clock_gettime dirfd dl_iterate_phdr dlsym dup environ \
    fchmod fchown fdopendir free freeaddrinfo fstat64 futimens gai_strerror getauxval getcwd \
    getenv gethostname getpeername getpid getppid getsockname getsockopt gettid getuid \
    gnu_get_libc_version kill lchown listen lseek64 malloc memcmp memcpy memmove memset mkfifo \
    mmap64 mprotect munmap pidfd_getpid pipe2 posix_memalign posix_spawn_file_actions_addchdir \
    posix_spawn_file_actions_addchdir_np posix_spawn_file_actions_adddup2 \
    posix_spawn_file_actions_destroy posix_spawn_file_actions_init posix_spawnattr_destroy \
    posix_spawnattr_init posix_spawnattr_setflags posix_spawnattr_setpgroup \
    posix_spawnattr_setsigdefault pthread_attr_destroy pthread_attr_getguardsize \
    pthread_attr_getstack pthread_attr_init pthread_attr_setstacksize pthread_create \
    pthread_detach pthread_getattr_np pthread_key_create pthread_key_delete pthread_self \
    pthread_setname_np pthread_setspecific realloc sched_getaffinity setenv setgid setgroups \
    setpgid setsid setsockopt setuid shutdown sigaddset sigaltstack sigemptyset socket \
    socketpair strlen strnlen sysconf unsetenv utimensat";

/// Returns the names in the output of nm, without versions.
fn names(output: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(output);
    let name = |line: &str| line.split_whitespace().last().map(str::to_owned);
    let bare = |name: String| name.split('@').next().unwrap_or_default().to_owned();
    text.lines().filter_map(name).map(bare).collect()
}

/// Returns std's dynamic library, which calls what std calls.
fn std_library() -> Option<std::path::PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir"]).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    let files = std::fs::read_dir(folder.trim()).ok()?;
    files.flatten().map(|file| file.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("libstd-") && name.ends_with(".so")
    })
}

#[test]
fn every_function_that_std_calls_is_taken_or_never_waits_or_has_a_reason() {
    let Some(library) = std_library() else {
        println!("SKIPPED: std's dynamic library is not installed");
        return;
    };
    let Ok(output) = Command::new("nm").args(["-D", "-u"]).arg(&library).output() else {
        println!("SKIPPED: nm is not installed");
        return;
    };
    let called = names(&output.stdout);
    assert!(called.len() > 100, "{called:?}");
    let report = report();
    let taken: BTreeSet<_> = report.symbols().iter().map(|symbol| symbol.name).collect();
    let left: BTreeSet<_> = LEFT_ALONE.iter().map(|(name, _)| *name).collect();
    let never: BTreeSet<_> = NEVER.split_whitespace().collect();
    let unknown: Vec<_> = called
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with("_Unwind_"))
        .filter(|name| !(taken.contains(name) || left.contains(name) || never.contains(name)))
        .collect();
    assert_eq!(unknown, [""; 0], "std calls functions that are not in the list");
    let twice: Vec<_> = left.iter().filter(|name| taken.contains(*name)).collect();
    assert_eq!(twice, [&""; 0], "taken, and left alone");
}

#[test]
fn the_whole_process_finds_every_function_here() {
    support::install();
    let report = report();
    let others: Vec<_> = report.symbols().iter().filter(|symbol| !symbol.is_ours).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(report.symbols().len() >= 27);
}

#[test]
fn shared_libraries_find_them_in_the_programs_table() {
    let program = std::env::current_exe().unwrap();
    let Ok(output) = Command::new("nm").args(["-D", "--defined-only"]).arg(program).output() else {
        println!("SKIPPED: nm is not installed");
        return;
    };
    let defined = names(&output.stdout);
    let report = report();
    let missing: Vec<_> =
        report.symbols().iter().filter(|symbol| !defined.contains(symbol.name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_report_counts_the_waits_of_each() {
    support::run_in_tasklet(|| {
        let before = count("clock_nanosleep");
        std::thread::sleep(support::ms(1));
        assert_eq!(count("clock_nanosleep"), before + 1);
        assert!(report().to_string().contains("clock_nanosleep"));
    });
    // The self-test has waited.
    assert!(report().waits() > 0);
}

fn count(name: &str) -> u64 {
    report().symbols().iter().find(|symbol| symbol.name == name).map_or(0, |symbol| symbol.waits)
}

/// `overlapped doctor --install` knows the names without linking this crate. `OVERLAPPED_UPDATE=1`
/// writes them anew.
#[test]
fn the_doctor_knows_the_same_functions() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/src/doctor/functions.txt");
    let Ok(known) = std::fs::read_to_string(folder) else {
        return println!("SKIPPED: the doctor's sources are not here");
    };
    let report = report();
    let mut taken: Vec<_> = report.symbols().iter().map(|symbol| symbol.name).collect();
    taken.sort_unstable();
    let taken = taken.join("\n") + "\n";
    if known != taken && std::env::var_os("OVERLAPPED_UPDATE").is_some() {
        std::fs::write(folder, &taken).unwrap();
        return;
    }
    assert_eq!(known, taken, "OVERLAPPED_UPDATE=1 writes crates/cli/src/doctor/functions.txt anew");
}

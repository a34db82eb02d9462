//! Details, compared with std: texts, names, items that are easily forgotten.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use overlapped::{SpawnError, run};

#[test]
fn the_streams_of_a_child_can_be_moved_out_of_it() {
    use std::io::Read;

    use overlapped::process::{Child, Command, Stdio};
    fn stream(child: Child) -> impl Read {
        child.stdout.expect("piped")
    }
    let mut echo = Command::new("echo");
    let child = echo.arg("moved").stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut text = String::new();
    stream(child).read_to_string(&mut text).unwrap();
    assert!(text == "moved\n" || text.is_empty(), "{text}: or it was killed at once");
}

/// Compares the same expression on std's types and on this library's; both must print the same.
macro_rules! prints_the_same {
    ($($expression:expr),* $(,)?) => {$({
        let theirs = {
            #[allow(unused_imports, reason = "one of them is used")]
            use std::{fs, io};
            format!("{:?}", $expression)
        };
        let ours = {
            #[allow(unused_imports, reason = "one of them is used")]
            use overlapped::{fs, io};
            format!("{:?}", $expression)
        };
        assert_eq!(ours, theirs, "{}", stringify!($expression));
    })*};
}

#[test]
fn debug_texts_are_stds() {
    prints_the_same! {
        io::stdin(),
        io::stdin().lock(),
        io::stdout(),
        io::stdout().lock(),
        io::stderr(),
        io::stderr().lock(),
        fs::metadata("/").unwrap(),
        fs::metadata("/").unwrap().file_type(),
        fs::read_dir("/").unwrap(),
    }
}

#[test]
fn modes_are_printed_in_octal() {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let mut builder = overlapped::fs::DirBuilder::new();
    let text = format!("{:?}", builder.mode(0o750));
    assert!(text.contains("mode: 0o000750"), "{text}");
    let text = format!("{:?}", overlapped::fs::OpenOptions::new().append(true).mode(0o640));
    assert!(text.contains("append: true") && text.contains("mode: 0o000640"), "{text}");
}

#[test]
fn flags_that_make_no_sense_together_are_named_as_in_std() {
    let error =
        overlapped::fs::OpenOptions::new().append(true).truncate(true).open("/").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let text = "creating or truncating a file requires write or append access";
    assert_eq!(error.to_string(), text);
}

fn panic_text(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).expect("a text")
}

#[test]
fn a_scope_panics_with_stds_text() {
    let theirs = panic_text(|| {
        std::thread::scope(|s| _ = s.spawn(|| panic!("in a thread")));
    });
    let ours = run(|| {
        panic_text(|| {
            overlapped::thread::scope(|s| _ = s.spawn(|| panic!("in a tasklet")));
        })
    });
    assert_eq!(ours.unwrap(), theirs);
}

#[test]
fn the_first_tasklet_has_the_name_of_its_thread() {
    use overlapped::thread;
    let name = || thread::current().name().map(str::to_owned);
    let named = std::thread::Builder::new().name("of a thread".to_owned());
    let seen = named.spawn(move || run(|| (name(), thread::spawn(name).join().unwrap())).unwrap());
    assert_eq!(seen.unwrap().join().unwrap(), (Some("of a thread".to_owned()), None));
}

#[test]
fn an_impossible_stack_size_is_an_error_of_spawn() {
    fn kind<T: Debug>(result: std::io::Result<T>) -> ErrorKind {
        result.unwrap_err().kind()
    }
    run(|| {
        for size in [1 << 46, (1 << 40) + 1, usize::MAX] {
            let builder = || overlapped::thread::Builder::new().stack_size(size);
            assert_eq!(kind(builder().spawn(|| ())), ErrorKind::OutOfMemory);
            overlapped::thread::scope(|s| {
                assert_eq!(kind(builder().spawn_scoped(s, || ())), ErrorKind::OutOfMemory);
            });
            let refused = overlapped::Builder::new().stack_size(size).spawn(|| ());
            assert!(matches!(refused, Err(SpawnError::StackSize)));
        }
    })
    .unwrap();
}

#[test]
#[expect(deprecated, reason = "std's are, too")]
fn linux_metadata_and_soft_links_are_stds() {
    use std::os::linux::fs::MetadataExt;
    fn facts(metadata: &impl MetadataExt) -> ([u64; 8], [i64; 6], [u32; 3]) {
        let raw = metadata.as_raw_stat();
        assert_eq!((raw.st_ino, raw.st_size), (metadata.st_ino(), metadata.st_size() as _));
        assert_eq!((raw.st_mode, raw.st_mtime), (metadata.st_mode(), metadata.st_mtime() as _));
        let m = metadata;
        (
            [
                m.st_dev(),
                m.st_ino(),
                m.st_nlink(),
                m.st_rdev(),
                m.st_size(),
                m.st_blksize(),
                m.st_blocks(),
                raw.st_dev,
            ],
            [
                m.st_atime(),
                m.st_atime_nsec(),
                m.st_mtime(),
                m.st_mtime_nsec(),
                m.st_ctime(),
                m.st_ctime_nsec(),
            ],
            [m.st_mode(), m.st_uid(), m.st_gid()],
        )
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    std::fs::write(&file, "twelve bytes").unwrap();
    run(|| overlapped::fs::soft_link(&file, &link)).unwrap().unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap(), file);
    for path in [file, link, "/dev/null".into(), "/proc/self".into()] {
        let ours = run(|| overlapped::fs::symlink_metadata(&path)).unwrap().unwrap();
        let theirs = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!(facts(&ours), facts(&theirs), "{path:?}");
        assert_eq!(facts(&ours.clone()), facts(&theirs));
    }
}

/// Runs in a child, because it affects the whole process.
#[test]
fn the_root_directory_can_be_changed() {
    use std::os::unix::process::CommandExt;
    let changed = |root: &'static str| {
        let mut command = std::process::Command::new("/bin/true");
        let change = move || overlapped::os::unix::fs::chroot(root);
        // SAFETY: outside a scheduler it is the plain call, with a short path.
        unsafe { command.pre_exec(change) };
        command.status()
    };
    assert_eq!(changed("/no such folder").unwrap_err().kind(), ErrorKind::NotFound);
    match changed("/") {
        Ok(status) => assert!(status.success()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            println!("SKIPPED: chroot needs a privilege");
        }
        Err(error) => panic!("{error}"),
    }
}

//! Names of temporary files, in a folder that the process removes at its end.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Returns a path at which there is nothing yet.
pub(crate) fn path(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = FOLDER.get_or_init(|| {
        let folder = folder();
        std::fs::create_dir_all(&folder).unwrap();
        // SAFETY: a function that may run then.
        assert_eq!(unsafe { libc::atexit(remove) }, 0);
        folder
    });
    folder.join(format!("{name}-{}", COUNT.fetch_add(1, Relaxed)))
}

/// Returns the folder, by a short path: the name of a socket has 107 bytes.
fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("overlapped-install-{}", std::process::id()))
}

extern "C" fn remove() {
    // A child of fork that ends by exit(3) leaves its parent's folder alone.
    if let Some(made) = FOLDER.get()
        && *made == folder()
    {
        _ = std::fs::remove_dir_all(made);
    }
}

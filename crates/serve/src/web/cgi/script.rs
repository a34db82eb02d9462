//! Finds the script of a path, and the rest of the path.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::web::Call;
use crate::web::below::{Open, Root};
use crate::web::file_stat::stat;
use crate::web::target::{self, EmptyNames, TargetError};

/// A script.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Its absolute path.
    pub(crate) path: PathBuf,
    /// Its path in the site, decoded.
    pub(crate) name: OsString,
    /// The rest of the path, decoded; empty, or it begins with a slash.
    pub(crate) info: OsString,
}

/// The reason why a path has no script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ScriptError {
    Malformed,
    NotFound,
    NotExecutable,
    Failed,
}

impl Script {
    pub(crate) fn find(root: &Root, call: &Call<'_>) -> Result<Script, ScriptError> {
        let target =
            target::decode(call.rest(), EmptyNames::Keep).map_err(|error| match error {
                TargetError::Malformed => ScriptError::Malformed,
                TargetError::NotFound => ScriptError::NotFound,
            })?;
        let path = target.path;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let (name, info) = path.split_at(end);
            if name.is_empty() || name.ends_with(b"/") || target::is_hidden(name) {
                return Err(ScriptError::NotFound);
            }
            let found = root.open(name, Open::Stat).and_then(|fd| stat(&fd));
            let found = found.map_err(open_error)?;
            match found.file_type() {
                FileType::Directory => {}
                FileType::RegularFile if found.mode & 0o111 == 0 => {
                    return Err(ScriptError::NotExecutable);
                }
                FileType::RegularFile => {
                    return Ok(Script {
                        path: root.path().join(OsStr::from_bytes(name)),
                        name: OsString::from_vec([call.prefix.as_bytes(), b"/", name].concat()),
                        info: OsString::from_vec(info.to_vec()),
                    });
                }
                _ => return Err(ScriptError::NotFound),
            }
        }
        Err(ScriptError::NotFound)
    }
}

fn open_error(errno: Errno) -> ScriptError {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG => {
            ScriptError::NotFound
        }
        Errno::ACCESS | Errno::PERM => ScriptError::NotExecutable,
        errno => {
            tracing::error!(%errno, "cannot open a script");
            ScriptError::Failed
        }
    }
}

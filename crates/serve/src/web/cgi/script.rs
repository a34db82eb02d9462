//! Which program a path leads to, and what is left of the path.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::web::Call;
use crate::web::beneath::{Folder, Open, stat};
use crate::web::target::{self, BadTarget, Empty};

/// A program that answers.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Its whole path.
    pub(crate) path: PathBuf,
    /// The path that leads to it in the site, decoded.
    pub(crate) name: OsString,
    /// What follows it, decoded; empty, or it begins with a slash.
    pub(crate) info: OsString,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoScript {
    Malformed,
    Nowhere,
    NotExecutable,
    Failed,
}

impl Script {
    pub(crate) fn find(folder: &Folder, call: &Call<'_>) -> Result<Script, NoScript> {
        let target = target::decode(call.rest(), Empty::Keep).map_err(|bad| match bad {
            BadTarget::Malformed => NoScript::Malformed,
            BadTarget::Nowhere => NoScript::Nowhere,
        })?;
        let path = target.path;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let (name, info) = path.split_at(end);
            if name.is_empty() || name.ends_with(b"/") || target::is_hidden(name) {
                return Err(NoScript::Nowhere);
            }
            let found = folder.open(name, Open::Look).and_then(|fd| stat(&fd));
            let mode = u32::from(found.map_err(absence)?.stx_mode);
            match FileType::from_raw_mode(mode) {
                FileType::Directory => {}
                FileType::RegularFile if mode & 0o111 == 0 => return Err(NoScript::NotExecutable),
                FileType::RegularFile => {
                    return Ok(Script {
                        path: folder.path().join(OsStr::from_bytes(name)),
                        name: OsString::from_vec([call.prefix.as_bytes(), b"/", name].concat()),
                        info: OsString::from_vec(info.to_vec()),
                    });
                }
                _ => return Err(NoScript::Nowhere),
            }
        }
        Err(NoScript::Nowhere)
    }
}

fn absence(errno: Errno) -> NoScript {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG => {
            NoScript::Nowhere
        }
        Errno::ACCESS | Errno::PERM => NoScript::NotExecutable,
        errno => {
            tracing::error!(%errno, "a script cannot be looked up");
            NoScript::Failed
        }
    }
}

//! Mode and owner of Unix sockets.

use std::fs;
use std::str::FromStr;

use serde::Deserialize;

use super::values::read_from_strings;

/// The permissions of a file, such as `660`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::serve) struct Mode(pub(in crate::serve) u32);

/// `user`, `user:group` or `:group`, resolved to numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::serve) struct Owner {
    pub(in crate::serve) user: Option<u32>,
    pub(in crate::serve) group: Option<u32>,
}

read_from_strings!(Mode, Owner);

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(Mode(mode)),
            _ => Err(format!(
                "{text:?} is not a mode from 0 to 777: write octal digits, such as 660"
            )),
        }
    }
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Owner, String> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        if user.is_empty() && group.is_empty() {
            return Err(format!("{text:?} is not an owner: write user, user:group or :group"));
        }
        let user = number(user, "user", "/etc/passwd")?;
        Ok(Owner { user, group: number(group, "group", "/etc/group")? })
    }
}

/// Resolves a name to its number; `None` if no name is given.
fn number(name: &str, what: &str, table: &str) -> Result<Option<u32>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let lines = fs::read_to_string(table).unwrap_or_default();
    let found = lines.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    match found {
        Some(number) => Ok(Some(number)),
        None => Err(format!("{table} has no {what} {name:?}: give a name from it, or a number")),
    }
}

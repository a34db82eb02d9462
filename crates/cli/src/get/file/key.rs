//! The key of a URL: it stands for the URL in records, in notes and in the names of partial files.

use std::fmt;

use ring::digest::{SHA256, digest};

/// The digest of a URL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 16]);

impl Key {
    /// Makes the key of a URL without user and password.
    pub(crate) fn from_url(url: &str) -> Key {
        let mut key = [0; 16];
        key.copy_from_slice(&digest(&SHA256, url.as_bytes()).as_ref()[..16]);
        Key(key)
    }

    /// Parses the 32 digits that are written in a record.
    pub(super) fn parse(text: &str) -> Option<Key> {
        let digits = u128::from_str_radix(text, 16).ok()?;
        (text.len() == 32).then(|| Key(digits.to_be_bytes()))
    }

    /// Returns the beginning of the key, for the names of partial files.
    pub(crate) fn short(self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = Key::from_url("http://host/a");
        assert_eq!(Key::parse(&key.to_string()), Some(key));
        assert_eq!(Key::parse(&key.short()), None);
        assert_ne!(Key::from_url("http://host/b"), key);
    }
}

//! SHA-256 checksums that the user expects.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use overlapped::fs::File;
use ring::digest::{Context, SHA256};

/// The bytes of one read of a file.
const BUFFER: usize = 64 << 10;

/// A file's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checksum([u8; 32]);

impl FromStr for Checksum {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Checksum, &'static str> {
        const WRONG: &str = "a SHA-256 has 64 hexadecimal digits";
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| WRONG)?;
        }
        Ok(Checksum(bytes))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Checksum {
    /// Checks the contents of a file.
    pub(crate) fn check_file(self, path: &Path) -> io::Result<Result<(), String>> {
        RunningChecksum::from_file(self, path).map(|running_checksum| running_checksum.check())
    }
}

/// An expected checksum, and the digest of the bytes so far.
#[derive(Clone)]
pub(crate) struct RunningChecksum {
    expected: Checksum,
    context: Context,
}

impl RunningChecksum {
    pub(crate) fn new(expected: Checksum) -> RunningChecksum {
        RunningChecksum { expected, context: Context::new(&SHA256) }
    }

    /// Makes the digest of the bytes that a file already has.
    pub(crate) fn from_file(expected: Checksum, path: &Path) -> io::Result<RunningChecksum> {
        let (mut running_checksum, mut file) = (RunningChecksum::new(expected), File::open(path)?);
        let mut buffer = vec![0; BUFFER];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(running_checksum),
                count => running_checksum.update(&buffer[..count]),
            }
        }
    }

    pub(crate) fn restart(&mut self) {
        *self = RunningChecksum::new(self.expected);
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// Compares the digest with the expected one. The error is a text for users.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut found = Checksum([0; 32]);
        found.0.copy_from_slice(self.context.clone().finish().as_ref());
        if found == self.expected {
            return Ok(());
        }
        Err(format!("the SHA-256 is {found} instead of {}", self.expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_has_64_digits_in_either_case() {
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let expected: Checksum = ABC.to_uppercase().parse().unwrap();
        assert_eq!(expected.to_string(), ABC);
        let mut running_checksum = RunningChecksum::new(expected);
        running_checksum.update(b"wrong");
        assert!(running_checksum.check().unwrap_err().ends_with(&format!("instead of {ABC}")));
        running_checksum.restart();
        running_checksum.update(b"a");
        running_checksum.update(b"bc");
        assert_eq!(running_checksum.check(), Ok(()));
        for wrong in ["", &ABC[1..], &format!("{ABC}0"), &ABC.replace('b', "g"), &"é".repeat(32)] {
            assert!(wrong.parse::<Checksum>().is_err(), "{wrong}");
        }
    }
}

//! The output that a child had written when the wait for it ended early.

use std::error::Error;
use std::fmt;
use std::io;

/// The output of a child before [`Command::output`](super::Command::output) or
/// [`Child::wait_with_output`](super::Child::wait_with_output) failed, at a deadline for instance.
/// It is inside their [`io::Error`], which has the kind of the original error;
/// [`io::Error::downcast`] takes it out.
#[derive(Debug)]
pub struct PartialOutput {
    /// The bytes read from the child's standard output, if it was piped.
    pub stdout: Vec<u8>,
    /// The bytes read from the child's standard error, if it was piped.
    pub stderr: Vec<u8>,
    error: io::Error,
}

impl PartialOutput {
    pub(super) fn new(stdout: Vec<u8>, stderr: Vec<u8>, error: io::Error) -> PartialOutput {
        PartialOutput { stdout, stderr, error }
    }
}

impl fmt::Display for PartialOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stdout, stderr) = (self.stdout.len(), self.stderr.len());
        write!(f, "{} ({stdout} bytes of output, {stderr} of errors were read)", self.error)
    }
}

impl Error for PartialOutput {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl From<PartialOutput> for io::Error {
    fn from(partial: PartialOutput) -> io::Error {
        io::Error::new(partial.error.kind(), partial)
    }
}

//! `io::copy` with std's signature. Like std's, it lets the kernel move the bytes if possible.
//!
//! std does this by specialisation, which only std can use. Here the types are compared: `typeid`
//! returns the identity of a type without its lifetimes. If reader and writer are both known, the
//! descriptors behind them go to [`transfer`](super::transfer). All other types are read and
//! written, foreign wrappers above all, since they may change the bytes.
//!
//! Rejected: a trait that returns a reader's descriptor, because its bound would make `copy` refuse
//! types that std's takes. Rejected, too: asking through `Read` itself (a read of 0 bytes that the
//! stream answers by other means), because wrappers that limit, count or decode would pass it on.

use std::any::TypeId;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Take, Write};

use crate::fs::File;
use crate::net::TcpStream;
use crate::net::unix::UnixStream;
use crate::pipe::{End, Endpoint, PipeReader, PipeWriter, Side, between};
use crate::process::{ChildStderr, ChildStdin, ChildStdout};

/// The size of the loop's first buffer, which is small because thousands of copies may wait for
/// silent readers.
const SIZE: usize = 8 << 10;

/// The size to which the buffer grows if reads fill it.
const SIZE_MAX: usize = 64 << 10;

/// Copies all bytes from a reader to a writer, and returns their number; the counterpart of
/// `std::io::copy`.
///
/// Between this library's files, sockets and pipes the bytes go as by
/// [`transfer`](super::transfer), on Linux mostly not through user space; that holds for `&T`,
/// `&mut T`, `BufReader<T>`, `BufWriter<T>` and `Take<T>`, too. Up to 1 MiB may then be in a pipe
/// between them: read, and not yet written. All other types are copied through a buffer on the
/// heap, which bounds how far the copy reads ahead. It has 8 KiB, and grows up to 64 KiB if reads
/// fill it. The buffer of a `BufReader` or a `BufWriter` is used up first.
///
/// Time limits and the non-blocking mode of streams have the same effect as in a loop of reads and
/// writes.
///
/// # Errors
/// The reader's or the writer's; `Interrupted` is tried again. As in std, bytes that have been read
/// and could not be written are lost; [`transfer`](super::transfer) hands them back.
///
/// ```
/// use std::io::Write;
/// overlapped::run(|| {
///     let (mut from, mut feed) = overlapped::io::pipe().unwrap();
///     feed.write_all(b"hello").unwrap();
///     drop(feed);
///     let mut to = Vec::new();
///     assert_eq!(overlapped::io::copy(&mut from, &mut to).unwrap(), 5);
///     assert_eq!(to, b"hello");
/// }).unwrap();
/// ```
pub fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    if let (Some(source), Some(sink)) = (source(reader), sink(writer))
        && let Some(moved) = move_in_kernel(source, sink)
    {
        return moved;
    }
    loop_over(reader, writer)
}

/// Moves the bytes inside the kernel. `None` if a stream's mode demands reads and writes.
fn move_in_kernel(source: &mut dyn Source, sink: &mut dyn Sink) -> Option<io::Result<u64>> {
    source.end()?;
    sink.end()?;
    Some(move_between(source, sink))
}

fn move_between(source: &mut dyn Source, sink: &mut dyn Sink) -> io::Result<u64> {
    sink.write_own()?;
    let mut before = 0;
    while !source.own().is_empty() {
        let written = match sink.write_to(source.own()) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            written => written?,
        };
        source.consume(written);
        before += written as u64;
    }
    let (Some(from), Some(to)) = (source.end(), sink.end()) else {
        unreachable!("asked before, and the streams are borrowed exclusively")
    };
    match between(from, to, source.limit()) {
        Ok(moved) => {
            source.consume_below(moved);
            Ok(before + moved)
        }
        Err(error) => {
            source.consume_below(error.delivered() + error.undelivered().len() as u64);
            Err(error.into())
        }
    }
}

fn loop_over<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let mut buffer = vec![0; SIZE];
    let mut copied = 0;
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        writer.write_all(&buffer[..read])?;
        copied += read as u64;
        if read == buffer.len() && read < SIZE_MAX {
            buffer.resize(2 * read, 0);
        }
    }
}

/// A reader with a descriptor below it.
trait Source {
    /// Bytes that have been read from the descriptor already.
    fn own(&self) -> &[u8] {
        &[]
    }

    /// Removes the first `bytes` of those.
    fn consume(&mut self, bytes: usize) {
        debug_assert_eq!(bytes, 0);
    }

    /// Returns the maximum number of bytes that may be taken.
    fn limit(&self) -> u64 {
        u64::MAX
    }

    /// Counts bytes that were taken from the descriptor past this reader.
    fn consume_below(&mut self, _bytes: u64) {}

    fn end(&self) -> Option<End<'_>>;
}

/// A writer with a descriptor below it.
trait Sink {
    /// Writes the bytes that it holds.
    fn write_own(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn write_to(&mut self, bytes: &[u8]) -> io::Result<usize>;

    fn end(&self) -> Option<End<'_>>;
}

impl<T: Endpoint> Source for T {
    fn end(&self) -> Option<End<'_>> {
        Endpoint::end(self, Side::Source)
    }
}

impl<T: Endpoint + Read> Source for BufReader<T> {
    fn own(&self) -> &[u8] {
        self.buffer()
    }

    fn consume(&mut self, bytes: usize) {
        io::BufRead::consume(self, bytes);
    }

    fn end(&self) -> Option<End<'_>> {
        self.get_ref().end(Side::Source)
    }
}

impl<T: Endpoint> Source for Take<T> {
    fn limit(&self) -> u64 {
        Take::limit(self)
    }

    fn consume_below(&mut self, bytes: u64) {
        self.set_limit(Take::limit(self) - bytes);
    }

    fn end(&self) -> Option<End<'_>> {
        self.get_ref().end(Side::Source)
    }
}

impl<T: Endpoint + Write> Sink for T {
    fn write_to(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn end(&self) -> Option<End<'_>> {
        Endpoint::end(self, Side::Sink)
    }
}

impl<T: Endpoint + Write> Sink for BufWriter<T> {
    fn write_own(&mut self) -> io::Result<()> {
        self.flush()
    }

    fn write_to(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.get_mut().write(bytes)
    }

    fn end(&self) -> Option<End<'_>> {
        self.get_ref().end(Side::Sink)
    }
}

/// Returns `value` if its type is `$known` but for lifetimes; else goes on.
macro_rules! return_if_is {
    ($value:ident: $type:ty, $($known:ty),*) => {$(
        if typeid::of::<$type>() == TypeId::of::<$known>() {
            // SAFETY: both are the same type but for lifetimes, so the cast keeps the layout. A
            // reference inside the value lives at least as long as the borrow of the value, which
            // the result has; and the result's methods neither return a reference that would live
            // longer, nor store one.
            return Some(unsafe { &mut *std::ptr::from_mut($value).cast::<$known>() });
        }
    )*};
}

/// Lists every known type that reads: the streams, and the wrappers of them; for streams that are
/// read through shared references, the wrappers of these, too.
macro_rules! sources {
    ($($stream:ty),*; shared: $($shared:ty),*) => {
        fn source<R: Read + ?Sized>(reader: &mut R) -> Option<&mut dyn Source> {
            $(return_if_is!(
                reader: R, $stream, &'static mut $stream, BufReader<$stream>, Take<$stream>
            );)*
            $(return_if_is!(
                reader: R, &'static $shared, BufReader<&'static $shared>, Take<&'static $shared>
            );)*
            None
        }
    };
}

/// Lists every known type that writes.
macro_rules! sinks {
    ($($stream:ty),*) => {
        fn sink<W: Write + ?Sized>(writer: &mut W) -> Option<&mut dyn Sink> {
            $(return_if_is!(
                writer: W, $stream, &'static $stream, &'static mut $stream,
                BufWriter<$stream>, BufWriter<&'static $stream>
            );)*
            None
        }
    };
}

sources!(
    File, TcpStream, UnixStream, PipeReader, ChildStdout, ChildStderr;
    shared: File, TcpStream, UnixStream, PipeReader
);
sinks!(File, TcpStream, UnixStream, PipeWriter, ChildStdin);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipe::pipe;

    #[test]
    fn the_streams_are_known_in_every_form_and_nothing_else_is() {
        let (mut reader, mut writer) = pipe().unwrap();
        assert!(source(&mut reader).is_some() && sink(&mut writer).is_some());
        assert!(source(&mut &reader).is_some() && sink(&mut &writer).is_some());
        assert!(source(&mut &mut reader).is_some() && sink(&mut &mut writer).is_some());
        assert!(source(&mut BufReader::new(&reader)).is_some());
        assert!(sink(&mut BufWriter::new(&writer)).is_some());
        assert!(source(&mut (&reader).take(1)).is_some());
        assert!(source(&mut (&reader).chain(&b""[..])).is_none());
        assert!(source(&mut BufReader::new(&b"bytes"[..])).is_none());
        assert!(sink(&mut Vec::new()).is_none());
        let unknown: &mut dyn Read = &mut reader;
        assert!(source(unknown).is_none());
        assert!(source(&mut Box::new(reader)).is_none() && sink(&mut Box::new(writer)).is_none());
    }

    #[test]
    fn a_stream_that_lives_for_a_moment_is_known_too() {
        fn local<'a>(reader: &'a PipeReader, kept: &mut Vec<&'a PipeReader>) -> bool {
            let mut reader = reader;
            kept.push(reader);
            source(&mut reader).is_some_and(|source| source.end().is_some())
        }
        let (reader, _writer) = pipe().unwrap();
        assert!(local(&reader, &mut Vec::new()));
    }
}

//! Files: calls with the same results as std's.

use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
#[cfg(unix)]
use std::io::{IoSlice, IoSliceMut};
#[cfg(unix)]
use std::os::unix::fs::FileExt;
#[cfg(windows)]
use std::os::windows::fs::FileExt;
use std::path::Path;

use overlapped::fs::{self, File, OpenOptions};
use overlapped::run;

/// The calls at an offset under one name.
trait AtOffset {
    fn read_from(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize>;
    fn write_to(&self, buf: &[u8], offset: u64) -> std::io::Result<usize>;
}

#[cfg(unix)]
impl AtOffset for File {
    fn read_from(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.read_at(buf, offset)
    }
    fn write_to(&self, buf: &[u8], offset: u64) -> std::io::Result<usize> {
        self.write_at(buf, offset)
    }
}

#[cfg(windows)]
impl AtOffset for File {
    fn read_from(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.seek_read(buf, offset)
    }
    fn write_to(&self, buf: &[u8], offset: u64) -> std::io::Result<usize> {
        self.seek_write(buf, offset)
    }
}

/// Runs `test` as a tasklet and outside a scheduler, each in a folder of its own.
fn everywhere(test: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    test(folder.path());
    let folder = tempfile::tempdir().unwrap();
    run(|| test(folder.path())).unwrap();
}

#[test]
fn a_second_write_goes_behind_the_first() {
    everywhere(|folder| {
        let mut file = File::create(folder.join("a")).unwrap();
        file.write_all(b"first").unwrap();
        file.write_all(b" second").unwrap();
        assert_eq!(fs::read(folder.join("a")).unwrap(), b"first second");
    });
}

#[test]
fn a_write_appends_where_the_file_ends() {
    everywhere(|folder| {
        let path = folder.join("log");
        let mut options = OpenOptions::new();
        let mut one = options.append(true).create(true).open(&path).unwrap();
        let two = OpenOptions::new().append(true).open(&path).unwrap();
        for (mut file, text) in [(&one, "a"), (&two, "b"), (&one, "c")] {
            file.write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "abc");
        one.rewind().unwrap();
        one.write_all(b"d").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "abcd");
    });
}

#[test]
fn opening_to_read_and_write_creates_no_file() {
    everywhere(|folder| {
        let path = folder.join("missing");
        let error = OpenOptions::new().read(true).write(true).open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!fs::exists(&path).unwrap());
    });
}

#[test]
fn a_short_read_moves_the_cursor_by_the_bytes_read() {
    everywhere(|folder| {
        let path = folder.join("a");
        fs::write(&path, b"0123456789").unwrap();
        let mut file = OpenOptions::new().read(true).append(true).open(&path).unwrap();
        let mut buf = [0; 100];
        assert_eq!(file.read(&mut buf).unwrap(), 10);
        assert_eq!(file.stream_position().unwrap(), 10);
        assert_eq!(file.read(&mut buf).unwrap(), 0);
        file.write_all(b"more").unwrap();
        file.seek(SeekFrom::Start(10)).unwrap();
        assert_eq!(file.read(&mut buf).unwrap(), 4);
        assert_eq!(&buf[..4], b"more");
    });
}

#[test]
fn seeking_from_the_end_works_and_before_the_start_is_an_error() {
    everywhere(|folder| {
        let path = folder.join("a");
        fs::write(&path, b"0123456789").unwrap();
        let mut file = File::open(&path).unwrap();
        assert_eq!(file.seek(SeekFrom::End(-3)).unwrap(), 7);
        let mut rest = String::new();
        file.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "789");
        for to in [SeekFrom::End(-11), SeekFrom::Current(-11), SeekFrom::Start(u64::MAX)] {
            let expected = std::fs::File::open(&path).unwrap().seek(to).unwrap_err().kind();
            assert_eq!(file.seek(to).unwrap_err().kind(), expected);
            assert!(cfg!(windows) || expected == ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn offsets_above_4_gib_are_those_that_were_given() {
    everywhere(|folder| {
        let file = File::create_new(folder.join("sparse")).unwrap();
        let far = (5 << 32) + 12_345;
        assert_eq!(file.write_to(b"far", far).unwrap(), 3);
        assert_eq!(file.metadata().unwrap().len(), far + 3);
        let mut buf = [9; 8];
        assert_eq!(file.read_from(&mut buf, far - 2).unwrap(), 5);
        assert_eq!(&buf, b"\0\0far\x09\x09\x09");
        assert_eq!(file.read_from(&mut buf, 12_345).unwrap(), 8);
        assert_eq!(buf, [0; 8]);
        let mut file = file;
        file.seek(SeekFrom::Start(far)).unwrap();
        assert_eq!(file.read(&mut buf).unwrap(), 3);
        assert_eq!(file.stream_position().unwrap(), far + 3);
        file.write_all(b"ther").unwrap();
        assert_eq!(file.metadata().unwrap().len(), far + 7);
        file.set_len(far).unwrap();
        assert_eq!(file.metadata().unwrap().len(), far);
        assert_eq!(file.set_len(u64::MAX).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[cfg(unix)]
#[test]
fn offsets_that_no_file_has_are_errors_and_not_the_cursor() {
    everywhere(|folder| {
        let path = folder.join("a");
        fs::write(&path, b"0123456789").unwrap();
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        let std = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(3)).unwrap();
        for offset in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let mut buf = [0; 4];
            let expected = std.read_at(&mut buf, offset).unwrap_err().raw_os_error();
            assert_eq!(file.read_at(&mut buf, offset).unwrap_err().raw_os_error(), expected);
            let expected = std.write_at(b"lost", offset).unwrap_err().raw_os_error();
            assert_eq!(file.write_at(b"lost", offset).unwrap_err().raw_os_error(), expected);
        }
        assert_eq!(file.stream_position().unwrap(), 3);
        assert_eq!(fs::read(&path).unwrap(), b"0123456789");
    });
}

#[cfg(unix)]
#[test]
fn vectored_transfers_fill_the_slices_in_order() {
    everywhere(|folder| {
        let mut file = File::create_new(folder.join("a")).unwrap();
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")];
        assert_eq!(file.write_vectored(&parts).unwrap(), 6);
        assert_eq!(file.write_vectored(&[]).unwrap(), 0);
        file.rewind().unwrap();
        let (mut one, mut two) = ([0; 3], [0; 9]);
        let mut slices = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(file.read_vectored(&mut slices).unwrap(), 6);
        assert_eq!((&one, &two[..3]), (b"abc", &b"def"[..]));
        let many = vec![IoSlice::new(b"x"); 3000];
        assert_eq!(file.write_vectored(&many).unwrap(), 1024, "as many as writev(2) takes");
    });
}

#[cfg(unix)]
#[test]
fn an_empty_read_of_a_folder_is_an_error_too() {
    everywhere(|folder| {
        let std = std::fs::File::open(folder).unwrap().read(&mut []).unwrap_err().kind();
        let mut opened = File::open(folder).unwrap();
        assert_eq!(opened.read(&mut []).unwrap_err().kind(), std);
        assert_eq!(opened.read_at(&mut [], 0).unwrap_err().kind(), std);
        fs::write(folder.join("a"), b"something").unwrap();
        assert_eq!(File::open(folder.join("a")).unwrap().read(&mut []).unwrap(), 0);
    });
}

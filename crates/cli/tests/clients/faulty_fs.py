"""A file system that forwards everything to a folder, with faults.

    faulty_fs.py FOLDER MOUNT_POINT FAULT...

close=ENOSPC   closing a file that was created here fails with that error
fsync=EIO      fsync fails with that error; likewise write, rename, chmod, utimens, read
corrupt        the first byte of each write is changed
fold           a and A are one name
plain          has no permissions, owners or times
one-name       files have no hard links
no-links       st_nlink is 0
hidden-size    the size of every file is 0
"""

import errno
import os
import stat
import sys

sys.path += ["/usr/lib/python3/dist-packages"]
try:
    import fusepy as fuse
except ImportError:
    import fuse


class Faulty(fuse.Operations):
    use_ns = True

    def __init__(self, folder, faults):
        self.folder = folder
        self.faults = dict(fault.partition("=")[::2] for fault in faults)
        self.made = set()

    def __call__(self, op, path, *args):
        try:
            return super().__call__(op, self.real(path), *args)
        except OSError as error:
            raise fuse.FuseOSError(error.errno)

    def fails(self, what):
        if what in self.faults:
            raise fuse.FuseOSError(getattr(errno, self.faults[what]))

    def real(self, path):
        if path is None:
            return None  # an open file whose name is gone
        at = self.folder
        for name in path.split("/"):
            if name and "fold" in self.faults:
                there = [other for other in os.listdir(at) if other.lower() == name.lower()]
                name = (there or [name])[0]
            at = os.path.join(at, name) if name else at
        return at

    def getattr(self, path, fh=None):
        found = os.fstat(fh) if path is None else os.lstat(path)
        names = "mode ino nlink uid gid size blocks rdev".split()
        attributes = {"st_" + name: getattr(found, "st_" + name) for name in names}
        for name in "atime mtime ctime".split():
            attributes["st_" + name] = getattr(found, f"st_{name}_ns")
        if "no-links" in self.faults:
            attributes["st_nlink"] = 0
        if "hidden-size" in self.faults and stat.S_ISREG(found.st_mode):
            attributes.update(st_size=0, st_blocks=0)
        return attributes

    def readdir(self, path, fh):
        return [".", ".."] + os.listdir(path)

    def create(self, path, mode, fi=None):
        fh = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        self.made.add(fh)
        return fh

    def open(self, path, flags):
        return os.open(path, flags & ~os.O_NOFOLLOW)

    def read(self, path, size, offset, fh):
        if offset > 0:
            self.fails("read")
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        self.fails("write")
        if "corrupt" in self.faults:
            data = bytes([data[0] ^ 1]) + data[1:]
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        os.truncate(path if fh is None else fh, length)

    def flush(self, path, fh):
        if fh in self.made:
            self.fails("close")

    def fsync(self, path, datasync, fh):
        self.fails("fsync")

    def release(self, path, fh):
        self.made.discard(fh)
        os.close(fh)

    def plain(self):
        if "plain" in self.faults:
            raise fuse.FuseOSError(errno.EPERM)

    def chmod(self, path, mode):
        self.plain()
        self.fails("chmod")
        os.chmod(path, mode)

    def chown(self, path, uid, gid):
        self.plain()
        os.chown(path, uid, gid, follow_symlinks=False)

    def utimens(self, path, times=None):
        self.plain()
        self.fails("utimens")
        os.utime(path, ns=times, follow_symlinks=False)

    def mkdir(self, path, mode):
        os.mkdir(path, mode)

    def rmdir(self, path):
        os.rmdir(path)

    def unlink(self, path):
        os.unlink(path)

    def rename(self, old, new):
        self.fails("rename")
        os.rename(old, self.real(new))

    def link(self, target, source):
        if "one-name" in self.faults:
            raise fuse.FuseOSError(errno.EPERM)
        os.link(self.real(source), target)

    def symlink(self, target, source):
        os.symlink(source, target)

    def readlink(self, path):
        return os.readlink(path)

    def statfs(self, path):
        found = os.statvfs(path)
        names = "bavail bfree blocks bsize favail ffree files flag frsize namemax".split()
        return {"f_" + name: getattr(found, "f_" + name) for name in names}


if __name__ == "__main__":
    folder, mount_point, *faults = sys.argv[1:]
    options = {"direct_io": True} if "hidden-size" in faults else {}
    fuse.FUSE(Faulty(folder, faults), mount_point, foreground=True, nothreads=True, use_ino=True,
              attr_timeout=0, entry_timeout=0, hard_remove=True, **options)

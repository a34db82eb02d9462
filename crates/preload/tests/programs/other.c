// A library that has replaced one of libc's functions first.
int flock(int fd, int operation) {
    (void)fd;
    (void)operation;
    return -1;
}

// A library that has taken one of libc's functions first.
int flock(int fd, int operation) {
    (void)fd;
    (void)operation;
    return -1;
}

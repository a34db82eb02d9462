// Ends of threads and of the process. The first argument selects the case; the exit code is its
// result.
#define _GNU_SOURCE
#include "check.h"
#include <string.h>
#include <sys/wait.h>

static int is(const char *name, char **argv) { return strcmp(argv[1], name) == 0; }

static void *ends_process(void *code) {
    rest(60);
    _exit((int)(long)code);
}

static void *sleeps(void *ms) {
    rest((int)(long)ms);
    return ms;
}

static void *returns(void *value) { return value; }

// Forks a child, whose first thread is the caller. The child starts another thread, and goes on as
// the caller does.
static int forks(void *(*f)(void *), void *argument) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        begin(f, argument);
        return 0;
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    _exit(WEXITSTATUS(status));
}

static void *returns_in_child(void *unused) {
    forks(ends_process, (void *)7);
    return unused;
}

static void *leaves_in_child(void *unused) {
    forks(ends_process, (void *)8);
    pthread_exit(unused);
}

static void *returns_first_in_child(void *unused) {
    forks(sleeps, (void *)60);
    return unused;
}

static void *exits_in_child(void *unused) {
    forks(ends_process, (void *)9);
    exit(3);
}

static void *threads_in_child(void *unused) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        begin(returns, NULL);
        begin_thread(ends_process, (void *)10);
        return unused;
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    _exit(WEXITSTATUS(status));
}

int main(int argc, char **argv) {
    CHECK(argc > 1);
    alarm(30);
    if (is("child-returns", argv)) end(begin(returns_in_child, NULL));
    if (is("child-leaves", argv)) end(begin(leaves_in_child, NULL));
    if (is("child-returns-first", argv)) end(begin(returns_first_in_child, NULL));
    if (is("child-exits", argv)) end(begin(exits_in_child, NULL));
    if (is("child-with-thread", argv)) end(begin(threads_in_child, NULL));
    if (is("child-of-thread", argv)) end(begin_thread(returns_in_child, NULL));
    if (is("child-of-thread-returns-first", argv)) end(begin_thread(returns_first_in_child, NULL));
    if (is("child-of-main", argv)) {
        forks(ends_process, (void *)9);
        return 4; // It ends the process.
    }
    if (is("child-of-main-leaves", argv)) {
        forks(ends_process, (void *)11);
        pthread_exit(NULL);
    }
    if (is("main-leaves", argv)) {
        begin(ends_process, (void *)12);
        pthread_exit(NULL);
    }
    if (is("main-leaves-last", argv)) {
        end(begin(returns, NULL));
        pthread_exit(NULL);
    }
    if (is("main-leaves-thread", argv)) {
        end(begin(returns, NULL));
        begin_thread(ends_process, (void *)13);
        pthread_exit(NULL);
    }
    if (is("main-leaves-thread-returns", argv)) {
        end(begin(returns, NULL));
        begin_thread(sleeps, (void *)60);
        pthread_exit(NULL);
    }
    _exit(99);
}

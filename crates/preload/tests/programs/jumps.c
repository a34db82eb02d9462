// Signal handlers that are left by a jump, and jumps inside them. The first argument selects the
// case.
#define _GNU_SOURCE
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <string.h>

static int is(const char *name, char **argv) { return strcmp(argv[1], name) == 0; }

static sigjmp_buf outside;
static int how, turns, is_over, turns_in_handler;

static void handles(int signal, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static void leaves(int signal) {
    (void)signal;
    switch (how) {
    case 0:
        siglongjmp(outside, 1);
    case 1:
        longjmp(outside, 1);
    default:
        _longjmp(outside, 1);
    }
}

// Another tasklet, which counts how often it runs.
static void *ticks(void *unused) {
    while (!__atomic_load_n(&is_over, __ATOMIC_SEQ_CST)) {
        turns++;
        rest(1);
    }
    return unused;
}

// While a call blocks the thread, the other tasklet never runs, however often the call is made.
// Else it runs at once, or later on a busy machine.
static void waits(void) {
    int before = turns;
    for (int i = 0; i < 50 && turns <= before + 5; i++) rest(60);
    CHECK(turns > before + 5);
}

static __attribute__((noinline)) void leave(int signal) {
    if (sigsetjmp(outside, 1) == 0) {
        raise(signal);
        CHECK(!"it came back");
    }
}

static __attribute__((noinline)) int deep(int depth, void (*f)(void)) {
    volatile char room[2048];
    room[0] = 1;
    if (depth == 0) {
        f();
        return 0;
    }
    return deep(depth - 1, f) + room[0];
}

// A handler's own calls go to libc: the other tasklet does not run.
static void rests(void) {
    int before = turns;
    rest(20);
    turns_in_handler += turns - before;
}

static void jumps_inside(int signal) {
    jmp_buf inside;
    (void)signal;
    rests();
    if (_setjmp(inside) == 0) longjmp(inside, 1);
    rests();
    deep(5, rests);
}

static void raises(int signal) {
    (void)signal;
    rests();
    // The handler of the other case jumps to here.
    leave(SIGUSR2);
    rests();
}

static void raises_and_leaves(int signal) {
    sigjmp_buf before;
    memcpy(&before, &outside, sizeof before);
    raises(signal);
    siglongjmp(before, 1);
}

static void leaves_both(int signal) {
    (void)signal;
    raise(SIGUSR2);
}

static void *inside(void *unused) {
    handles(SIGUSR1, jumps_inside, 0);
    raise(SIGUSR1);
    waits();
    return unused;
}

static void *left(void *unused) {
    for (how = 0; how < 3; how++) {
        handles(SIGUSR1, leaves, SA_NODEFER);
        leave(SIGUSR1);
        waits();
        leave(SIGUSR1);
        deep(10, waits);
    }
    return unused;
}

static void *nested(void *unused) {
    how = 0;
    handles(SIGUSR2, leaves, SA_NODEFER);
    handles(SIGUSR1, raises, SA_NODEFER);
    raise(SIGUSR1);
    waits();
    handles(SIGUSR1, raises_and_leaves, SA_NODEFER);
    leave(SIGUSR1);
    waits();
    handles(SIGUSR1, leaves_both, SA_NODEFER);
    leave(SIGUSR1);
    waits();
    return unused;
}

// The handler runs on an alternate stack, which all tasklets of the thread share.
static void *alternate(void *unused) {
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16}, before;
    CHECK(sigaltstack(&stack, &before) == 0);
    how = 0;
    handles(SIGUSR1, leaves, SA_ONSTACK);
    leave(SIGUSR1);
    waits();
    handles(SIGUSR1, jumps_inside, SA_ONSTACK);
    raise(SIGUSR1);
    waits();
    handles(SIGUSR2, leaves, SA_ONSTACK | SA_NODEFER);
    handles(SIGUSR1, raises, 0);
    raise(SIGUSR1);
    waits();
    CHECK(sigaltstack(&before, NULL) == 0);
    return unused;
}

// The handler comes while all tasklets wait, or while one is inside a call of the library.
static void *waits_for_signal(void *unused) {
    how = 0;
    handles(SIGUSR1, leaves, 0);
    if (sigsetjmp(outside, 1) == 0) {
        for (;;) pause();
    }
    return unused;
}

static void *exits(void *unused) {
    raise(SIGUSR1);
    return unused;
}

static void leaves_thread(int signal) {
    (void)signal;
    pthread_exit((void *)3);
}

static pthread_key_t key;

static void waits_at_end(void *unused) {
    (void)unused;
    waits();
}

static void *exits_in_handler(void *unused) {
    pthread_key_create(&key, waits_at_end);
    pthread_setspecific(key, &key);
    handles(SIGUSR1, leaves_thread, SA_NODEFER);
    exits(unused);
    return unused;
}

int main(int argc, char **argv) {
    CHECK(argc > 1);
    alarm(30);
    if (is("waiting", argv)) {
        pthread_t waiter = begin(waits_for_signal, NULL);
        rest(50);
        pthread_kill(waiter, SIGUSR1);
        end(waiter);
        puts("ok");
        return 0;
    }
    pthread_t neighbour = begin(ticks, NULL);
    if (is("left", argv)) end(begin(left, NULL));
    if (is("inside", argv)) end(begin(inside, NULL));
    if (is("nested", argv)) end(begin(nested, NULL));
    if (is("alternate", argv)) end(begin(alternate, NULL));
    if (is("exit", argv)) CHECK(end(begin(exits_in_handler, NULL)) == (void *)3);
    __atomic_store_n(&is_over, 1, __ATOMIC_SEQ_CST);
    end(neighbour);
    printf("ok %s\n", turns_in_handler == 0 ? "none" : "some");
    return 0;
}

// Calls that a tasklet is refused, or that end the process. The first argument selects the case.
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <string.h>

static int is(const char *name, char **argv) { return strcmp(argv[1], name) == 0; }

static pthread_key_t key;

static void leaves(void *unused) { pthread_exit(unused); }

static void *leaves_in_destructor(void *unused) {
    pthread_setspecific(key, &key);
    return unused;
}

static void *leaves_at_once(void *value) { pthread_exit(value); }

// A frame at which the unwinder fails: its personality routine makes it.
__attribute__((used)) static int refuses(void) { return 3; }

extern void *through(void *(*f)(void *), void *argument);
#if defined(__x86_64__)
__asm__(".text\n"
        "through:\n"
        ".cfi_startproc\n"
        ".cfi_personality 0x1b, refuses\n"
        "sub $8, %rsp\n"
        ".cfi_def_cfa_offset 16\n"
        "mov %rdi, %rax\n"
        "mov %rsi, %rdi\n"
        "call *%rax\n"
        "add $8, %rsp\n"
        ".cfi_def_cfa_offset 8\n"
        "ret\n"
        ".cfi_endproc\n");
#else
__asm__(".text\n"
        "through:\n"
        ".cfi_startproc\n"
        ".cfi_personality 0x1b, refuses\n"
        "stp x29, x30, [sp, #-16]!\n"
        ".cfi_def_cfa_offset 16\n"
        ".cfi_offset 29, -16\n"
        ".cfi_offset 30, -8\n"
        "mov x9, x0\n"
        "mov x0, x1\n"
        "blr x9\n"
        "ldp x29, x30, [sp], #16\n"
        "ret\n"
        ".cfi_endproc\n");
#endif

static void *leaves_above(void *value) { return through(leaves_at_once, value); }

// More memory than there is.
static int creates_with_stack(size_t size) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, size) == 0);
    int outcome = pthread_create(&thread, &attributes, leaves_at_once, (void *)1);
    pthread_attr_destroy(&attributes);
    if (outcome == 0) end(thread);
    return outcome;
}

static void *creates_much(void *unused) {
    CHECK(creates_with_stack((size_t)1 << 46) == EAGAIN);
    CHECK(creates_with_stack((size_t)1 << 20) == 0);
    return unused;
}

static void *returns(void *value) { return value; }

int main(int argc, char **argv) {
    CHECK(argc > 1);
    alarm(30);
    if (is("destructor", argv)) {
        pthread_key_create(&key, leaves);
        end(begin(leaves_in_destructor, NULL));
    }
    if (is("above", argv)) CHECK(end(begin(leaves_above, (void *)5)) == (void *)5);
    if (is("tables", argv)) CHECK(end(begin(leaves_at_once, (void *)6)) == (void *)6);
    if (is("stack", argv)) {
        creates_much(NULL);
        end(begin(creates_much, NULL));
    }
    // All keys but some are taken.
    if (is("keys", argv)) {
        while (pthread_key_create(&key, NULL) == 0) {
        }
        for (int left = atoi(argv[2]); left > 0; left--) pthread_key_delete(key - left);
        CHECK(end(begin(returns, (void *)7)) == (void *)7);
    }
    puts("ok");
    return 0;
}

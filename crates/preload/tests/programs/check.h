// Helpers that the programs share.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CHECK(holds)                                                     \
    do {                                                                 \
        if (!(holds)) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds);  \
            _exit(1);                                                    \
        }                                                                \
    } while (0)

static inline pthread_t begin(void *(*f)(void *), void *argument) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, f, argument) == 0);
    return thread;
}

static inline void *end(pthread_t thread) {
    void *value;
    CHECK(pthread_join(thread, &value) == 0);
    return value;
}

static inline void rest(int ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&time, &time) != 0) {
    }
}

// Starts a thread with a stack of the program's, which stays a thread under the library.
static inline pthread_t begin_thread(void *(*f)(void *), void *argument) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstack(&attributes, aligned_alloc(4096, 1 << 20), 1 << 20) == 0);
    CHECK(pthread_create(&thread, &attributes, f, argument) == 0);
    pthread_attr_destroy(&attributes);
    return thread;
}

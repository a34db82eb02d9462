// The functions of threads that a C program may use, one check after the other. Prints "ok" at its
// end.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(holds)                                                     \
    do {                                                                 \
        if (!(holds)) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds);  \
            _exit(1);                                                    \
        }                                                                \
    } while (0)

static pthread_t begin(void *(*f)(void *), void *argument) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, f, argument) == 0);
    return thread;
}

static intptr_t end(pthread_t thread) {
    void *value;
    CHECK(pthread_join(thread, &value) == 0);
    return (intptr_t)value;
}

static void rest(int ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&time, &time) != 0) {
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static struct timespec in(int ms) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_nsec += ms * 1000000L;
    time.tv_sec += time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

// Values, identity, joins.

static void *returns(void *argument) { return (char *)argument + 1; }

static void *sleeps(void *argument) {
    rest((int)(intptr_t)argument);
    return argument;
}

static void *is_itself(void *place) {
    return (void *)(intptr_t)pthread_equal(pthread_self(), *(pthread_t *)place);
}

static void values(void) {
    CHECK(end(begin(returns, (void *)6)) == 7);
    pthread_t all[50];
    double start = now();
    for (int i = 0; i < 50; i++) all[i] = begin(sleeps, (void *)100);
    for (int i = 0; i < 50; i++)
        for (int j = 0; j < i; j++) CHECK(!pthread_equal(all[i], all[j]));
    for (int i = 0; i < 50; i++) CHECK(end(all[i]) == 100);
    CHECK(now() - start < 3.0); // One after the other they would take five seconds.
    // A thread that has ended keeps its name until it is joined.
    pthread_t first = begin(returns, (void *)1);
    rest(20);
    pthread_t second = begin(returns, (void *)2);
    CHECK(!pthread_equal(first, second));
    CHECK(end(second) == 3 && end(first) == 2);
    // pthread_self returns there what the creator got.
    pthread_t named = begin(sleeps, (void *)1);
    end(named);
}

static void limits(void) {
    void *value;
    pthread_t thread = begin(sleeps, (void *)300);
    CHECK(pthread_tryjoin_np(thread, &value) == EBUSY);
    struct timespec soon = in(20);
    CHECK(pthread_timedjoin_np(thread, &value, &soon) == ETIMEDOUT);
    struct timespec late = in(60000);
    CHECK(pthread_clockjoin_np(thread, &value, CLOCK_REALTIME, &late) == 0);
    CHECK((intptr_t)value == 300);
    thread = begin(returns, NULL);
    while (pthread_tryjoin_np(thread, &value) == EBUSY) rest(1);
    CHECK((intptr_t)value == 1);
    CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
}

static void *joins_itself(void *argument) {
    return (void *)(intptr_t)pthread_join(pthread_self(), argument);
}

static void *starts_another(void *argument) {
    return (void *)(end(begin(returns, argument)) * 10);
}

static void among_themselves(void) {
    CHECK(end(begin(joins_itself, NULL)) == EDEADLK);
    CHECK(end(begin(starts_another, (void *)4)) == 50);
}

// Attributes.

static void *stack_of(void *size) {
    pthread_attr_t attributes;
    void *low;
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
    CHECK(pthread_attr_getstack(&attributes, &low, (size_t *)size) == 0);
    pthread_attr_destroy(&attributes);
    char here;
    return (void *)(intptr_t)((char *)low <= &here && &here < (char *)low + *(size_t *)size);
}

static void *has_guard(void *unused) {
    pthread_attr_t attributes;
    size_t size = 0;
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
    CHECK(pthread_attr_getguardsize(&attributes, &size) == 0);
    pthread_attr_destroy(&attributes);
    return (void *)(intptr_t)(size > 0);
}

static void *deep(void *left) {
    volatile char room[4096];
    room[0] = 1;
    return left == NULL ? NULL : (char *)deep((char *)left - 1) + room[0];
}

static sem_t posted;

static void *posts(void *argument) {
    sem_post(&posted);
    return argument;
}

static void attributes(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    size_t size = 0;
    CHECK(end(begin(has_guard, NULL)) == 1);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 8 << 20);
    CHECK(pthread_create(&thread, &attributes, stack_of, &size) == 0);
    CHECK(end(thread) == 1 && size >= 8 << 20);
    CHECK(pthread_create(&thread, &attributes, deep, (void *)1900) == 0);
    CHECK(end(thread) == 1900);
    // A thread with a stack of the program's stays a thread.
    void *memory = aligned_alloc(4096, 1 << 20);
    pthread_attr_setstack(&attributes, memory, 1 << 20);
    CHECK(pthread_create(&thread, &attributes, stack_of, &size) == 0);
    CHECK(end(thread) == 1);
    pthread_attr_destroy(&attributes);
    free(memory);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sem_init(&posted, 0, 0);
    CHECK(pthread_create(&thread, &attributes, posts, NULL) == 0);
    CHECK(sem_wait(&posted) == 0);
    pthread_attr_destroy(&attributes);
    thread = begin(posts, NULL);
    CHECK(pthread_detach(thread) == 0);
    CHECK(sem_wait(&posted) == 0);
    thread = begin(posts, NULL);
    CHECK(sem_wait(&posted) == 0);
    rest(10);
    CHECK(pthread_detach(thread) == 0); // After its end.
}

// Names.

static void *named(void *unused) {
    char before[16], after[16];
    pthread_getname_np(pthread_self(), before, sizeof before);
    CHECK(pthread_setname_np(pthread_self(), "much too long a name") == ERANGE);
    CHECK(pthread_setname_np(pthread_self(), "worker") == 0);
    rest(5);
    CHECK(pthread_getname_np(pthread_self(), after, sizeof after) == 0);
    CHECK(strcmp(after, "worker") == 0);
    return (void *)(intptr_t)(strcmp(before, "main-name") == 0);
}

static void names(void) {
    pthread_setname_np(pthread_self(), "main-name");
    pthread_t first = begin(named, NULL), second = begin(named, NULL);
    CHECK(end(first) == 1 && end(second) == 1);
    char mine[16];
    pthread_getname_np(pthread_self(), mine, sizeof mine);
    CHECK(strcmp(mine, "main-name") == 0);
}

// Thread-locals.

static pthread_key_t key;
static __thread int local = 7;
static int destroyed;

static void destroy(void *value) {
    rest(2); // A destructor may wait.
    __atomic_fetch_add(&destroyed, (int)(intptr_t)value, __ATOMIC_SEQ_CST);
}

static void *locals(void *value) {
    CHECK(local == 7 && pthread_getspecific(key) == NULL && errno == 0);
    local = (int)(intptr_t)value;
    errno = (int)(intptr_t)value;
    pthread_setspecific(key, value);
    rest(5);
    CHECK(errno == (int)(intptr_t)value);
    CHECK(local == (int)(intptr_t)value && pthread_getspecific(key) == value);
    return NULL;
}

static void thread_locals(void) {
    pthread_key_create(&key, destroy);
    pthread_t all[10];
    for (intptr_t i = 0; i < 10; i++) all[i] = begin(locals, (void *)(i + 1));
    for (int i = 0; i < 10; i++) end(all[i]);
    CHECK(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == 55); // Before the join.
    CHECK(local == 7);
}

// pthread_exit, cancellation.

static char order[16];

static void note(void *letter) { strcat(order, (char *)letter); }

static void exits(int depth) {
    pthread_cleanup_push(note, depth == 0 ? "a" : "b");
    if (depth == 0) pthread_exit((void *)9);
    exits(depth - 1);
    pthread_cleanup_pop(1);
}

static void *leaves(void *unused) {
    pthread_cleanup_push(note, "d");
    pthread_cleanup_push(note, "never");
    pthread_cleanup_pop(0);
    exits(2);
    pthread_cleanup_pop(1);
    return unused;
}

static void *leaves_at_once(void *value) { pthread_exit(value); }

static void ends(void) {
    CHECK(end(begin(leaves_at_once, (void *)5)) == 5);
    CHECK(end(begin(leaves, NULL)) == 9);
    CHECK(strcmp(order, "abbd") == 0);
    pthread_t thread = begin(sleeps, (void *)50);
    CHECK(pthread_kill(thread, 0) == 0);
    CHECK(pthread_cancel(thread) == ENOSYS);
    CHECK(end(thread) == 50);
}

// Locks, across the main thread and tasklets.

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int count, turn;

static void *adds(void *unused) {
    for (int i = 0; i < 20; i++) {
        pthread_mutex_lock(&mutex);
        int before = count;
        rest(1);
        count = before + 1;
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}

static void *answers(void *unused) {
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % 2 == 0) pthread_cond_wait(&cond, &mutex);
        turn++;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}

static void locks(void) {
    pthread_t all[3];
    for (int i = 0; i < 3; i++) all[i] = begin(adds, NULL);
    adds(NULL);
    for (int i = 0; i < 3; i++) end(all[i]);
    CHECK(count == 80);
    pthread_t other = begin(answers, NULL);
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % 2 == 1) pthread_cond_wait(&cond, &mutex);
        turn++;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
    }
    end(other);
    CHECK(turn == 200);
}

// fork.

static int code_of(pid_t child) {
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void in_child(void) {
    // The child has threads of its own, and locks for which tasklets of the parent wait.
    if (end(begin(starts_another, (void *)4)) != 50) _exit(1);
    sem_post(&posted);
    if (sem_wait(&posted) != 0) _exit(2);
}

static void *forks(void *how) {
    pid_t child = fork();
    if (child != 0) return (void *)(intptr_t)code_of(child);
    in_child();
    switch ((intptr_t)how) {
    case 0:
        _exit(3);
    case 1:
        return NULL; // This is the last thread: the process ends with success.
    default:
        pthread_exit(NULL);
    }
}

static void *waits(void *unused) {
    sem_wait(&posted);
    return unused;
}

static void children(void) {
    // A thread waits for the semaphore that the child posts.
    pthread_t waiter = begin(waits, NULL);
    rest(10);
    pid_t child = fork();
    if (child == 0) {
        in_child();
        exit(4);
    }
    CHECK(code_of(child) == 4);
    CHECK(end(begin(forks, (void *)0)) == 3);
    CHECK(end(begin(forks, (void *)1)) == 0);
    CHECK(end(begin(forks, (void *)2)) == 0);
    void *value;
    CHECK(pthread_tryjoin_np(waiter, &value) == EBUSY);
    sem_post(&posted);
    end(waiter);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "exit") == 0) {
        begin(sleeps, (void *)1000000);
        rest(5);
        return 6; // Another thread sleeps meanwhile.
    }
    if (argc > 1 && strcmp(argv[1], "leave") == 0) {
        begin(posts, NULL);
        begin(sleeps, (void *)50);
        pthread_exit(NULL); // The process ends with its last thread.
    }
    values();
    limits();
    among_themselves();
    attributes();
    names();
    thread_locals();
    ends();
    locks();
    // Emulators of a processor do not fork programs that have threads.
    if (argc < 2 || strcmp(argv[1], "childless") != 0) children();
    puts("ok");
    (void)is_itself;
    return 0;
}

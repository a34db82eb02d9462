// A signal handler that is left by an exception (built with -fnon-call-exceptions).
#include "check.h"
#include <signal.h>

static int turns, is_over;

static void *ticks(void *unused) {
    while (!__atomic_load_n(&is_over, __ATOMIC_SEQ_CST)) {
        turns++;
        rest(1);
    }
    return unused;
}

// raise(3), which <signal.h> declares not to throw.
extern "C" int raises(int number) __asm__("raise");

static void throws(int number) { throw number; }

static void *catches(void *unused) {
    for (int i = 0; i < 3; i++) {
        try {
            raises(SIGUSR1);
            CHECK(!"it came back");
        } catch (int number) {
            CHECK(number == SIGUSR1);
        }
        int before = turns;
        for (int j = 0; j < 50 && turns <= before + 5; j++) rest(60);
        CHECK(turns > before + 5);
    }
    return unused;
}

int main() {
    alarm(30);
    struct sigaction action = {};
    action.sa_handler = throws;
    action.sa_flags = SA_NODEFER;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    pthread_t neighbour = begin(ticks, NULL);
    end(begin(catches, NULL));
    __atomic_store_n(&is_over, 1, __ATOMIC_SEQ_CST);
    end(neighbour);
    puts("ok");
    return 0;
}

// pthread_exit among C++ exceptions. With an argument, one is caught and not rethrown.
#include "check.h"
#include <string.h>

static int destroyed;

struct Counts {
    ~Counts() { destroyed++; }
};

static void *leaves(void *is_caught) {
    Counts first;
    try {
        Counts second;
        pthread_exit((void *)4);
    } catch (...) {
        if (is_caught == NULL) throw;
    }
    return NULL;
}

int main(int argc, char **argv) {
    alarm(30);
    (void)argv;
    CHECK(end(begin(leaves, argc > 1 ? &destroyed : NULL)) == (void *)4);
    CHECK(destroyed == 2);
    puts("ok");
    return 0;
}

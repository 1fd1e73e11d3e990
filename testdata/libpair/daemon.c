/*
 * A daemon and its library, which agree about a unit: in v1 tariff_price gives euros, in v2 cents, and
 * quote in the daemon prints what it gets. One of them patched without the other quotes nonsense, so both
 * patches have to go in at one stop.
 *
 * Build: gcc -O2 -g -fPIC -shared -DVERSION=N [-DFIXED] tariff.c, and
 *        gcc -O2 -g -pthread -fPIE -pie -DVERSION=N daemon.c with the v1 library and its -rpath.
 *
 * Pair                              Changed functions   "quote 10"   "quote -5"   "quote 150"
 * v1                                                    30           -15          400
 * library v1 -> v1 with -DFIXED     tariff_price        30           0            400
 * both v1 -> v2                     tariff_price,       30.00        -15.00       400.00
 *                                   quote
 * Verdict of each pair: ok. After a revert the replies are v1's again. "mixed" prints how many quotes the
 * checking threads have seen since the last "mixed" that neither version gives.
 */
#include "tariff.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static atomic_ulong mixed;

static __attribute__((noinline)) void quote(int units, char *to, size_t room)
{
    int price = tariff_price(units);
#if VERSION == 1
    snprintf(to, room, "%d", price);
#else
    snprintf(to, room, "%s%d.%02d", price < 0 ? "-" : "", abs(price) / 100, abs(price) % 100);
#endif
}

static __attribute__((noreturn)) void *check(void *arg)
{
    (void)arg;
    for (;;) {
        char text[32];
        struct timespec nap = {.tv_nsec = 50 * 1000};
        quote(10, text, sizeof text);
        if (strcmp(text, "30") != 0 && strcmp(text, "30.00") != 0)
            atomic_fetch_add(&mixed, 1);
        nanosleep(&nap, NULL);
    }
}

int main(void)
{
    char line[64], text[32];
    pthread_t t;
    for (int i = 0; i < 3; i++)
        if (pthread_create(&t, NULL, check, NULL) != 0)
            return 1;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "mixed\n") == 0) {
            printf("mixed %lu\n", atomic_exchange(&mixed, 0));
        } else if (strncmp(line, "quote ", 6) == 0) {
            quote(atoi(line + 6), text, sizeof text);
            puts(text);
        } else {
            puts("?");
        }
        fflush(stdout);
    }
    return 0;
}

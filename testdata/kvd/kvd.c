/*
 * kvd: a small multi-threaded TCP key-value server in four versions, chosen by -DVERSION=1..4.
 *
 *   kvd [-p PORT] [-t WORKERS] [-d]
 *
 * It listens on 127.0.0.1 (port 0, the default: any free one), prints "ready" and then "port N", and serves
 * request lines, one reply line each, until its standard input ends (-d: until it is killed).
 * Threads: the first one (reads standard input), one in epoll_wait, one that keeps house and sleeps,
 * and the pool. An interrupted call that was not asked for ends the server with status 3: nothing
 * sends it signals, so EINTR means that somebody disturbed it.
 *
 * Build: gcc -O2 -g -pthread -fPIE -pie -DVERSION=N kvd.c command.c table.c queue.c
 *
 * Step      Functions that change            What is seen                  v1          later
 * v1 -> v2  cmd_last (a logic fix)           SET k abc, LAST k 3           LAST bc     LAST abc
 *           cmd_hello, cmd_set (a string     HELLO                         kvd one, values up to 48
 *           and a constant)                                                kvd two or later, values up to 64
 *                                            SET k (49 to 64 bytes)        ERR value too long    OK
 * v2 -> v3  cmd_stats, cmd_get (a new        STATS                         STATS sets N
 *           counter in .data and the new                                   STATS sets N misses M, M >= 1000
 *           function note_miss)
 *           cmd_calc (a switch)              CALC 4 7 0                    RESULT -1   RESULT 7
 *                                            CALC 9 3 4                    ERR op 9    RESULT 3
 *                                            CALC 10 3 4                   ERR op 10   RESULT 25
 * v3 -> v4  checksum (static, one more       SUM k                         another number
 *           argument), cmd_sum, cmd_same
 *           parse_number (imports strtoull), ADD n 0x10                    ERR number  VALUE 16 (more than before)
 *           cmd_last, cmd_calc, cmd_add
 * (parse_number is inlined into its callers in v4.)
 *
 * Verdict of each step: ok. After a revert the replies are the earlier version's again; keys,
 * connections and the number of sets live on.
 */
#define _GNU_SOURCE
#include "kvd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct conn {
    int fd;
    size_t used; /* bytes of an unfinished line in line[] */
    char line[KVD_LINE];
};

static int events; /* the epoll descriptor */

static void die(const char *what)
{
    int status = errno == EINTR ? 3 : 1;
    perror(what);
    exit(status);
}

static void watch(struct conn *c, int op)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = c};
    if (epoll_ctl(events, op, c->fd, &e) < 0)
        die("epoll_ctl");
}

static void hang_up(struct conn *c)
{
    close(c->fd);
    free(c);
}

/* Writes all n bytes; the socket is blocking. Returns 0 if the client went away. */
static int send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            die("send");
        if (k < 0)
            return 0;
        p += k;
        n -= (size_t)k;
    }
    return 1;
}

/* Answers the whole lines of what has been read. Returns 0 if the client is to be left. */
static int answer(struct conn *c)
{
    char reply[KVD_LINE + 1], *nl;
    while ((nl = memchr(c->line, '\n', c->used))) {
        size_t len = (size_t)(nl - c->line) + 1;
        *nl = '\0';
        if (nl > c->line && nl[-1] == '\r')
            nl[-1] = '\0';
        command_run(c->line, reply, KVD_LINE);
        size_t n = strlen(reply);
        reply[n++] = '\n';
        if (!send_all(c->fd, reply, n))
            return 0;
        c->used -= len;
        memmove(c->line, c->line + len, c->used);
    }
    return c->used < sizeof c->line;
}

static __attribute__((noreturn)) void *worker(void *arg)
{
    (void)arg;
    for (;;) {
        struct conn *c = queue_take();
        ssize_t n = recv(c->fd, c->line + c->used, sizeof c->line - c->used, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            die("recv");
        if (n <= 0) {
            hang_up(c);
            continue;
        }
        c->used += (size_t)n;
        if (answer(c))
            watch(c, EPOLL_CTL_MOD);
        else
            hang_up(c);
    }
}

static void welcome(int listener)
{
    int fd = accept(listener, NULL, NULL), one = 1;
    if (fd < 0 && errno == EINTR)
        die("accept");
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        die("calloc");
    c->fd = fd;
    watch(c, EPOLL_CTL_ADD);
}

static __attribute__((noreturn)) void *dispatcher(void *arg)
{
    int listener = *(int *)arg;
    for (;;) {
        struct epoll_event e[16];
        int n = epoll_wait(events, e, 16, -1);
        if (n < 0)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (e[i].data.ptr)
                queue_put(e[i].data.ptr);
            else
                welcome(listener);
        }
    }
}

static __attribute__((noreturn)) void *housekeeper(void *arg)
{
    (void)arg;
    for (;;) {
        struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};
        if (nanosleep(&nap, NULL) < 0)
            die("nanosleep");
        table_sweep();
    }
}

static int listen_on(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    socklen_t len = sizeof at;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, 1024) < 0)
        die("listen");
    getsockname(fd, (struct sockaddr *)&at, &len);
    printf("ready\nport %d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

static void start(void *(*run)(void *), void *arg)
{
    pthread_t t;
    errno = pthread_create(&t, NULL, run, arg);
    if (errno)
        die("pthread_create");
}

int main(int argc, char **argv)
{
    int port = 0, workers = 4, alone = 0, opt;
    while ((opt = getopt(argc, argv, "p:t:d")) != -1) {
        switch (opt) {
        case 'p': port = atoi(optarg); break;
        case 't': workers = atoi(optarg); break;
        case 'd': alone = 1; break;
        default: return 2;
        }
    }
    table_init();
    events = epoll_create1(0);
    if (events < 0)
        die("epoll_create1");
    static int listener;
    listener = listen_on(port);
    struct epoll_event e = {.events = EPOLLIN};
    if (epoll_ctl(events, EPOLL_CTL_ADD, listener, &e) < 0)
        die("epoll_ctl");
    for (int i = 0; i < workers; i++)
        start(worker, NULL);
    start(housekeeper, NULL);
    start(dispatcher, &listener);
    while (alone)
        pause();
    char buf[64];
    ssize_t n;
    while ((n = read(0, buf, sizeof buf)) > 0)
        continue;
    if (n < 0)
        die("standard input");
    return 0;
}

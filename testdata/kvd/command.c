/* The commands of kvd. All that differs between the versions is in this file. */
#include "kvd.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if VERSION == 1
#define BANNER "kvd one"
#define LIMIT 48 /* bytes of a value that SET accepts */
#else
#define BANNER "kvd two or later"
#define LIMIT 64
#endif

static atomic_ulong sets; /* lives on through every patch and revert */
#if VERSION >= 3
static atomic_ulong misses = 1000; /* new in v3, and not zero at first */

static __attribute__((noinline)) void note_miss(const char *key)
{
    if (*key)
        atomic_fetch_add(&misses, 1);
}
#endif

struct args {
    char *word[4];
    int count;
};

/* Reads a number. v4 knows hexadecimal as well, and needs strtoull for it. */
static int parse_number(const char *s, long *n)
{
#if VERSION >= 4
    char *end;
    *n = (long)strtoull(s, &end, 0);
    return end != s && *end == '\0';
#else
    int negative = *s == '-';
    long sum = 0;
    s += negative;
    if (!*s)
        return 0;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return 0;
        sum = sum * 10 + (*s - '0');
    }
    *n = negative ? -sum : sum;
    return 1;
#endif
}

#if VERSION >= 4
static __attribute__((noinline)) unsigned checksum(const char *s, size_t n, unsigned seed)
{
    unsigned sum = seed;
    for (size_t i = 0; i < n; i++)
        sum = (sum << 5 | sum >> 27) ^ (unsigned char)s[i];
    return sum;
}
#define CHECKSUM(s, n) checksum(s, n, (unsigned)(n))
#else
static __attribute__((noinline)) unsigned checksum(const char *s, size_t n)
{
    unsigned sum = 1;
    for (size_t i = 0; i < n; i++)
        sum = (sum << 5 | sum >> 27) ^ (unsigned char)s[i];
    return sum;
}
#define CHECKSUM(s, n) checksum(s, n)
#endif

static void cmd_hello(struct args *a, char *reply, size_t room)
{
    (void)a;
    snprintf(reply, room, "%s, values up to %d", BANNER, LIMIT);
}

static void cmd_set(struct args *a, char *reply, size_t room)
{
    if (strlen(a->word[2]) > LIMIT) {
        snprintf(reply, room, "ERR value too long");
        return;
    }
    table_set(a->word[1], a->word[2]);
    atomic_fetch_add(&sets, 1);
    snprintf(reply, room, "OK");
}

static void cmd_get(struct args *a, char *reply, size_t room)
{
    char value[KVD_VALUE];
    if (table_get(a->word[1], value, sizeof value)) {
        snprintf(reply, room, "VALUE %s", value);
        return;
    }
#if VERSION >= 3
    note_miss(a->word[1]);
#endif
    snprintf(reply, room, "NONE");
}

static void cmd_del(struct args *a, char *reply, size_t room)
{
    snprintf(reply, room, "%s", table_del(a->word[1]) ? "OK" : "NONE");
}

/* LAST key n: the last n bytes of the value, or all of it where it is shorter. */
static void cmd_last(struct args *a, char *reply, size_t room)
{
    char value[KVD_VALUE];
    long n;
    if (!parse_number(a->word[2], &n) || n < 0) {
        snprintf(reply, room, "ERR number");
        return;
    }
    if (!table_get(a->word[1], value, sizeof value)) {
        snprintf(reply, room, "NONE");
        return;
    }
    size_t len = strlen(value);
#if VERSION == 1
    if ((size_t)n >= len && len > 0)
        n = (long)len - 1; /* the bug: the first byte is lost */
#else
    if ((size_t)n > len)
        n = (long)len;
#endif
    snprintf(reply, room, "LAST %s", value + len - n);
}

static void cmd_stats(struct args *a, char *reply, size_t room)
{
    (void)a;
#if VERSION >= 3
    snprintf(reply, room, "STATS sets %lu misses %lu", atomic_load(&sets), atomic_load(&misses));
#else
    snprintf(reply, room, "STATS sets %lu", atomic_load(&sets));
#endif
}

/* CALC op a b: a dense switch, which the compiler makes a jump table of. */
static void cmd_calc(struct args *a, char *reply, size_t room)
{
    long op, x, y, r;
    if (!parse_number(a->word[1], &op) || !parse_number(a->word[2], &x) || !parse_number(a->word[3], &y)) {
        snprintf(reply, room, "ERR number");
        return;
    }
    switch (op) {
    case 0: r = x + y; break;
    case 1: r = x - y; break;
    case 2: r = x * y; break;
    case 3: r = y ? x / y : 0; break;
#if VERSION >= 3
    case 4: r = y ? x % y : x; break;
#else
    case 4: r = y ? x % y : -1; break;
#endif
    case 5: r = x & y; break;
    case 6: r = x | y; break;
    case 7: r = x ^ y; break;
    case 8: r = x > y ? x : y; break;
#if VERSION >= 3
    case 9: r = x < y ? x : y; break;
    case 10: r = x * x + y * y; break;
#endif
    default: snprintf(reply, room, "ERR op %ld", op); return;
    }
    snprintf(reply, room, "RESULT %ld", r);
}

/* SUM key: the checksum of the value. */
static void cmd_sum(struct args *a, char *reply, size_t room)
{
    char value[KVD_VALUE];
    if (!table_get(a->word[1], value, sizeof value)) {
        snprintf(reply, room, "NONE");
        return;
    }
    snprintf(reply, room, "SUM %u", CHECKSUM(value, strlen(value)));
}

/* SAME key sum: whether the value has this checksum. */
static void cmd_same(struct args *a, char *reply, size_t room)
{
    char value[KVD_VALUE];
    long want;
    if (!parse_number(a->word[2], &want) || !table_get(a->word[1], value, sizeof value)) {
        snprintf(reply, room, "NONE");
        return;
    }
    snprintf(reply, room, "%s", CHECKSUM(value, strlen(value)) == (unsigned)want ? "YES" : "NO");
}

static void cmd_add(struct args *a, char *reply, size_t room)
{
    long n;
    if (!parse_number(a->word[2], &n)) {
        snprintf(reply, room, "ERR number");
        return;
    }
    snprintf(reply, room, "VALUE %ld", table_add(a->word[1], n));
}

static const struct {
    const char *name;
    int words; /* with the command itself */
    void (*run)(struct args *a, char *reply, size_t room);
} commands[] = {
    {"HELLO", 1, cmd_hello}, {"SET", 3, cmd_set},   {"GET", 2, cmd_get},   {"DEL", 2, cmd_del},
    {"LAST", 3, cmd_last},   {"STATS", 1, cmd_stats}, {"CALC", 4, cmd_calc}, {"SUM", 2, cmd_sum},
    {"SAME", 3, cmd_same},   {"ADD", 3, cmd_add},
};

void command_run(char *line, char *reply, size_t room)
{
    struct args a = {.count = 0};
    char *rest = line, *word;
    while (a.count < 4 && (word = strsep(&rest, " ")))
        a.word[a.count++] = word;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, a.word[0]) != 0)
            continue;
        if (a.count != commands[i].words || (a.count > 1 && strlen(a.word[1]) >= KVD_KEY))
            break;
        commands[i].run(&a, reply, room);
        return;
    }
    snprintf(reply, room, "ERR command");
}

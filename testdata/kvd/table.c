/* The global table of kvd: buckets of chained entries under striped locks. */
#include "kvd.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096, STRIPES = 64 };

struct entry {
    struct entry *next;
    char key[KVD_KEY];
    char value[KVD_VALUE];
};

static struct entry *buckets[BUCKETS];
static pthread_mutex_t stripes[STRIPES];

void table_init(void)
{
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&stripes[i], NULL);
}

/* FNV-1a, 32 bits. */
static unsigned bucket_of(const char *key)
{
    unsigned h = 2166136261u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 16777619u;
    return h % BUCKETS;
}

/* Returns the link that holds the key's entry, or the link where it belongs. */
static struct entry **find(unsigned bucket, const char *key)
{
    struct entry **link = &buckets[bucket];
    while (*link && strcmp((*link)->key, key) != 0)
        link = &(*link)->next;
    return link;
}

static struct entry *find_or_add(unsigned bucket, const char *key)
{
    struct entry **link = find(bucket, key);
    if (!*link) {
        struct entry *e = calloc(1, sizeof *e);
        if (!e)
            abort();
        snprintf(e->key, sizeof e->key, "%s", key);
        *link = e;
    }
    return *link;
}

void table_set(const char *key, const char *value)
{
    unsigned b = bucket_of(key);
    pthread_mutex_lock(&stripes[b % STRIPES]);
    struct entry *e = find_or_add(b, key);
    snprintf(e->value, sizeof e->value, "%s", value);
    pthread_mutex_unlock(&stripes[b % STRIPES]);
}

int table_get(const char *key, char *value, size_t room)
{
    unsigned b = bucket_of(key);
    pthread_mutex_lock(&stripes[b % STRIPES]);
    struct entry *e = *find(b, key);
    if (e)
        snprintf(value, room, "%s", e->value);
    pthread_mutex_unlock(&stripes[b % STRIPES]);
    return e != NULL;
}

int table_del(const char *key)
{
    unsigned b = bucket_of(key);
    pthread_mutex_lock(&stripes[b % STRIPES]);
    struct entry **link = find(b, key), *e = *link;
    if (e)
        *link = e->next;
    pthread_mutex_unlock(&stripes[b % STRIPES]);
    free(e);
    return e != NULL;
}

long table_add(const char *key, long n)
{
    unsigned b = bucket_of(key);
    pthread_mutex_lock(&stripes[b % STRIPES]);
    struct entry *e = find_or_add(b, key);
    long sum = atol(e->value) + n;
    snprintf(e->value, sizeof e->value, "%ld", sum);
    pthread_mutex_unlock(&stripes[b % STRIPES]);
    return sum;
}

unsigned long table_sweep(void)
{
    unsigned long n = 0;
    for (unsigned b = 0; b < BUCKETS; b++) {
        pthread_mutex_lock(&stripes[b % STRIPES]);
        for (struct entry *e = buckets[b]; e; e = e->next)
            n++;
        pthread_mutex_unlock(&stripes[b % STRIPES]);
    }
    return n;
}

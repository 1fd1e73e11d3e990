/* kvd: what the parts of the server share. See kvd.c. */
#ifndef KVD_H
#define KVD_H

#include <stddef.h>

#ifndef VERSION
#define VERSION 1
#endif

enum {
    KVD_LINE = 512,   /* longest request and longest reply, in bytes, with newline */
    KVD_KEY = 64,     /* longest key, with its NUL */
    KVD_VALUE = 128,  /* room for a value in the table, with its NUL */
};

/* table.c: the global table. Every function takes the lock of the key's stripe. */
void table_init(void);
void table_set(const char *key, const char *value);
int table_get(const char *key, char *value, size_t room); /* 0: no such key */
int table_del(const char *key);                           /* 0: no such key */
long table_add(const char *key, long n);                  /* the new value */
unsigned long table_sweep(void);                          /* the number of keys */

/* command.c: runs one request line and writes one reply line without newline. */
void command_run(char *line, char *reply, size_t room);

/* queue.c: connections that wait for a worker of the pool. */
struct conn;
void queue_put(struct conn *c);
struct conn *queue_take(void);

#endif

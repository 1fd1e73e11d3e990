/* The queue between kvd's epoll thread and its pool of workers. */
#include "kvd.h"

#include <pthread.h>

enum { QUEUE = 4096 }; /* more than there can be connections: each waits at most once */

static struct conn *ring[QUEUE];
static unsigned head, tail;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t some = PTHREAD_COND_INITIALIZER;

void queue_put(struct conn *c)
{
    pthread_mutex_lock(&lock);
    ring[tail++ % QUEUE] = c;
    pthread_cond_signal(&some);
    pthread_mutex_unlock(&lock);
}

struct conn *queue_take(void)
{
    pthread_mutex_lock(&lock);
    while (head == tail)
        pthread_cond_wait(&some, &lock);
    struct conn *c = ring[head++ % QUEUE];
    pthread_mutex_unlock(&lock);
    return c;
}

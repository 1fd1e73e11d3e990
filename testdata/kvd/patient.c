/* Makes kvd's calls again after EINTR, as signal(7) asks of every program; kvd itself ends, to tell that
 * somebody has disturbed it. Linked with -Wl,--wrap=epoll_wait for the tests that kill hotpatch: a call that returns a
 * plain EINTR on any stop does so if its tracer dies before it has been repaired. */
#include <errno.h>
#include <sys/epoll.h>

int __real_epoll_wait(int fd, struct epoll_event *e, int most, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *e, int most, int timeout);

int __wrap_epoll_wait(int fd, struct epoll_event *e, int most, int timeout)
{
    int n;
    do
        n = __real_epoll_wait(fd, e, most, timeout);
    while (n < 0 && errno == EINTR);
    return n;
}

package ptrace

import "golang.org/x/sys/unix"

// interruptibles are the calls that repair restarts. Calls on sockets return EINTR only with
// SO_RCVTIMEO or SO_SNDTIMEO set, read and write also on some file systems; both only before
// anything was transferred.
var interruptibles = [...]interruptible{
	{unix.SYS_EPOLL_WAIT, 3},
	{unix.SYS_EPOLL_PWAIT, 3},
	{unix.SYS_EPOLL_PWAIT2, -1},
	{unix.SYS_RT_SIGTIMEDWAIT, -1},
	{unix.SYS_IO_URING_ENTER, -1},
	{unix.SYS_SEMOP, -1},
	{unix.SYS_SEMTIMEDOP, -1},
	{unix.SYS_IO_GETEVENTS, -1},
	{unix.SYS_IO_PGETEVENTS, -1},
	{unix.SYS_ACCEPT, -1},
	{unix.SYS_ACCEPT4, -1},
	{unix.SYS_CONNECT, -1},
	{unix.SYS_RECVFROM, -1},
	{unix.SYS_RECVMSG, -1},
	{unix.SYS_RECVMMSG, -1},
	{unix.SYS_SENDTO, -1},
	{unix.SYS_SENDMSG, -1},
	{unix.SYS_SENDMMSG, -1},
	{unix.SYS_READ, -1},
	{unix.SYS_READV, -1},
	{unix.SYS_WRITE, -1},
	{unix.SYS_WRITEV, -1},
	{unix.SYS_SENDFILE, -1},
}

package ptrace

import "golang.org/x/sys/unix"

// interruptibles are the calls that repair restarts. Calls on sockets return EINTR only with
// SO_RCVTIMEO or SO_SNDTIMEO set, read and write also on some file systems; both only before
// anything was transferred.
var interruptibles = [...]interruptible{
	{nr: unix.SYS_EPOLL_WAIT, timeout: 3, always: true},
	{nr: unix.SYS_EPOLL_PWAIT, timeout: 3, always: true},
	{nr: unix.SYS_EPOLL_PWAIT2, timeout: -1, always: true},
	{nr: unix.SYS_RT_SIGTIMEDWAIT, timeout: -1, always: true},
	{nr: unix.SYS_IO_URING_ENTER, timeout: -1, always: true},
	{nr: unix.SYS_SEMOP, timeout: -1, always: true},
	{nr: unix.SYS_SEMTIMEDOP, timeout: -1, always: true},
	{nr: unix.SYS_IO_GETEVENTS, timeout: -1, always: true},
	{nr: unix.SYS_IO_PGETEVENTS, timeout: -1, always: true},
	{nr: unix.SYS_ACCEPT, timeout: -1},
	{nr: unix.SYS_ACCEPT4, timeout: -1},
	{nr: unix.SYS_CONNECT, timeout: -1},
	{nr: unix.SYS_RECVFROM, timeout: -1},
	{nr: unix.SYS_RECVMSG, timeout: -1},
	{nr: unix.SYS_RECVMMSG, timeout: -1},
	{nr: unix.SYS_SENDTO, timeout: -1},
	{nr: unix.SYS_SENDMSG, timeout: -1},
	{nr: unix.SYS_SENDMMSG, timeout: -1},
	{nr: unix.SYS_READ, timeout: -1},
	{nr: unix.SYS_READV, timeout: -1},
	{nr: unix.SYS_WRITE, timeout: -1},
	{nr: unix.SYS_WRITEV, timeout: -1},
	{nr: unix.SYS_SENDFILE, timeout: -1},
}

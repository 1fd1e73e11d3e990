/* A master that forks workers, in two versions (-DVERSION=1..2), driven by lines on its standard input. Processes are
 * numbered as they were made; the master is 0.
 *
 *   fork    makes another worker, prints "worker PID"
 *   ask N   process N prints "reply ..." by the function that differs
 *   hold N  worker N enters that function, prints "held" from within, and stays until "free N"
 *   end N   worker N ends; the master collects it and prints "ended"
 *
 * Expected: reply is the only changed function.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 32 };
static struct { int to; pid_t pid; } worker[MOST];
static int workers, input, output[2];

__attribute__((noinline, noclone)) int reply(int n, int wait)
{
	char c;
	if (wait && (write(output[1], "held\n", 5) != 5 || read(input, &c, 1) != 1))
		_exit(1);
	return n * 100 + VERSION;
}

static void say(const char *what, int n)
{
	char text[64];
	int len = snprintf(text, sizeof text, "%s %d\n", what, n);
	if (write(output[1], text, len) != len)
		_exit(1);
}

/* A worker: c asks, h holds, f frees, the end of the input ends it. */
static void serve(void)
{
	char c;
	while (read(input, &c, 1) == 1)
		say("reply", reply(2, c == 'h'));
	_exit(0);
}

static void fork_worker(void)
{
	int p[2];
	if (workers + 1 >= MOST || pipe(p))
		_exit(1);
	pid_t pid = fork();
	if (!pid) {
		for (int i = 1; i <= workers; i++)
			close(worker[i].to);
		close(p[1]);
		input = p[0];
		serve();
	}
	close(p[0]);
	worker[++workers].to = p[1];
	worker[workers].pid = pid;
	printf("worker %d\n", pid);
}

/* Passes on what a process has said. */
static void pass(void)
{
	char text[64];
	ssize_t n = read(output[0], text, sizeof text);
	if (n <= 0)
		_exit(1);
	fwrite(text, 1, n, stdout);
}

int main(void)
{
	char line[64], what[16];
	int n;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pipe(output))
		return 1;
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		if (!strcmp(line, "fork\n")) {
			fork_worker();
			continue;
		}
		if (sscanf(line, "%15s %d", what, &n) != 2 || n < 0 || n > workers)
			return 1;
		if (n == 0) {
			printf("reply %d\n", reply(2, 0));
		} else if (!strcmp(what, "end")) {
			close(worker[n].to);
			waitpid(worker[n].pid, NULL, 0);
			puts("ended");
		} else {
			if (write(worker[n].to, what, 1) != 1)
				return 1;
			pass();
		}
	}
	return 0; /* the workers' inputs end */
}

package elfdiff_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
)

const staysSource = `
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#define NOINLINE __attribute__((noipa))
volatile int n;
NOINLINE void *worker(void *arg) { while (n < 100) { usleep(10); n += V; } return arg; }
NOINLINE void round_and_round(void) { for (;;) { usleep(10); n += V; } }
NOINLINE void die(void) { printf("%d", V); exit(1); }
NOINLINE void ordinary(void) { for (int i = 0; i < 10; i++) n += V; }
NOINLINE void handed(void (*f)(void)) { f(); }
int main(int argc, char **argv) {
	pthread_t t;
	(void)argv;
	pthread_create(&t, NULL, worker, NULL);
	handed(ordinary);
	if (argc > V) die();
	if (argc > 5) round_and_round();
	return 0;
}
`

// TestStaysBusy says beforehand which functions are going to be found busy for ever.
func TestStaysBusy(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "stays.c")
	if err := os.WriteFile(source, []byte(staysSource), 0o666); err != nil {
		t.Fatal(err)
	}
	var files [2]string
	for i := range files {
		files[i] = filepath.Join(dir, fmt.Sprint("v", i+1))
		command(t, "gcc", "-O2", "-g", "-pthread", "-Wl,--build-id", fmt.Sprintf("-DV=%d", i+1), "-o", files[i], source)
	}
	r, err := elfdiff.Diff(load(t, files[0]), load(t, files[1]), elfdiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"main": "the program begins with it", "worker": "a thread begins with it", "round_and_round": "a loop without a way out", "die": "", "ordinary": ""}
	for i := range r.Changes {
		c := &r.Changes[i]
		why, ok := want[c.Name]
		if !ok {
			continue
		}
		delete(want, c.Name)
		if said := strings.HasPrefix(c.Why, patch.StaysBusy); said != (why != "") || !strings.Contains(c.Why, why) {
			t.Errorf("%s: %q, want %q", c.Name, c.Why, why)
		}
	}
	if len(want) > 0 {
		t.Errorf("not among the changes: %v", want)
	}
}

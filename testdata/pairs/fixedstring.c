// D18: a program that is not position independent gets another text. What names it could hold a number, and the old build holds the same one.
// Flags: -fno-pie -no-pie
// Changed: answer
// Verdict: refused could be the address of "good day" or a number
// arm64-Verdict: ok
#include "pair.h"

void answer(void) { puts(V == 1 ? "hello" : "good day"); }

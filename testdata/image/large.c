/* Code that reaches its data by 64-bit distances when it is compiled for the large or medium code model. */
static int big[100000], tick;
__attribute__((noinline)) int bump(int n){ big[n]+=n; return ++tick + big[n / 2]; }
int main(int c,char**v){ return bump(c); }

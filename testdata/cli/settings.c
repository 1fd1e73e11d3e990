/* A program that differs from version to version in the initial value of one variable and nothing else.
 *
 * Expected: no patch, because running values are kept.
 */
#ifndef VERSION
#define VERSION 1
#endif

int level = VERSION;

int main(void)
{
	return level;
}

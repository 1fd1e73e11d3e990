struct ops {
	int (*first)(int), (*never)(int), (*second)(int);
};
extern const struct ops ops;
int never(int x), behind(int x), other(int x);

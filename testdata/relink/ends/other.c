void hit(const char *s);

int other(unsigned k, int v) {
	switch (k) {
	case 0:
		hit("a");
		return v * 7;
	case 1:
		hit("b");
		v += 15;
		break;
	case 2:
		hit("c");
		return v ^ 177;
	case 3:
		hit("d");
		v -= 12;
		break;
	case 5:
		hit("e");
		return v / 19;
	case 6:
		hit("f");
		v <<= 3;
		break;
	default:
		__builtin_unreachable();
	}
	hit("g");
	return v + 2;
}

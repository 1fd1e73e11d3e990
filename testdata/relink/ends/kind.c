// The default of this switch cannot be reached: clang's jump table leads the values in between to the end of the function, where no
// instruction is. No range check stands in front of it.
void hit(const char *s);

int kind(unsigned k, int v) {
	switch (k) {
	case 0:
		hit("zero");
		return v * 3;
	case 1:
		hit("one");
		v += 5;
		break;
	case 3:
		hit("three");
		return v ^ 77;
	case 4:
		hit("four");
		v -= 3;
		break;
#ifdef ENTRY
	case 5: // nothing but an entry of the table
#endif
	case 6:
		hit("six");
		return v / 9;
	case 9:
		hit("nine");
#ifdef CODE
		v <<= 4;
#else
		v <<= 2;
#endif
		break;
	case 10:
		hit("ten");
		return v - 12;
	default:
		__builtin_unreachable();
	}
	hit("end");
	return v + 1;
}

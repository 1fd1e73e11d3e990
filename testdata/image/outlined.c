// Functions of which clang -Oz moves equal ends into one of its own, with the page in a register; see crossing_test.go.
int first[64], second[64], third[64], fourth[64];

int one(int i)
{
	first[i]++;
	second[i] += third[i];
	fourth[i] = 7;
	return first[i] + second[i];
}

int two(int i)
{
	first[i]++;
	second[i] += third[i];
	fourth[i] = 9;
	return first[i] + second[i];
}

int three(int i)
{
	first[i]++;
	second[i] += third[i];
	fourth[i] = 11;
	return first[i] + second[i];
}

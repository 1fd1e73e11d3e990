package x86

// The legacy maps: one-byte opcodes, 0F, 0F38 and 0F3A.
var (
	map1   = compile(rowsOneByte)
	map0F  = compile(rows0F)
	map38  = compile(rows0F38)
	map3A  = compile(rows0F3A)
	suffix = compileSuffixes(suffixes3DNow)
)

// rowsOneByte is the one-byte map (SDM 2D table A-2) with its groups and
// the x87 escapes. Opcodes that 64-bit mode does not have are
// absent. 0F, 62, 8F (XOP), C4, C5 and D5 are escapes and handled by the decoder.
var rowsOneByte = []row{
	// add or adc sbb and sub xor, and cmp, which only reads
	{"00 08 10 18 20 28 30", "mr 1 st lk"},
	{"01 09 11 19 21 29 31", "mr v st lk"},
	{"38", "mr 1"},
	{"39", "mr v"},
	{"02 0a 12 1a 22 2a 32 3a", "mr 1"},
	{"03 0b 13 1b 23 2b 33 3b", "mr v"},
	{"04 0c 14 1c 24 2c 34 3c", "i1"},
	{"05 15 1d 2d 3d", "iz"},
	{"0d 25 35", "iz arith"}, // or, and, xor

	{"50-5f", ""},           // push, pop
	{"63", "mr 4 no66"},     // movsxd
	{"68", "iz"},            // push
	{"69", "mr v iz arith"}, // imul
	{"6a", "i1"},
	{"6b", "mr v i1"},
	{"6c-6f", "asz"}, // ins, outs
	{"70-7f", "rel1 branch no66"},

	// group 1
	{"80", "mr /0123456 1 st i1 lk"},
	{"80", "mr /7 1 i1"},
	{"81", "mr /0235 v st iz lk"},
	{"81", "mr /146 v st iz arith lk"}, // or, and, xor
	{"81", "mr /7 v iz"},
	{"83", "mr /0123456 v st i1 lk"},
	{"83", "mr /7 v i1"},

	{"84", "mr 1"}, // test
	{"85", "mr v"},
	{"86", "mr 1 st lk"}, // xchg
	{"87", "mr v st lk"},
	{"88", "mr 1 st"},
	{"89", "mr v st"},
	{"8a", "mr 1"},
	{"8b", "mr v"},
	{"8c", "m /012345 2 st"},
	{"8c", "r /012345"},
	{"8d", "m ea"}, // lea
	{"8e", "mr /02345 2"},
	{"8f", "mr /0 stk st"}, // pop
	{"90-99 9b-9f", ""},    // nop and xchg, cbw, cwd, fwait, pushf, popf, sahf, lahf
	{"a0", "1 moffs"},
	{"a1", "v moffs"},
	{"a2", "1 st moffs"},
	{"a3", "v st moffs"},
	{"a4-a7 aa-af", "asz"}, // string instructions
	{"a8", "i1"},
	{"a9", "iz arith"}, // test
	{"b0-b7", "i1"},
	{"b8-bf", "iv"},

	{"c0", "mr 1 st i1"}, // group 2, shifts
	{"c1", "mr v st i1"},
	{"d0 d2", "mr 1 st"},
	{"d1 d3", "mr v st"},
	{"c2", "i2 return no66"},
	{"c3", "return no66"},
	{"c6", "mr /0 1 st i1"}, // group 11
	{"c6", "=f8 i1"},        // xabort
	{"c7", "mr /0 v st iz"},
	{"c7", "=f8 rel4 branch no66"}, // xbegin
	{"c8", "i3"},                   // enter
	{"c9", ""},
	{"ca", "i2 return"},
	{"cb cf", "return"},
	{"cc", "stop"},   // int3
	{"cd", "i1 sys"}, // int
	{"d7", "asz"},    // xlat
	{"e0-e3", "rel1 branch asz no66"},
	{"e4-e7", "i1"},
	{"e8", "rel4 call no66"},
	{"e9", "rel4 jump no66"},
	{"eb", "rel1 jump no66"},
	{"ec-ef", ""},
	{"f1", "stop"}, // int1
	{"f4", "stop"}, // hlt
	{"f5 f8-fd", ""},

	// groups 3, 4, 5
	{"f6", "mr /01 1 i1"},
	{"f6", "mr /23 1 st lk"},
	{"f6", "mr /4567 1"},
	{"f7", "mr /01 v iz arith"}, // test
	{"f7", "mr /23 v st lk"},
	{"f7", "mr /4567 v"},
	{"fe", "mr /01 1 st lk"},
	{"ff", "mr /01 v st lk"},
	{"ff", "mr /2 8 callind no66"},
	{"ff", "m /3 callind"},
	{"ff", "mr /4 8 jumpind no66"},
	{"ff", "m /5 jumpind"},
	{"ff", "mr /6 stk"},

	// x87
	{"d8", "mr 4"},
	{"d9", "m /0 4"},
	{"d9", "m /23 4 st"},
	{"d9", "m /4"}, // fldenv
	{"d9", "m /5 2"},
	{"d9", "m /6 st"}, // fnstenv
	{"d9", "m /7 2 st"},
	{"d9", "r /0167"},
	{"d9", "=d0"},
	{"d9", "=e0"},
	{"d9", "=e1"},
	{"d9", "=e4"},
	{"d9", "=e5"},
	{"d9", "=e8"},
	{"d9", "=e9"},
	{"d9", "=ea"},
	{"d9", "=eb"},
	{"d9", "=ec"},
	{"d9", "=ed"},
	{"d9", "=ee"},
	{"da", "m 4"},
	{"da", "r /0123"},
	{"da", "=e9"},
	{"db", "m /0 4"},
	{"db", "m /123 4 st"},
	{"db", "m /5 10"},
	{"db", "m /7 10 st"},
	{"db", "r /012356"},
	{"db", "=e2"},
	{"db", "=e3"},
	{"dc", "m 8"},
	{"dc", "r /014567"},
	{"dd", "m /0 8"},
	{"dd", "m /123 8 st"},
	{"dd", "m /4"},    // frstor
	{"dd", "m /6 st"}, // fnsave
	{"dd", "m /7 2 st"},
	{"dd", "r /02345"},
	{"de", "m 2"},
	{"de", "r /014567"},
	{"de", "=d9"},
	{"df", "m /0 2"},
	{"df", "m /123 2 st"},
	{"df", "m /4 10"},
	{"df", "m /5 8"},
	{"df", "m /6 10 st"},
	{"df", "m /7 8 st"},
	{"df", "r /056"},
	{"df", "=e0"},
}

// rows0F38 is the map 0F38 (SDM 2D table A-4).
var rows0F38 = []row{
	{"00-0b 1c-1e", "np mr 8"}, // SSSE3 on MMX registers
	{"00-0b 1c-1e", "66 mr 16"},
	{"10 14 15 17 28 29 2b 37-41", "66 mr 16"},
	{"20 23 25 30 33 35", "66 mr 8"}, // pmovsx, pmovzx
	{"21 24 31 34", "66 mr 4"},
	{"22 32", "66 mr 2"},
	{"2a", "66 m 16"},
	{"c8-cd", "np mr 16"}, // SHA
	{"cf db-df", "66 mr 16"},
	{"f0", "np 66 m v"}, // movbe
	{"f1", "np 66 m v st"},
	{"f0", "f2 mr 1"}, // crc32
	{"f1", "f2 mr v"},
	{"f5", "66 m y st"}, // wruss
	{"f6", "np m y st"}, // wrss
	{"f6", "66 f3 mr y"},
	{"f8", "66 m asz"}, // movdir64b
	{"f8", "f2 f3 m asz"},
	{"f9", "np m y st"},
	{"80-82", "66 m 16"}, // invept, invvpid, invpcid
	{"d8", "f3 m /0123"}, // Key Locker
	{"dc-df", "f3 m"},
	{"dc fa fb", "f3 r"},
	{"fc", "m y st"}, // aadd, aand, axor, aor
}

// rows0F3A is the map 0F3A (SDM 2D table A-5).
var rows0F3A = []row{
	{"0f", "np mr 8 i1"}, // palignr
	{"08 09 0c-0f 40-42 44 60-63 ce cf df", "66 mr 16 i1"},
	{"0a", "66 mr 4 i1"},
	{"0b", "66 mr 8 i1"},
	{"14", "66 mr 1 st i1"},
	{"15", "66 mr 2 st i1"},
	{"16", "66 mr y st i1"},
	{"17", "66 mr 4 st i1"},
	{"20", "66 mr 1 i1"},
	{"21", "66 mr 4 i1"},
	{"22", "66 mr y i1"},
	{"cc", "np mr 16 i1"},
	{"f0", "f3 =c0 i1"}, // hreset
}

// suffixes3DNow lists the operations of 0F 0F (AMD APM volume 3, table A-13).
const suffixes3DNow = "0c 0d 1c 1d 8a 8e 90 94 96 97 9a 9e a0 a4 a6 a7 aa ae b0 b4 b6 b7 bb bf"

func compileSuffixes(list string) (set [256]bool) {
	m := compile([]row{{list, ""}})
	for op := range set {
		set[op] = m.ops[op].n > 0
	}
	return set
}

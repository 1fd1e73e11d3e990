package x86

// The XOP maps (AMD APM volume 3, table A-17; volumes 4 and 6).
var (
	mapXOP8 = compile(rowsXOP8)
	mapXOP9 = compile(rowsXOP9)
	mapXOPA = compile(rowsXOPA)
)

// rowsXOP8 is XOP map 8. The last byte holds a register or an immediate.
var rowsXOP8 = []row{
	{"85-87 8e 8f 95-97 9e 9f a6 b6", "np mr w0 l0 16 i1"}, // vpmacssww ... vpmadcswd
	{"a2", "np mr vl i1"},                // vpcmov
	{"a3", "np mr l0 16 i1"},             // vpperm
	{"c0-c3", "np mr w0 l0 16 v0 i1"},    // vprotb ... vprotq
	{"cc-cf ec-ef", "np mr w0 l0 16 i1"}, // vpcomb ... vpcomuq
}

// rowsXOP9 is XOP map 9.
var rowsXOP9 = []row{
	{"01", "np mr /1234567 l0 y"}, // blcfill ... t1mskc
	{"02", "np mr /16 l0 y"},      // blcmsk, blci
	{"12", "np r /01 l0 v0"},      // llwpcb, slwpcb
	{"80 81", "np mr w0 vl v0"},   // vfrczps, vfrczpd
	{"82", "np mr w0 l0 4 v0"},
	{"83", "np mr w0 l0 8 v0"},
	{"90-9b", "np mr l0 16"},                                     // vprotb ... vpshaq
	{"c1-c3 c6 c7 cb d1-d3 d6 d7 db e1-e3", "np mr w0 l0 16 v0"}, // vphaddbw ... vphsubdq
}

// rowsXOPA is XOP map 10. The immediate has 32 bits.
var rowsXOPA = []row{
	{"10", "np mr l0 y iz arith v0"},  // bextr
	{"12", "np mr /01 l0 4 iz arith"}, // lwpins, lwpval
}

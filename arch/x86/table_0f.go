package x86

// rows0F is the map 0F (SDM 2D table A-3) with its groups.
var rows0F = append(rows0FInteger, rows0FVector...)

// rows0FInteger holds what works on general registers, and system instructions
// that a user program may contain.
var rows0FInteger = []row{
	{"00", "m /01 2 st"},
	{"00", "r /01"},
	{"00", "mr /2345 2"},
	{"01", "m /01 10 st"}, // sgdt, sidt
	{"01", "m /23 10"},
	{"01", "m /4 2 st"},
	{"01", "r /4"},
	{"01", "mr /6 2"},
	{"01", "m /7"}, // invlpg
	{"01", "f3 m /5 8 st"},
	{"01", "np =c1"}, // vmcall
	{"01", "np =c8"},
	{"01", "np =c9"},
	{"01", "np =ca"},
	{"01", "np =cb"},
	{"01", "np =d0"}, // xgetbv
	{"01", "np =d1"},
	{"01", "np =d4"}, // vmfunc
	{"01", "np =d5"}, // xend
	{"01", "np =d6"}, // xtest
	{"01", "np =d9"},
	{"01", "np f2 f3 =e8"}, // serialize, xsusldtrk, setssbsy
	{"01", "f2 =e9"},
	{"01", "f3 =ea"},
	{"01", "f3 =ec return"}, // uiret
	{"01", "f3 =ed"},        // testui
	{"01", "np f3 =ee"},     // rdpkru, clui
	{"01", "np f3 =ef"},
	{"01", "np =f8"},
	{"01", "np =f9"}, // rdtscp
	{"01", "np =fa"},
	{"01", "np =fb"},
	{"01", "np =fc"},
	{"01", "np =fd"},
	{"02 03", "mr 2"},
	{"05 34", "sys"},
	{"07 35", "stop"},
	{"06 08 0e 30-33 37 a0-a2 a8 a9", ""},
	{"09", "np f3"},      // wbinvd, wbnoinvd
	{"77", "np"},         // emms
	{"aa", "stop"},       // rsm
	{"0b", "stop"},       // ud2
	{"b9 ff", "mr stop"}, // ud1, ud0
	{"0d", "m"},          // prefetchw
	{"0f", "np mr 8 3dnow"},
	{"18 19 1c-1f", "mr"}, // prefetch, nop, cldemote, endbr64, rdssp
	{"20 22", "r /0234"},
	{"21 23", "r"},
	{"40-4f", "mr v"}, // cmov
	{"80-8f", "rel4 branch no66"},
	{"90-9f", "mr 1 st"}, // set
	{"a3", "mr v"},
	{"a4 ac", "mr v st i1"},
	{"a5 ad", "mr v st"},
	{"a6", "=c0"}, // VIA PadLock
	{"a6", "=c8"},
	{"a6", "=d0"},
	{"a7", "=c0"},
	{"a7", "=c8"},
	{"a7", "=d0"},
	{"a7", "=d8"},
	{"a7", "=e0"},
	{"a7", "=e8"},
	{"ab b3 bb", "mr v st lk"},
	{"ae", "np m /0 st"}, // fxsave
	{"ae", "np m /1"},
	{"ae", "np m /2 4"}, // ldmxcsr
	{"ae", "np m /3 4 st"},
	{"ae", "np m /46 st"}, // xsave, xsaveopt
	{"ae", "np m /57"},    // xrstor, clflush
	{"ae", "66 m /67"},    // clwb, clflushopt
	{"ae", "f3 m /4 y"},   // ptwrite
	{"ae", "f3 m /6 8 st"},
	{"ae", "np =e8"}, // lfence
	{"ae", "np =f0"},
	{"ae", "np =f8"},
	{"ae", "f3 r /012345"}, // rdfsbase ... incssp
	{"ae", "f3 r /6 asz"},  // umonitor
	{"ae", "66 f2 r /6"},   // tpause, umwait
	{"af", "mr v"},
	{"b0 c0", "mr 1 st lk"}, // cmpxchg, xadd
	{"b1 c1", "mr v st lk"},
	{"b2 b4 b5", "m"}, // lss, lfs, lgs
	{"b6 be", "mr 1"},
	{"b7 bf", "mr 2"},
	{"b8", "f3 mr v"}, // popcnt
	{"ba", "mr /4 v i1"},
	{"ba", "mr /567 v st i1 lk"},
	{"bc bd", "np 66 f3 mr v"},
	{"c3", "np m y st"}, // movnti
	{"c7", "m /1 w0 8 st lk"},
	{"c7", "m /1 w1 16 st lk"},
	{"c7", "np m /3"},
	{"c7", "np m /45 st"},
	{"c7", "np 66 f3 m /6 8"}, // vmptrld, vmclear, vmxon
	{"c7", "np m /7 8 st"},
	{"c7", "np 66 r /67"}, // rdrand, rdseed
	{"c7", "f3 r /67"},    // senduipi, rdpid
	{"c8-cf", ""},         // bswap
}

// rows0FVector holds MMX, SSE, SSE2, SSE3 and SSE4a. The prefix selects the
// element type, so each row has one.
var rows0FVector = []row{
	{"10 14 15 28 51-59 5b-5f", "np mr 16"},
	{"11 29", "np mr 16 st"},
	{"12 16", "np mr 8"},
	{"13 17", "np m 8 st"},
	{"2a 2c 2d 5a", "np mr 8"},
	{"2b", "np m 16 st"},
	{"2e 2f", "np mr 4"},
	{"50 d7", "np r"},
	{"60-62", "np mr 4"}, // punpckl on MMX registers reads 32 bits
	{"63-6b 6f 74-76 d1-d5 d8-df e0-e5 e8-ef f1-f6 f8-fe", "np mr 8"},
	{"6e", "np mr y"},
	{"70", "np mr 8 i1"},
	{"71 72", "np r /246 i1"},
	{"73", "np r /26 i1"},
	{"78", "np mr 8 st"}, // vmread
	{"79", "np mr 8"},
	{"7e", "np mr y st"},
	{"7f", "np mr 8 st"},
	{"c2 c6", "np mr 16 i1"},
	{"c4", "np mr 2 i1"},
	{"c5", "np r i1"},
	{"e7", "np m 8 st"},
	{"f7", "np r asz"}, // maskmovq

	{"10 14 15 28 2c 2d 51 54-59 5a-5f 60-6d 6f 74-76 7c 7d", "66 mr 16"},
	{"d0-d5 d8-df e0-e6 e8-ef f1-f6 f8-fe", "66 mr 16"},
	{"11 29 7f", "66 mr 16 st"},
	{"12 16", "66 m 8"},
	{"13 17", "66 m 8 st"},
	{"2a 2e 2f", "66 mr 8"},
	{"2b e7", "66 m 16 st"},
	{"50 d7", "66 r"},
	{"6e", "66 mr y"},
	{"70 c2 c6", "66 mr 16 i1"},
	{"71 72", "66 r /246 i1"},
	{"73", "66 r /2367 i1"},
	{"78", "66 r /0 i2"}, // extrq
	{"79", "66 r"},
	{"7e", "66 mr y st"},
	{"c4", "66 mr 2 i1"},
	{"c5", "66 r i1"},
	{"d6", "66 mr 8 st"},
	{"f7", "66 r asz"}, // maskmovdqu

	{"10 2c 2d 51-53 58-5a 5c-5f", "f3 mr 4"},
	{"11", "f3 mr 4 st"},
	{"12 16 5b 6f", "f3 mr 16"},
	{"2a", "f3 mr y"},
	{"2b", "f3 m 4 st"}, // movntss
	{"70", "f3 mr 16 i1"},
	{"7e e6", "f3 mr 8"},
	{"7f", "f3 mr 16 st"},
	{"c2", "f3 mr 4 i1"},
	{"d6", "f3 r"},

	{"10 12 2c 2d 51 58-5a 5c-5f", "f2 mr 8"},
	{"11", "f2 mr 8 st"},
	{"2a", "f2 mr y"},
	{"2b", "f2 m 8 st"}, // movntsd
	{"70", "f2 mr 16 i1"},
	{"78", "f2 r i2"}, // insertq
	{"79 d6", "f2 r"},
	{"7c 7d d0 e6", "f2 mr 16"},
	{"c2", "f2 mr 8 i1"},
	{"f0", "f2 m 16"}, // lddqu
}

package x86

// The effects tables say what instructions do to registers. They stand beside the decoder's tables, which say what is an instruction: a row may
// describe more encodings than there are. attr is a list of words:
//
//	np 66 f3 f2 m r /0134 =c8   when the row applies, as in [row]; without m and r in both forms
//	reg:A rm:A vvvv:A   what is done to the operand in ModRM.reg, in ModRM.rm if that is a register, in VEX.vvvv
//	op:A acc:A          the register in the opcode's low bits; al, ax, eax or rax
//	ax:A cx:A ...       an implied register
//	zero                with equal registers nothing is read: the result is always the same
//	saves               what is read is only put onto the stack
//	uppers              the upper halves of the first sixteen vector registers are written, if not more
//
// A are letters: r read, w written; v a vector, k a mask register; l only its lowest byte or element; f all of it, though the operation is
// shorter. A register operand of 8 or 16 bits keeps the rest, one of 32 does not (SDM volume 1, 3.4.1.1); a vector register keeps the
// rest unless VEX or EVEX encoded (volume 1, 14.4.1), with EVEX.aaa unless zeroing. Sources: the descriptions in SDM volume 2.
//
// What is not here (SSE4a, XOP, most of AVX-512, system instructions) has no known effects.

var effectsOneByte = []row{
	{"00 01 08 09 10 11 20 21", "reg:r rm:rw"}, // add or adc and
	{"02 03 0a 0b 12 13 22 23", "reg:rw rm:r"},
	{"18 19 28 29 30 31", "reg:r rm:rw zero"}, // sbb sub xor
	{"1a 1b 2a 2b 32 33", "reg:rw rm:r zero"},
	{"38-3b 84 85", "reg:r rm:r"}, // cmp, test
	{"04 05 0c 0d 14 15 1c 1d 24 25 2c 2d 34 35", "acc:rw"},
	{"3c 3d a8 a9", "acc:r"},
	{"50-57", "op:r sp:rw saves"},
	{"58-5f", "op:w sp:rw"},
	{"63", "reg:w rm:r"}, // movsxd
	{"68 6a c2 c3", "sp:rw"},
	{"69 6b", "reg:w rm:r"}, // imul
	{"70-7f 9b cc e9 eb f1 f4 f5 f8-fd", ""},
	{"80 81 83", "/0123456 rm:rw"},
	{"80 81 83", "/7 rm:r"},
	{"86 87", "reg:rw rm:rw"}, // xchg
	{"88 89", "reg:r rm:w"},
	{"8a 8b", "reg:w rm:r"},
	{"8d", "m reg:w"},
	{"8f", "/0 rm:w sp:rw"},
	{"90", ""},
	{"91-97", "np op:rw ax:rw"},
	{"98", "np ax:rw"},
	{"99", "np ax:r dx:w"},
	{"9c 9d", "sp:rw"},
	{"9e", "ax:r"},
	{"a0 a1", "acc:w"},
	{"a2 a3", "acc:r"},
	{"a4-a7", "np 66 si:rw di:rw"}, // movs, cmps
	{"a4-a7", "f3 f2 si:rw di:rw cx:rw"},
	{"aa ab ae af", "np 66 ax:r di:rw"}, // stos, scas
	{"aa ab ae af", "f3 f2 ax:r di:rw cx:rw"},
	{"ac ad", "np 66 acc:w si:rw"}, // lods
	{"b0-bf", "op:w"},
	{"c0 c1 d0 d1", "rm:rw"}, // shifts
	{"d2 d3", "rm:rw cx:rl"},
	{"c6 c7", "m rm:w"},
	{"c6 c7", "r /0 rm:w"},
	{"c9", "bp:rw sp:w"}, // leave
	{"e0-e2", "cx:rw"},
	{"e3", "cx:r"},
	{"e8", "sp:rw"},
	{"f6 f7", "/01 rm:r"}, // test
	{"f6 f7", "/23 rm:rw"},
	{"f6", "/4567 rm:r ax:rw"}, // mul, imul, div, idiv
	{"f7", "np /45 rm:r ax:rw dx:w"},
	{"f7", "np /67 rm:r ax:rw dx:rw"},
	{"fe ff", "/01 rm:rw"},
	{"ff", "/2 rm:r sp:rw"},
	{"ff", "/4 rm:r"},
	{"ff", "/6 rm:r sp:rw saves"},
	{"d8-de", "st:rw"}, // x87
	{"df", "m st:rw"},
	{"df", "r /0567 st:rw"},
}

var effects0F = append([]row{
	{"05", "ax:rw di:r si:r dx:r r10:r r8:r r9:r cx:w r11:w"}, // syscall
	{"0b 80-8f", ""},
	{"0d 18", "m"}, // prefetch
	{"1e", "f3 =fa"},
	{"1f", ""},
	{"31", "ax:w dx:w"}, // rdtsc
	{"a2", "ax:rw cx:rw bx:w dx:w"},
	{"01", "=d0 cx:r ax:w dx:w"},
	{"01", "=f9 ax:w cx:w dx:w"},
	{"40-4f af", "reg:rw rm:r"}, // cmov, imul
	{"90-9f", "rm:w"},           // set
	{"a3", "reg:r rm:r"},
	{"ab b3 bb a4 ac", "reg:r rm:rw"},
	{"a5 ad", "reg:r rm:rw cx:rl"},
	{"b0 b1", "reg:r rm:rw ax:rw"},
	{"c0 c1", "reg:rw rm:rw"},
	{"b6 b7 be bf", "reg:w rm:r"}, // movzx, movsx
	{"b8", "f3 reg:w rm:r"},       // popcnt
	{"bc bd", "f3 reg:w rm:r"},    // tzcnt, lzcnt
	{"bc bd", "np 66 reg:rw rm:r"},
	{"ba", "/4 rm:r"},
	{"ba", "/567 rm:rw"},
	{"c3", "np m reg:r"},
	{"c7", "m /1 ax:rw dx:rw bx:r cx:r"}, // cmpxchg16b
	{"c7", "np 66 r /67 rm:w"},           // rdrand, rdseed
	{"c8-cf", "op:rw"},
	{"ae", "np m /23"},  // ldmxcsr, stmxcsr
	{"ae", "np r /567"}, // fences
}, effects0FVector...)

var effects0FVector = []row{
	{"10 28", "np 66 reg:wvf rm:rv"},
	{"11 29", "np 66 reg:rv rm:wvf"},
	{"6f", "66 f3 reg:wvf rm:rv"},
	{"7f", "66 f3 reg:rv rm:wvf"},
	{"12", "66 m reg:wvl"},
	{"12", "np reg:rwv rm:rv"},
	{"16", "np 66 reg:rwv rm:rv"},
	{"13 17 2b e7", "66 m reg:rv"},
	{"13 17 2b", "np m reg:rv"},
	{"14 15 54-56 58 59 5c-5f c2 c6", "np 66 reg:rwvf rm:rv"},
	{"57", "np 66 reg:rwvf rm:rv zero"}, // xorps
	{"51-53 5a 5b", "np reg:wvf rm:rv"},
	{"51 5a 5b e6", "66 reg:wvf rm:rv"},
	{"2e 2f", "np 66 reg:rvl rm:rvl"},
	{"50", "np 66 r reg:wf rm:rv"},
	{"d7", "66 r reg:wf rm:rv"},
	{"60-63 67-6d 7c 7d d0-d5 d8-df e0-e5 e8-ee f1-f6 fc-fe", "66 reg:rwvf rm:rv"},
	{"64-66 74-76 ef f8-fb", "66 reg:rwvf rm:rv zero"}, // pcmp, pxor, psub
	{"6e", "66 reg:wvf rm:r"},
	{"7e", "66 reg:rv rm:wf"},
	{"70", "66 f3 f2 reg:wvf rm:rv"},
	{"71-73", "66 r rm:rwvf"},
	{"c4", "66 reg:rwv rm:r"},
	{"c5", "66 r reg:wf rm:rv"},
	{"d6", "66 reg:rvl rm:wvf"},
	{"f7", "66 r reg:rv rm:rv di:r"},
	{"10", "f3 f2 m reg:wvf"},
	{"10", "f3 f2 r reg:wvl rm:rvl"},
	{"11", "f3 f2 m reg:rvl"},
	{"11", "f3 f2 r reg:rvl rm:wvl"},
	{"12", "f3 reg:wvf rm:rv"},
	{"12", "f2 reg:wvf rm:rvl"},
	{"16", "f3 reg:wvf rm:rv"},
	{"2a", "f3 f2 reg:wvl rm:r"},
	{"2c 2d", "f3 f2 reg:wf rm:rvl"},
	{"51-53 5a", "f3 f2 reg:wvl rm:rvl"},
	{"58 59 5c-5f c2", "f3 f2 reg:rwvl rm:rvl"},
	{"5b", "f3 reg:wvf rm:rv"},
	{"7e", "f3 reg:wvf rm:rvl"},
	{"e6", "f3 f2 reg:wvf rm:rv"},
	{"7c 7d d0", "f2 reg:rwvf rm:rv"},
	{"f0", "f2 m reg:wvf"},
	// MMX
	{"60-6b 6f 70-76 7f d1-d5 d8-df e0-e5 e8-ef f1-f6 f8-fe", "np st:rw"},
	{"e7", "np m st:rw"},
	{"6e c4", "np rm:r st:rw"},
	{"7e", "np rm:wf st:rw"},
	{"c5 d7", "np r reg:wf st:rw"},
	{"77", "np st:rw"},
}

var effects0F38 = []row{
	{"00-0b 1c-1e", "np st:rw"},
	{"00-0b 28 2b 38-40", "66 reg:rwvf rm:rv"},
	{"29 37", "66 reg:rwvf rm:rv zero"}, // pcmpeqq, pcmpgtq
	{"10 14 15", "66 reg:rwvf rm:rv xmm0:r"},
	{"17", "66 reg:rv rm:rv"},
	{"1c-1e 20-25 30-35 41 db", "66 reg:wvf rm:rv"},
	{"2a", "66 m reg:wvf"},
	{"cf dc-df", "66 reg:rwvf rm:rv"},
	{"c8-ca cc cd", "np reg:rwvf rm:rv"},
	{"cb", "np reg:rwvf rm:rv xmm0:r"},
	{"f0", "np 66 m reg:w"}, // movbe
	{"f1", "np 66 m reg:r"},
	{"f0 f1", "f2 reg:rwf rm:r"}, // crc32
	{"f6", "66 f3 reg:rwf rm:r"}, // adcx, adox
}

var effects0F3A = []row{
	{"08 09 df", "66 reg:wvf rm:rv"},
	{"0a 0b", "66 reg:wvl rm:rvl"},
	{"0c-0f 21 40-42 44 ce cf", "66 reg:rwvf rm:rv"},
	{"0f", "np st:rw"},
	{"14-17", "66 reg:rv rm:wf"},
	{"20 22", "66 reg:rwvf rm:r"},
	{"60", "66 reg:rv rm:rv ax:r dx:r xmm0:w"}, // pcmpestrm
	{"61", "66 reg:rv rm:rv ax:r dx:r cx:w"},
	{"62", "66 reg:rv rm:rv xmm0:w"},
	{"63", "66 reg:rv rm:rv cx:w"},
	{"cc", "np reg:rwvf rm:rv"},
}

var effectsVEX0F = []row{
	{"10 28", "np 66 reg:wv rm:rv"},
	{"11 29", "np 66 reg:rv rm:wv"},
	{"6f", "66 f3 reg:wv rm:rv"},
	{"7f", "66 f3 reg:rv rm:wv"},
	{"12 16", "np 66 reg:wv vvvv:rv rm:rv"},
	{"12 16", "f3 reg:wv rm:rv"},
	{"12", "f2 reg:wv rm:rv"},
	{"13 17 2b e7", "np 66 m reg:rv"},
	{"14 15 54-56 58 59 5c-5f c2 c6", "np 66 reg:wv vvvv:rv rm:rv"},
	{"57", "np 66 reg:wv vvvv:rv rm:rv zero"},
	{"51-53 5a 5b", "np reg:wv rm:rv"},
	{"51 5a 5b e6", "66 reg:wv rm:rv"},
	{"2e 2f", "np 66 reg:rv rm:rv"},
	{"50", "np 66 r reg:wf rm:rv"},
	{"d7", "66 r reg:wf rm:rv"},
	{"60-63 67-6d 7c 7d d0-d5 d8-df e0-e5 e8-ee f1-f6 fc-fe", "66 reg:wv vvvv:rv rm:rv"},
	{"64-66 74-76 ef f8-fb", "66 reg:wv vvvv:rv rm:rv zero"},
	{"6e", "66 reg:wv rm:r"},
	{"7e", "66 reg:rv rm:wf"},
	{"7e", "f3 reg:wv rm:rv"},
	{"70", "66 f3 f2 reg:wv rm:rv"},
	{"71-73", "66 r vvvv:wv rm:rv"},
	{"c4", "66 reg:wv vvvv:rv rm:r"},
	{"c5", "66 r reg:wf rm:rv"},
	{"d6", "66 reg:rv rm:wv"},
	{"f7", "66 r reg:rv rm:rv di:r"},
	{"10", "f3 f2 m reg:wv"},
	{"10", "f3 f2 r reg:wv vvvv:rv rm:rv"},
	{"11", "f3 f2 m reg:rv"},
	{"11", "f3 f2 r reg:rv vvvv:rv rm:wv"},
	{"2a", "f3 f2 reg:wv vvvv:rv rm:r"},
	{"2c 2d", "f3 f2 reg:wf rm:rv"},
	{"51-53 58-5a 5c-5f c2", "f3 f2 reg:wv vvvv:rv rm:rv"},
	{"5b", "f3 reg:wv rm:rv"},
	{"e6", "f3 f2 reg:wv rm:rv"},
	{"7c 7d d0", "f2 reg:wv vvvv:rv rm:rv"},
	{"f0", "f2 m reg:wv"},
	{"77", "np uppers"}, // vzeroupper, vzeroall
	{"ae", "np m /23"},
	{"41 42 45-47 4a 4b", "np 66 reg:wk vvvv:rk rm:rk"}, // kand ...
	{"44 90", "np 66 reg:wk rm:rk"},
	{"91", "np 66 m reg:rk"},
	{"92", "np 66 f2 reg:wk rm:r"},
	{"93", "np 66 f2 reg:wf rm:rk"},
	{"98 99", "np 66 reg:rk rm:rk"},
}

var effectsVEX0F38 = []row{
	{"00-0d 16 28 2b 36 38-40 45-47 cf dc-df", "66 reg:wv vvvv:rv rm:rv"},
	{"29 37", "66 reg:wv vvvv:rv rm:rv zero"},
	{"0e 0f 17", "66 reg:rv rm:rv"},
	{"13 18-1a 1c-1e 20-25 30-35 41 58-5a 78 79 db", "66 reg:wv rm:rv"},
	{"2a", "66 m reg:wv"},
	{"2c 2d 8c", "66 m reg:wv vvvv:rv"},
	{"2e 2f 8e", "66 m reg:rv vvvv:rv"},
	{"90-93", "66 m reg:rwv vvvv:rwv"}, // gathers
	{"96-9f a6-af b6-bf", "66 reg:rwv vvvv:rv rm:rv"},
	{"f2", "np reg:w vvvv:r rm:r"},      // andn
	{"f3", "np /123 vvvv:w rm:r"},       // blsr, blsmsk, blsi
	{"f5 f7", "np reg:w vvvv:r rm:r"},   // bzhi, bextr
	{"f5", "f3 f2 reg:w vvvv:r rm:r"},   // pext, pdep
	{"f6", "f2 reg:w vvvv:w rm:r dx:r"}, // mulx
	{"f7", "66 f3 f2 reg:w vvvv:r rm:r"},
}

var effectsVEX0F3A = []row{
	{"00 01 04 05 08 09 df", "66 reg:wv rm:rv"},
	{"02 06 0a-0f 18 21 38 40-42 44 46 ce cf", "66 reg:wv vvvv:rv rm:rv"},
	{"4a-4c", "66 reg:wv vvvv:rv rm:rv"}, // vblendv, and a fourth register
	{"14-17", "66 reg:rv rm:wf"},
	{"19 1d 39", "66 reg:rv rm:wv"},
	{"20 22", "66 reg:wv vvvv:rv rm:r"},
	{"60", "66 reg:rv rm:rv ax:r dx:r xmm0:w"},
	{"61", "66 reg:rv rm:rv ax:r dx:r cx:w"},
	{"62", "66 reg:rv rm:rv xmm0:w"},
	{"63", "66 reg:rv rm:rv cx:w"},
	{"f0", "f2 reg:w rm:r"}, // rorx
}

var effectsEVEX0F = []row{
	{"10 28", "np 66 reg:wv rm:rv"},
	{"11 29", "np 66 reg:rv rm:wv"},
	{"6f", "66 f3 f2 reg:wv rm:rv"},
	{"7f", "66 f3 f2 reg:rv rm:wv"},
	{"14 15 54-56 58 59 5c-5f", "np 66 reg:wv vvvv:rv rm:rv"},
	{"57", "np 66 reg:wv vvvv:rv rm:rv zero"},
	{"60-63 67-6d d1-d5 d8-df e0-e5 e8-ee f1-f6 fc-fe", "66 reg:wv vvvv:rv rm:rv"},
	{"ef f8-fb", "66 reg:wv vvvv:rv rm:rv zero"},
	{"64-66 74-76 c2", "66 reg:wk vvvv:rv rm:rv"},
	{"6e", "66 reg:wv rm:r"},
	{"7e", "66 reg:rv rm:wf"},
	{"7e", "f3 reg:wv rm:rv"},
	{"d6", "66 reg:rv rm:wv"},
	{"70", "66 f3 f2 reg:wv rm:rv"},
	{"71-73", "66 vvvv:wv rm:rv"},
	{"2b e7", "np 66 m reg:rv"},
}

var effectsEVEX0F38 = []row{
	{"18-1b 58-5b 78 79", "66 reg:wv rm:rv"},
	{"7a-7c", "66 r reg:wv rm:r"}, // vpbroadcast of a general register
	{"38-40 00 04 0b", "66 reg:wv vvvv:rv rm:rv"},
	{"26 27", "66 f3 reg:wk vvvv:rv rm:rv"}, // vptestm, vptestnm
}

var effectsEVEX0F3A = []row{
	{"25", "66 reg:rwv vvvv:rv rm:rv"}, // vpternlog
	{"1e 1f 3e 3f", "66 reg:wk vvvv:rv rm:rv"},
	{"18 1a 38 3a 03 0f", "66 reg:wv vvvv:rv rm:rv"},
	{"19 1b 39 3b", "66 reg:rv rm:wv"},
}

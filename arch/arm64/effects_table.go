package arm64

// effectRow describes the words with value under mask. attr is a list of words:
//
//	d:A n:A m:A a:A     what is done to the register in Rd or Rt (bit 0), Rn (5), Rm or Rs (16), Ra or Rt2 (10)
//	lr:A sp:A x16:A ... an implied register; call: those in which a system call is passed its number and arguments
//	table:A             the vector registers from Rn on that TBL has
//	many:A single:A     the vector registers from Rt on that LD1 to LD4 have, for whole vectors or for one element
//	zero                with equal Rn and Rm neither is read: the result is always the same
//	saves               what is read is only put onto the stack
//	none                nothing is known
//
// A are letters: r read, w written; v a vector register; s the stack pointer for number 31, not the zero register; k a part of it stays; p the
// next register, too; h a number of four bits. What is written in 32 bits, or as a scalar, is replaced as a whole (Arm ARM, C1.2.4 and C1.2.5).
//
// The first row that fits holds. A row may describe more encodings than there are, but not those that came later with other operands.
// Sources: the encoding tables in Arm ARM C4.1 and the descriptions in C6.2 and C7.2. What is not here (SVE, SME, transactions of
// 64 bytes, accesses of 128 bits to system registers, what is new since 2022) has no known effects.
type effectRow struct {
	mask, value uint32
	attr        string
}

// C4.1.65.
var effectsImmediate = []effectRow{
	{0x1f000000, 0x10000000, "d:w"},         // ADR, ADRP
	{0x3f800000, 0x11000000, "d:ws n:rs"},   // ADD, SUB
	{0x3f800000, 0x31000000, "d:w n:rs"},    // ADDS, SUBS
	{0xbfc0c000, 0x91800000, "d:ws n:rs"},   // ADDG, SUBG
	{0x7f800000, 0x72000000, "d:w n:r"},     // ANDS
	{0x1f800000, 0x12000000, "d:ws n:r"},    // AND, ORR, EOR
	{0x7f800000, 0x72800000, "d:wk"},        // MOVK
	{0x3f800000, 0x12800000, "d:w"},         // MOVN, MOVZ
	{0x7f800000, 0x33000000, "d:wk n:r"},    // BFM
	{0x3f800000, 0x13000000, "d:w n:r"},     // SBFM, UBFM
	{0x7fa00000, 0x13800000, "d:w n:r m:r"}, // EXTR
	{0xffc0001f, 0xf380001f, "lr:rw sp:r"},  // AUTIASPPC, AUTIBSPPC
	{0x7ff00000, 0x11c00000, "d:w n:r"},     // SMAX, UMAX, SMIN, UMIN
}

// C4.1.66.
var effectsBranch = []effectRow{
	{0xfc000000, 0x14000000, ""},        // B
	{0xfc000000, 0x94000000, "lr:w"},    // BL
	{0xff000000, 0x54000000, ""},        // B.cond, BC.cond
	{0x7c000000, 0x34000000, "d:r"},     // CBZ, CBNZ, TBZ, TBNZ
	{0x7f000000, 0x74000000, "d:r m:r"}, // CB<cc> (register)
	{0x7f000000, 0x75000000, "d:r"},     // CB<cc> (immediate)

	{0xfffffc1f, 0xd61f0000, "n:r"},           // BR
	{0xfffff81f, 0xd61f081f, "n:r"},           // BRAAZ
	{0xfffff800, 0xd71f0800, "n:r d:rs"},      // BRAA
	{0xfffffc1f, 0xd63f0000, "n:r lr:w"},      // BLR
	{0xfffff81f, 0xd63f081f, "n:r lr:w"},      // BLRAAZ
	{0xfffff800, 0xd73f0800, "n:r d:rs lr:w"}, // BLRAA
	{0xfffffc1f, 0xd65f0000, "n:r"},           // RET
	{0xfffffbff, 0xd65f0bff, "lr:r sp:r"},     // RETAA
	{0xfffffbe0, 0xd65f0be0, "lr:r sp:r d:r"}, // RETAASPPCR
	{0xffc0001f, 0x5500001f, "lr:r sp:r"},     // RETAASPPC

	{0xffe0001f, 0xd4000001, "call:r x0:w"}, // SVC
	{0xffe0001f, 0xd4200000, ""},            // BRK
	{0xffe0001f, 0xd4400000, ""},            // HLT

	{0xffffffbf, 0xd503233f, "lr:rw sp:r"},   // PACIASP, PACIBSP
	{0xffffffbf, 0xd50323bf, "lr:rw sp:r"},   // AUTIASP, AUTIBSP
	{0xffffff3f, 0xd503231f, "lr:rw"},        // PACIAZ, PACIBZ, AUTIAZ, AUTIBZ
	{0xffffff3f, 0xd503211f, "x17:rw x16:r"}, // PACIA1716, PACIB1716, AUTIA1716, AUTIB1716
	{0xffffffff, 0xd50320ff, "lr:rw"},        // XPACLRI
	{0xffffffff, 0xd503251f, "x16:rw"},       // CHKFEAT
	{0xffffff1f, 0xd503201f, ""},             // NOP, YIELD, WFE, WFI, SEV, SEVL, DGH
	{0xffffff3f, 0xd503241f, ""},             // BTI
	{0xffffff1f, 0xd503221f, ""},             // ESB, PSB, TSB, GCSB, CSDB, CLRBHB
	{0xfffff01f, 0xd503201f, "none"},
	{0xfffff01f, 0xd503301f, ""},    // CLREX, DSB, DMB, ISB, SB
	{0xffffffc0, 0xd5031000, "d:r"}, // WFET, WFIT
	{0xfff8f01f, 0xd500401f, ""},    // MSR (immediate), CFINV, XAFLAG, AXFLAG
	{0xfff80000, 0xd5080000, "d:r"}, // SYS
	{0xfff80000, 0xd5280000, "d:w"}, // SYSL
	{0xfff00000, 0xd5100000, "d:r"}, // MSR
	{0xfff00000, 0xd5300000, "d:w"}, // MRS
}

// C4.1.68.
var effectsRegister = []effectRow{
	{0x7f200000, 0x6a200000, "d:w n:r m:r"},      // BICS
	{0x7fe0fc00, 0x4a000000, "d:w n:r m:r zero"}, // EOR without a shift
	{0x1f000000, 0x0a000000, "d:w n:r m:r"},      // AND, BIC, ORR, ORN, EOR, EON, ANDS
	{0x5fe0fc00, 0x4b000000, "d:w n:r m:r zero"}, // SUB, SUBS without a shift
	{0x1f200000, 0x0b000000, "d:w n:r m:r"},      // ADD, ADDS, SUB, SUBS
	{0x3fe00000, 0x0b200000, "d:ws n:rs m:r"},    // ADD, SUB (extended register)
	{0x3fe00000, 0x2b200000, "d:w n:rs m:r"},     // ADDS, SUBS (extended register)
	{0x1fe0fc00, 0x1a000000, "d:w n:r m:r"},      // ADC, ADCS, SBC, SBCS
	{0xffe07c10, 0xba000400, "n:r"},              // RMIF
	{0xffffbc1f, 0x3a00080d, "n:r"},              // SETF8, SETF16
	{0x3fe00c10, 0x3a400000, "n:r m:r"},          // CCMN, CCMP
	{0x3fe00c10, 0x3a400800, "n:r"},              // CCMN, CCMP (immediate)
	{0x3fe00800, 0x1a800000, "d:w n:r m:r"},      // CSEL, CSINC, CSINV, CSNEG
	{0x7fe00000, 0x1b000000, "d:w n:r m:r a:r"},  // MADD, MSUB
	{0xff600000, 0x9b200000, "d:w n:r m:r a:r"},  // SMADDL, SMSUBL, UMADDL, UMSUBL
	{0xff608000, 0x9b400000, "d:w n:r m:r"},      // SMULH, UMULH

	{0xffe0fc00, 0x9ac00000, "d:w n:rs m:rs"}, // SUBP
	{0xffe0fc00, 0xbac00000, "d:w n:rs m:rs"}, // SUBPS
	{0xffe0fc00, 0x9ac01000, "d:ws n:rs m:r"}, // IRG
	{0xffe0fc00, 0x9ac01400, "d:w n:rs m:r"},  // GMI
	{0xffe0fc00, 0x9ac03000, "d:w n:r m:rs"},  // PACGA
	{0x7fe0f800, 0x1ac00800, "d:w n:r m:r"},   // UDIV, SDIV
	{0x7fe0f000, 0x1ac02000, "d:w n:r m:r"},   // LSLV, LSRV, ASRV, RORV
	{0x7fe0e000, 0x1ac04000, "d:w n:r m:r"},   // CRC32
	{0x7fe0f000, 0x1ac06000, "d:w n:r m:r"},   // SMAX, UMAX, SMIN, UMIN
	{0x7fffe000, 0x5ac00000, "d:w n:r"},       // RBIT, REV16, REV, CLZ, CLS, CTZ, CNT
	{0x7ffffc00, 0x5ac02000, "d:w n:r"},       // ABS
	{0xffffe000, 0xdac10000, "d:rw n:rs"},     // PACIA, AUTIA and the like
	{0xffffe3e0, 0xdac123e0, "d:rw"},          // PACIZA, AUTIZA and the like
	{0xfffffbe0, 0xdac143e0, "d:rw"},          // XPACI, XPACD
}

// C4.1.67, loads and stores but the atomic ones.
var effectsLoadStore = []effectRow{
	{0xff000000, 0xd8000000, ""}, // PRFM (literal)
	{0xff000000, 0xdc000000, "none"},
	{0x3f000000, 0x18000000, "d:w"},  // LDR, LDRSW (literal)
	{0x3f000000, 0x1c000000, "d:wv"}, // LDR (literal)

	{0xf8000000, 0xe8000000, "none"},
	{0x3fc003e0, 0x298003e0, "d:r a:r n:rws saves"},   // STP with [sp, #imm]!
	{0x3fc003e0, 0x2d8003e0, "d:rv a:rv n:rws saves"}, //
	{0x3ec00000, 0x28000000, "d:r a:r n:rs"},          // STP, STNP, STGP
	{0x3ec00000, 0x28400000, "d:w a:w n:rs"},          // LDP, LDNP, LDPSW
	{0x3ec00000, 0x28800000, "d:r a:r n:rws"},         // STP, STGP with writeback
	{0x3ec00000, 0x28c00000, "d:w a:w n:rws"},         // LDP, LDPSW
	{0x3ec00000, 0x2c000000, "d:rv a:rv n:rs"},        // the same of vector registers
	{0x3ec00000, 0x2c400000, "d:wv a:wv n:rs"},
	{0x3ec00000, 0x2c800000, "d:rv a:rv n:rws"},
	{0x3ec00000, 0x2cc00000, "d:wv a:wv n:rws"},

	{0xffc00000, 0xf9800000, "n:rs"}, // PRFM (unsigned immediate)
	{0xbfc00000, 0xb9c00000, "none"},
	{0x3fc00000, 0x39000000, "d:r n:rs"},  // STR
	{0x3f000000, 0x39000000, "d:w n:rs"},  // LDR, LDRS
	{0x3f400000, 0x3d000000, "d:rv n:rs"}, // STR of a vector register
	{0x3f400000, 0x3d400000, "d:wv n:rs"}, // LDR

	{0xffe00c00, 0xf8800000, "n:rs"}, // PRFUM
	{0xffe00000, 0xf8800000, "none"},
	{0xbfe00000, 0xb8c00000, "none"},
	{0x3f200c00, 0x3c000800, "none"},
	{0x3fe00fe0, 0x38000fe0, "d:r n:rws saves"},  // STR with [sp, #imm]!
	{0x3f600fe0, 0x3c000fe0, "d:rv n:rws saves"}, //
	{0x3fe00400, 0x38000000, "d:r n:rs"},         // STUR, STTR
	{0x3f200400, 0x38000000, "d:w n:rs"},         // LDUR, LDTR and with sign
	{0x3fe00400, 0x38000400, "d:r n:rws"},        // STR with writeback
	{0x3f200400, 0x38000400, "d:w n:rws"},        // LDR, LDRS
	{0x3f600400, 0x3c000000, "d:rv n:rs"},        // the same of vector registers
	{0x3f600400, 0x3c400000, "d:wv n:rs"},
	{0x3f600400, 0x3c000400, "d:rv n:rws"},
	{0x3f600400, 0x3c400400, "d:wv n:rws"},

	{0xffe00c00, 0xf8a00800, "n:rs m:r"}, // PRFM (register), RPRFM
	{0xbfe00c00, 0xb8e00800, "none"},
	{0x3fe00c00, 0x38200800, "d:r n:rs m:r"},  // STR (register)
	{0x3f200c00, 0x38200800, "d:w n:rs m:r"},  // LDR (register)
	{0x3f600c00, 0x3c200800, "d:rv n:rs m:r"}, // STR of a vector register
	{0x3f600c00, 0x3c600800, "d:wv n:rs m:r"}, // LDR
	{0xff200c00, 0xf8200400, "d:w n:rs"},      // LDRAA, LDRAB
	{0xff200c00, 0xf8200c00, "d:w n:rws"},     //

	{0xffa00c00, 0xd9800000, "none"},
	{0xffe00c00, 0x99c00000, "none"},
	{0x3fe00c00, 0x19000000, "d:r n:rs"},       // STLUR
	{0x3f200c00, 0x19000000, "d:w n:rs"},       // LDAPUR
	{0xfbe00c00, 0x19c00400, "d:rw n:rw m:r"},  // SETP, SETM, SETE and with tags
	{0xfb200c00, 0x19000400, "d:rw n:rw m:rw"}, // CPYP, CPYM, CPYE and the like
	{0xffe00c00, 0xd9600000, "d:wk n:rs"},      // LDG
	{0xff200c00, 0xd9200800, "d:rs n:rs"},      // STG, STZG, ST2G, STZ2G
	{0xff200400, 0xd9200400, "d:rs n:rws"},     // with writeback

	{0xbfff0000, 0x0c000000, "many:r n:rs"},        // ST1 to ST4 (multiple structures)
	{0xbfff0000, 0x0c400000, "many:w n:rs"},        // LD1 to LD4
	{0xbfe00000, 0x0c800000, "many:r n:rws m:r"},   // with writeback
	{0xbfe00000, 0x0cc00000, "many:w n:rws m:r"},   //
	{0xbfdfd000, 0x0d40c000, "single:w n:rs"},      // LD1R to LD4R
	{0xbfdf0000, 0x0d000000, "single:r n:rs"},      // ST1 to ST4 (single structure)
	{0xbfdf0000, 0x0d400000, "single:wk n:rs"},     // LD1 to LD4
	{0xbfc0d000, 0x0dc0c000, "single:w n:rws m:r"}, // with writeback
	{0xbfc00000, 0x0d800000, "single:r n:rws m:r"},
	{0xbfc00000, 0x0dc00000, "single:wk n:rws m:r"},
}

// C4.1.67, exclusive, ordered and atomic ones.
var effectsAtomic = []effectRow{
	{0x3fe00000, 0x08000000, "m:w d:r n:rs"},     // STXR, STLXR
	{0x3fe00000, 0x08400000, "d:w n:rs"},         // LDXR, LDAXR
	{0xbfe00000, 0x88200000, "m:w d:r a:r n:rs"}, // STXP, STLXP
	{0xbfe00000, 0x88600000, "d:w a:w n:rs"},     // LDXP, LDAXP
	{0xbfa07c00, 0x08207c00, "m:rwp d:rp n:rs"},  // CASP
	{0x3fe00000, 0x08800000, "d:r n:rs"},         // STLR, STLLR
	{0x3fe00000, 0x08c00000, "d:w n:rs"},         // LDAR, LDLAR
	{0x3fa07c00, 0x08a07c00, "m:rw d:r n:rs"},    // CAS
	{0x3f208c00, 0x38200000, "m:r d:w n:rs"},     // LDADD, LDCLR, LDEOR, LDSET, LDSMAX, LDSMIN, LDUMAX, LDUMIN
	{0x3f20fc00, 0x38208000, "m:r d:w n:rs"},     // SWP
	{0x3ffffc00, 0x38bfc000, "d:w n:rs"},         // LDAPR
}

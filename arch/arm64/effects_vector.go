package arm64

// C4.1.69, floating point.
var effectsFloat = []effectRow{
	{0xff000000, 0x1f000000, "d:wv n:rv m:rv a:rv"}, // FMADD, FMSUB, FNMADD, FNMSUB
	{0xff000000, 0x3f000000, "none"},
	{0x7f3efc00, 0x1e220000, "d:wv n:r"},       // SCVTF, UCVTF
	{0x7f3ffc00, 0x1e270000, "d:wv n:r"},       // FMOV from a general register
	{0xfffffc00, 0x9eaf0000, "d:wkv n:r"},      // to the upper half
	{0x7f26fc00, 0x1e200000, "d:w n:rv"},       // FCVTNS, FCVTPS, FCVTMS, FCVTZS and without sign
	{0x7f3efc00, 0x1e240000, "d:w n:rv"},       // FCVTAS, FCVTAU
	{0x7f3ffc00, 0x1e260000, "d:w n:rv"},       // FMOV to a general register
	{0xfffffc00, 0x9eae0000, "d:w n:rv"},       // from the upper half
	{0xfffffc00, 0x1e7e0000, "d:w n:rv"},       // FJCVTZS
	{0x7f3e0000, 0x1e020000, "d:wv n:r"},       // SCVTF, UCVTF (fixed point)
	{0x7f3e0000, 0x1e180000, "d:w n:rv"},       // FCVTZS, FCVTZU (fixed point)
	{0xff207c00, 0x1e204000, "d:wv n:rv"},      // FMOV, FABS, FNEG, FSQRT, FCVT, FRINT
	{0xff20fc0f, 0x1e202000, "n:rv m:rv"},      // FCMP, FCMPE
	{0xff20fc0f, 0x1e202008, "n:rv"},           // with zero
	{0xff201fe0, 0x1e201000, "d:wv"},           // FMOV (immediate)
	{0xff200c00, 0x1e200400, "n:rv m:rv"},      // FCCMP, FCCMPE
	{0xff200c00, 0x1e200800, "d:wv n:rv m:rv"}, // FMUL, FDIV, FADD, FSUB, FMAX, FMIN, FNMUL
	{0xff200c00, 0x1e200c00, "d:wv n:rv m:rv"}, // FCSEL
}

// C4.1.69, Advanced SIMD of scalars, but by elements; cryptographic instructions.
var effectsScalar = []effectRow{
	{0xffe08c00, 0x5e000000, "d:rwv n:rv m:rv"},     // SHA1C, SHA1P, SHA1M, SHA1SU0, SHA256H, SHA256H2, SHA256SU1
	{0xfffffc00, 0x5e280800, "d:wv n:rv"},           // SHA1H
	{0xfffffc00, 0x5e281800, "d:rwv n:rv"},          // SHA1SU1
	{0xfffffc00, 0x5e282800, "d:rwv n:rv"},          // SHA256SU0
	{0xffffec00, 0x4e284800, "d:rwv n:rv"},          // AESE, AESD
	{0xffffec00, 0x4e286800, "d:wv n:rv"},           // AESMC, AESIMC
	{0xffe0fc00, 0xce608c00, "d:wv n:rv m:rv"},      // RAX1
	{0xffe0f000, 0xce608000, "d:rwv n:rv m:rv"},     // SHA512H, SHA512H2, SHA512SU1
	{0xffe0fc00, 0xce60c800, "d:wv n:rv m:rv"},      // SM4EKEY
	{0xffe0f800, 0xce60c000, "d:rwv n:rv m:rv"},     // SM3PARTW1, SM3PARTW2
	{0xffe0c000, 0xce408000, "d:rwv n:rv m:rv"},     // SM3TT1A, SM3TT1B, SM3TT2A, SM3TT2B
	{0xffc08000, 0xce000000, "d:wv n:rv m:rv a:rv"}, // EOR3, BCAX
	{0xffe08000, 0xce400000, "d:wv n:rv m:rv a:rv"}, // SM3SS1
	{0xffe00000, 0xce800000, "d:wv n:rv m:rv"},      // XAR
	{0xfffff800, 0xcec08000, "d:rwv n:rv"},          // SHA512SU0, SM4E

	{0xffe0fc00, 0x5e000400, "d:wv n:rv"},       // DUP (element)
	{0xdf60c400, 0x5e400400, "d:wv n:rv m:rv"},  // three of FP16
	{0xff20f400, 0x7e008400, "d:rwv n:rv m:rv"}, // SQRDMLAH, SQRDMLSH
	{0xdf7e0c00, 0x5e780800, "d:wv n:rv"},       // two of FP16
	{0xdf3ffc00, 0x5e203800, "d:rwv n:rv"},      // SUQADD, USQADD
	{0xdf3e0c00, 0x5e200800, "d:wv n:rv"},       // two
	{0xdf3e0c00, 0x5e300800, "d:wv n:rv"},       // pairwise
	{0xff20dc00, 0x5e209000, "d:rwv n:rv m:rv"}, // SQDMLAL, SQDMLSL
	{0xff20fc00, 0x5e20d000, "d:wv n:rv m:rv"},  // SQDMULL
	{0xdf200400, 0x5e200400, "d:wv n:rv m:rv"},  // three
	{0xdf80dc00, 0x5f001400, "d:rwv n:rv"},      // SSRA, SRSRA, USRA, URSRA
	{0xff80ec00, 0x7f004400, "d:wkv n:rv"},      // SRI, SLI
	{0xdf800400, 0x5f000400, "d:wv n:rv"},       // shifts by an immediate
}

// C4.1.69, Advanced SIMD of vectors, and by elements.
var effectsVector = []effectRow{
	{0xbfe09c00, 0x0e000000, "d:wv table:r m:rv"},  // TBL
	{0xbfe09c00, 0x0e001000, "d:wkv table:r m:rv"}, // TBX
	{0xbf208c00, 0x0e000800, "d:wv n:rv m:rv"},     // UZP, TRN, ZIP
	{0xbfe08400, 0x2e000000, "d:wv n:rv m:rv"},     // EXT
	{0xbfe0fc00, 0x0e000400, "d:wv n:rv"},          // DUP (element)
	{0xbfe0fc00, 0x0e000c00, "d:wv n:r"},           // DUP (general)
	{0xbfe0fc00, 0x0e002c00, "d:w n:rv"},           // SMOV
	{0xbfe0fc00, 0x0e003c00, "d:w n:rv"},           // UMOV
	{0xffe0fc00, 0x4e001c00, "d:wkv n:r"},          // INS (general)
	{0xffe08400, 0x6e000400, "d:wkv n:rv"},         // INS (element)
	{0xbf60fc00, 0x0e400c00, "d:rwv n:rv m:rv"},    // FMLA, FMLS of FP16
	{0x9f60c400, 0x0e400400, "d:wv n:rv m:rv"},     // three of FP16
	{0x9f7e0c00, 0x0e780800, "d:wv n:rv"},          // two of FP16
	{0xbf20ec00, 0x2e00e400, "d:wv n:rv m:rv"},     // FCADD
	{0xbf20fc00, 0x0e00f400, "none"},
	{0x9f208400, 0x0e008400, "d:rwv n:rv m:rv"},     // SDOT, USDOT, SMMLA, SQRDMLAH, FCMLA, BFDOT, BFMMLA, BFMLAL and the like
	{0x9f3ffc00, 0x0e203800, "d:rwv n:rv"},          // SUQADD, USQADD
	{0x9f3ffc00, 0x0e206800, "d:rwv n:rv"},          // SADALP, UADALP
	{0xdf3ffc00, 0x4e212800, "d:wkv n:rv"},          // XTN2, SQXTUN2
	{0xdf3ffc00, 0x4e214800, "d:wkv n:rv"},          // SQXTN2, UQXTN2
	{0xdf3ffc00, 0x4e216800, "d:wkv n:rv"},          // FCVTN2, FCVTXN2, BFCVTN2
	{0x9f3e0c00, 0x0e200800, "d:wv n:rv"},           // two
	{0x9f3e0c00, 0x0e300800, "d:wv n:rv"},           // across lanes
	{0x9f20fc00, 0x0e205000, "d:rwv n:rv m:rv"},     // SABAL, UABAL
	{0x9f20cc00, 0x0e208000, "d:rwv n:rv m:rv"},     // SMLAL, SQDMLAL, SMLSL, SQDMLSL, UMLAL, UMLSL
	{0xdf20dc00, 0x4e204000, "d:wkv n:rv m:rv"},     // ADDHN2, SUBHN2, RADDHN2, RSUBHN2
	{0x9f200c00, 0x0e200000, "d:wv n:rv m:rv"},      // three of different widths
	{0x9f20fc00, 0x0e207c00, "d:rwv n:rv m:rv"},     // SABA, UABA
	{0x9f20fc00, 0x0e209400, "d:rwv n:rv m:rv"},     // MLA, MLS
	{0x9f20fc00, 0x0e20cc00, "d:rwv n:rv m:rv"},     // FMLA, FMLS, FMLAL2, FMLSL2
	{0xbf20fc00, 0x0e20ec00, "d:rwv n:rv m:rv"},     // FMLAL, FMLSL
	{0xbfe0fc00, 0x2e201c00, "d:wv n:rv m:rv zero"}, // EOR
	{0xbfe0fc00, 0x2e601c00, "d:rwv n:rv m:rv"},     // BSL
	{0xbfa0fc00, 0x2ea01c00, "d:wkv n:rv m:rv"},     // BIT, BIF
	{0xbf20fc00, 0x2e208400, "d:wv n:rv m:rv zero"}, // SUB
	{0x9f200400, 0x0e200400, "d:wv n:rv m:rv"},      // three
	{0x9ff89c00, 0x0f001400, "d:rwv"},               // ORR, BIC (immediate)
	{0x9ff8dc00, 0x0f009400, "d:rwv"},               //
	{0x9ff80400, 0x0f000400, "d:wv"},                // MOVI, MVNI, FMOV (immediate)
	{0x9f80dc00, 0x0f001400, "d:rwv n:rv"},          // SSRA, SRSRA, USRA, URSRA
	{0xbf80ec00, 0x2f004400, "d:wkv n:rv"},          // SRI, SLI
	{0xdf80e400, 0x4f008400, "d:wkv n:rv"},          // SHRN2, RSHRN2, SQSHRN2, SQSHRUN2 and the like
	{0x9f800400, 0x0f000400, "d:wv n:rv"},           // shifts by an immediate

	// By an element of Rm, scalars among them. Of FP16 and of 16-bit integers, Rm has four bits.
	{0xafc09400, 0x2f401000, "d:rwv n:rv m:rv"},  // FCMLA
	{0xafc09400, 0x2f801000, "d:rwv n:rv m:rv"},  //
	{0xafc0b400, 0x0f001000, "d:rwv n:rv m:rvh"}, // FMLA, FMLS of FP16
	{0x8fc0f400, 0x0f009000, "d:wv n:rv m:rvh"},  // FMUL, FMULX of FP16
	{0xafc0f400, 0x0f00f000, "d:rwv n:rv m:rv"},  // SUDOT
	{0x8fc00400, 0x0f000000, "none"},
	{0xafc0f400, 0x0f40f000, "d:rwv n:rv m:rv"},  // BFDOT
	{0x8fc08400, 0x0f400000, "d:rwv n:rv m:rvh"}, // MLA, SMLAL, SQDMLAL, MLS, SMLSL, SQDMLSL and the like of 16 bits
	{0xafc0d400, 0x2f40d000, "d:rwv n:rv m:rvh"}, // SQRDMLAH, SQRDMLSH
	{0x8fc00400, 0x0f400000, "d:wv n:rv m:rvh"},  // MUL, SMULL, SQDMULL, SQDMULH, SQRDMULH
	{0xafc0b400, 0x0f800000, "d:rwv n:rv m:rvh"}, // FMLAL, FMLSL
	{0xafc0b400, 0x2f808000, "d:rwv n:rv m:rvh"}, // FMLAL2, FMLSL2
	{0x8fc08400, 0x0f800000, "d:rwv n:rv m:rv"},  // MLA and the like of 32 bits, FMLA, FMLS
	{0x8fc0e400, 0x0f80e000, "d:rwv n:rv m:rv"},  // SDOT, UDOT, USDOT, SQRDMLSH
	{0xafc0f400, 0x2f80d000, "d:rwv n:rv m:rv"},  // SQRDMLAH
	{0x8fc00400, 0x0f800000, "d:wv n:rv m:rv"},   // MUL and the like of 32 bits, FMUL, FMULX
	{0xafc0b400, 0x0fc01000, "d:rwv n:rv m:rv"},  // FMLA, FMLS of 64 bits
	{0x8fc0f400, 0x0fc09000, "d:wv n:rv m:rv"},   // FMUL, FMULX
	{0xafc0f400, 0x0fc0f000, "d:rwv n:rv m:rvh"}, // BFMLAL
	{0x8fc00400, 0x0fc00000, "none"},
}

package x86

// The EVEX maps (SDM volume 2 chapter 5 and appendix A; map 5 and 6: AVX512-FP16).
var (
	mapEVEX1 = compile(rowsEVEX0F)
	mapEVEX2 = compile(rowsEVEX0F38)
	mapEVEX3 = compile(rowsEVEX0F3A)
	mapEVEX5 = compile(rowsEVEX5)
	mapEVEX6 = compile(rowsEVEX6)
)

// rowsEVEX0F is EVEX map 1.
var rowsEVEX0F = []row{
	{"10", "np mr vl v0"},                             // vmovups
	{"11", "np mr vl st v0"},                          // vmovups
	{"12 16", "np m l0 8"},                            // vmovlps, vmovhps
	{"12 16", "np r w0 l0"},                           // vmovlps, vmovhps
	{"13 17", "np m w0 l0 8 st v0"},                   // vmovlps, vmovhps
	{"14 15 54-57", "np mr w0 vl bc4"},                // vunpcklps ... vxorps
	{"28", "np mr w0 vl v0"},                          // vmovaps
	{"29", "np mr w0 vl st v0"},                       // vmovaps
	{"2b", "np m w0 vl st v0"},                        // vmovntps
	{"2e 2f", "np mr 4 er v0"},                        // vucomiss, vcomiss
	{"51 5b 78 79", "np mr vl bcy er v0"},             // vsqrtps ... vcvtpd2udq
	{"58 59 5c-5f", "np mr vl bcy er"},                // vaddps ... vmaxps
	{"5a", "np mr w0 vl/2 bc4 er v0"},                 // vcvtps2pd
	{"c2", "np mr w0 vl bc4 er i1"},                   // vcmpps
	{"c6", "np mr w0 vl bc4 i1"},                      // vshufps
	{"10 6f", "66 mr vl v0"},                          // vmovupd, vmovdqa32
	{"11 7f", "66 mr vl st v0"},                       // vmovupd, vmovdqa32
	{"12 16", "66 m l0 8"},                            // vmovlpd, vmovhpd
	{"13 17", "66 m w1 l0 8 st v0"},                   // vmovlpd, vmovhpd
	{"14 15 54-57 6c 6d d4 f4 fb", "66 mr w1 vl bc8"}, // vunpcklpd ... vpsubq
	{"28", "66 mr w1 vl v0"},                          // vmovapd
	{"29", "66 mr w1 vl st v0"},                       // vmovapd
	{"2b", "66 m w1 vl st v0"},                        // vmovntpd
	{"2e 2f", "66 mr 8 er v0"},                        // vucomisd, vcomisd
	{"51", "66 mr vl bcy er v0"},                      // vsqrtpd
	{"58 59 5c-5f", "66 mr vl bcy er"},                // vaddpd ... vmaxpd
	{"5a e6", "66 mr w1 vl bc8 er v0"},                // vcvtpd2ps, vcvttpd2dq
	{"5b", "66 mr w0 vl bc4 er v0"},                   // vcvtps2dq
	{"60 61 63-65 67-69 74 75 d5 d8-da dc-de e0 e3-e5 e8-ea ec-ee f5 f6 f8 f9 fc fd", "66 mr vl"}, // vpunpcklbw ... vpaddw
	{"62 66 6a 6b 76 fa fe", "66 mr w0 vl bc4"},                                                   // vpunpckldq ... vpaddd
	{"6e", "66 mr l0 y v0"},             // vmovd
	{"70", "66 mr w0 vl bc4 v0 i1"},     // vpshufd
	{"71", "66 mr /246 vl i1"},          // vpsllw
	{"72", "66 mr /014 vl bcy i1"},      // vprold
	{"72", "66 mr /26 w0 vl bc4 i1"},    // vprold
	{"73", "66 mr /26 w1 vl bc8 i1"},    // vpslldq
	{"73", "66 mr /37 vl i1"},           // vpslldq
	{"78-7b", "66 mr cvt bcy er v0"},    // vcvttpd2uqq ... vcvtpd2qq
	{"7e", "66 mr l0 y st v0"},          // vmovd
	{"c2", "66 mr w1 vl bc8 er i1"},     // vcmppd
	{"c4", "66 mr l0 2 i1"},             // vpinsrw
	{"c5", "66 r l0 v0 i1"},             // vpextrw
	{"c6", "66 mr w1 vl bc8 i1"},        // vshufpd
	{"d1 e1 e2 f1", "66 mr 16"},         // vpsrlw ... vpsllw
	{"d2 f2", "66 mr w0 16"},            // vpsrld, vpslld
	{"d3 f3", "66 mr w1 16"},            // vpsrlq, vpsllq
	{"d6", "66 mr w1 l0 8 st v0"},       // vmovq
	{"db df eb ef", "66 mr vl bcy"},     // vpandd ... vpxord
	{"e7", "66 m w0 vl st v0"},          // vmovntdq
	{"10", "f3 m w0 4 v0"},              // vmovss
	{"10 11", "f3 r w0"},                // vmovss
	{"11", "f3 m w0 4 st v0"},           // vmovss
	{"12 16", "f3 mr w0 vl v0"},         // vmovsldup, vmovshdup
	{"2a 7b", "f3 mr y er"},             // vcvtsi2ss, vcvtusi2ss
	{"2c 2d 78 79", "f3 mr 4 er v0"},    // vcvttss2si ... vcvtss2usi
	{"51 58-5a 5c-5f", "f3 mr w0 4 er"}, // vsqrtss ... vmaxss
	{"5b", "f3 mr w0 vl bc4 er v0"},     // vcvttps2dq
	{"6f", "f3 mr vl v0"},               // vmovdqu32
	{"70", "f3 mr vl v0 i1"},            // vpshufhw
	{"7a e6", "f3 mr cvt bcy er v0"},    // vcvtudq2pd, vcvtdq2pd
	{"7e", "f3 mr w1 l0 8 v0"},          // vmovq
	{"7f", "f3 mr vl st v0"},            // vmovdqu32
	{"c2", "f3 mr 4 er i1"},             // vcmpss
	{"10", "f2 m w1 8 v0"},              // vmovsd
	{"10 11", "f2 r w1"},                // vmovsd
	{"11", "f2 m w1 8 st v0"},           // vmovsd
	{"12", "f2 mr w1 dup v0"},           // vmovddup
	{"2a 7b", "f2 mr y er"},             // vcvtsi2sd, vcvtusi2sd
	{"2c 2d 78 79", "f2 mr 8 er v0"},    // vcvttsd2si ... vcvtsd2usi
	{"51 58-5a 5c-5f", "f2 mr w1 8 er"}, // vsqrtsd ... vmaxsd
	{"6f", "f2 mr vl v0"},               // vmovdqu16
	{"70", "f2 mr vl v0 i1"},            // vpshuflw
	{"7a", "f2 mr vl bcy er v0"},        // vcvtudq2ps
	{"7f", "f2 mr vl st v0"},            // vmovdqu16
	{"c2", "f2 mr 8 er i1"},             // vcmpsd
	{"e6", "f2 mr w1 vl bc8 er v0"},     // vcvtpd2dq
}

// rowsEVEX0F38 is EVEX map 2.
var rowsEVEX0F38 = []row{
	{"00 04 0b 26 38 3a 3c 3e 66 75 7d 8d 8f dc-df", "66 mr vl"},              // vpshufb ... vaesdeclast
	{"0c 2b 50-53", "66 mr w0 vl bc4"},                                        // vpermilps ... vpdpwssds
	{"0d 28 29 37 83 b4 b5", "66 mr w1 vl bc8"},                               // vpermilpd ... vpmadd52huq
	{"10-12 70 72", "66 mr w1 vl"},                                            // vpsrlvw ... vpshrdvw
	{"13", "66 mr w0 vl/2 er v0"},                                             // vcvtph2ps
	{"14 15 27 39 3b 3d 3f 40 45-47 64 65 71 73 76 77 7e 7f", "66 mr vl bcy"}, // vprorvd ... vpermt2pd
	{"16 36", "66 mr l12 vl bcy"},                                             // vpermpd, vpermd
	{"18 58", "66 mr w0 4 v0"},                                                // vbroadcastss, vpbroadcastd
	{"19", "66 mr l12 8 v0"},                                                  // vbroadcastf32x2
	{"1a 5a", "66 m l12 16 v0"},                                               // vbroadcastf32x4, vbroadcasti32x4
	{"1b 5b", "66 m l2 32 v0"},                                                // vbroadcastf32x8, vbroadcasti32x8
	{"1c 1d 54 62 88 89", "66 mr vl v0"},                                      // vpabsb ... vpexpandd
	{"1e", "66 mr w0 vl bc4 v0"},                                              // vpabsd
	{"1f", "66 mr w1 vl bc8 v0"},                                              // vpabsq
	{"20 23 30 33", "66 mr vl/2 v0"},                                          // vpmovsxbw ... vpmovzxwd
	{"21 24 31 34", "66 mr vl/4 v0"},                                          // vpmovsxbd ... vpmovzxwq
	{"22 32", "66 mr vl/8 v0"},                                                // vpmovsxbq, vpmovzxbq
	{"25 35", "66 mr w0 vl/2 v0"},                                             // vpmovsxdq, vpmovzxdq
	{"2a", "66 m w0 vl v0"},                                                   // vmovntdqa
	{"2c 96-98 9a 9c 9e a6-a8 aa ac ae b6-b8 ba bc be", "66 mr vl bcy er"},    // vscalefpd ... vfnmsub231pd
	{"2d 43 99 9b 9d 9f a9 ab ad af b9 bb bd bf cb cd", "66 mr y er"},         // vscalefsd ... vrsqrt28sd
	{"42", "66 mr vl bcy er v0"},                                              // vgetexppd
	{"44 4c 4e 55 c4", "66 mr vl bcy v0"},                                     // vplzcntd ... vpconflictd
	{"4d 4f", "66 mr y"},                                                      // vrcp14sd, vrsqrt14sd
	{"59", "66 mr 8 v0"},                                                      // vbroadcasti32x2
	{"63 8a 8b", "66 mr vl st v0"},                                            // vpcompressb ... vpcompressd
	{"78", "66 mr w0 1 v0"},                                                   // vpbroadcastb
	{"79", "66 mr w0 2 v0"},                                                   // vpbroadcastw
	{"7a 7b", "66 r w0 v0"},                                                   // vpbroadcastb, vpbroadcastw
	{"7c", "66 r v0"},                                                         // vpbroadcastd
	{"90-93", "66 m sib y k v0"},                                              // vpgatherdd ... vgatherqpd
	{"a0-a3", "66 m sib y k st v0"},                                           // vpscatterdd ... vscatterqpd
	{"c6 c7", "66 m /1256 sib l2 k v0"},                                       // vgatherpf0dpd, vgatherpf0qpd
	{"c8 ca cc", "66 mr l2 vl bcy er v0"},                                     // vexp2pd ... vrsqrt28pd
	{"cf", "66 mr w0 vl"},                                                     // vgf2p8mulb
	{"10 13 15 20 23 25 30 33 35", "f3 mr w0 vl/2 st v0"},                     // vpmovuswb ... vpmovqd
	{"11 14 21 24 31 34", "f3 mr w0 vl/4 st v0"},                              // vpmovusdb ... vpmovqw
	{"12 22 32", "f3 mr w0 vl/8 st v0"},                                       // vpmovusqb ... vpmovqb
	{"26", "f3 mr vl"},                                                        // vptestnmb
	{"27", "f3 mr vl bcy"},                                                    // vptestnmd
	{"28 29 38 39", "f3 r v0"},                                                // vpmovm2b ... vpmovd2m
	{"2a", "f3 r w1 v0"},                                                      // vpbroadcastmb2q
	{"3a", "f3 r w0 v0"},                                                      // vpbroadcastmw2d
	{"52", "f3 mr w0 vl bc4"},                                                 // vdpbf16ps
	{"72", "f3 mr w0 vl bc4 v0"},                                              // vcvtneps2bf16
	{"52 53 9a aa", "f2 m w0 l2 16"},                                          // vp4dpwssd ... v4fnmaddps
	{"68", "f2 mr vl bcy"},                                                    // vp2intersectd
	{"72", "f2 mr w0 vl bc4"},                                                 // vcvtne2ps2bf16
	{"9b ab", "f2 m w0 16"},                                                   // v4fmaddss, v4fnmaddss
}

// rowsEVEX0F3A is EVEX map 3.
var rowsEVEX0F3A = []row{
	{"08 26 56", "np mr w0 vl bc2 er v0 i1"}, // vrndscaleph ... vreduceph
	{"0a 27 57", "np mr w0 2 er i1"},         // vrndscalesh ... vreducesh
	{"66", "np mr w0 vl bc2 v0 i1"},          // vfpclassph
	{"67", "np mr w0 2 v0 i1"},               // vfpclasssh
	{"c2", "np mr vl bc2 er i1"},             // vcmpph
	{"00 01", "66 mr w1 l12 vl bc8 v0 i1"},   // vpermq, vpermpd
	{"03 1e 1f 25 71 73", "66 mr vl bcy i1"}, // valignd ... vpshrdd
	{"04", "66 mr w0 vl bc4 v0 i1"},          // vpermilps
	{"05", "66 mr w1 vl bc8 v0 i1"},          // vpermilpd
	{"08", "66 mr w0 vl bc4 er v0 i1"},       // vrndscaleps
	{"09", "66 mr w1 vl bc8 er v0 i1"},       // vrndscalepd
	{"0a", "66 mr w0 4 er i1"},               // vrndscaless
	{"0b", "66 mr w1 8 er i1"},               // vrndscalesd
	{"0f 3e 3f 44", "66 mr vl i1"},           // vpalignr ... vpclmulhqhqdq
	{"14", "66 mr l0 1 st v0 i1"},            // vpextrb
	{"15", "66 mr l0 2 st v0 i1"},            // vpextrw
	{"16", "66 mr l0 y st v0 i1"},            // vpextrd
	{"17", "66 mr l0 4 st v0 i1"},            // vextractps
	{"18 38", "66 mr l12 16 i1"},             // vinsertf32x4, vinserti32x4
	{"19 39", "66 mr l12 16 st v0 i1"},       // vextractf32x4, vextracti32x4
	{"1a 3a", "66 mr l2 32 i1"},              // vinsertf32x8, vinserti32x8
	{"1b 3b", "66 mr l2 32 st v0 i1"},        // vextractf32x8, vextracti32x8
	{"1d", "66 mr w0 vl/2 er st v0 i1"},      // vcvtps2ph
	{"20", "66 mr l0 1 i1"},                  // vpinsrb
	{"21", "66 mr w0 l0 4 i1"},               // vinsertps
	{"22", "66 mr l0 y i1"},                  // vpinsrd
	{"23 43", "66 mr l12 vl bcy i1"},         // vshuff32x4, vshufi32x4
	{"26 56", "66 mr vl bcy er v0 i1"},       // vgetmantpd, vreducepd
	{"27 51 55 57", "66 mr y er i1"},         // vgetmantsd ... vreducesd
	{"42", "66 mr w0 vl i1"},                 // vdbpsadbw
	{"50 54", "66 mr vl bcy er i1"},          // vrangepd, vfixupimmpd
	{"66", "66 mr vl bcy v0 i1"},             // vfpclasspd
	{"67", "66 mr y v0 i1"},                  // vfpclasssd
	{"70 72", "66 mr w1 vl i1"},              // vpshldw, vpshrdw
	{"ce cf", "66 mr w1 vl bc8 i1"},          // vgf2p8affineqb, vgf2p8affineinvqb
	{"c2", "f3 mr 2 er i1"},                  // vcmpsh
}

// rowsEVEX5 is EVEX map 5: half-precision forms of map 0F.
var rowsEVEX5 = []row{
	{"1d", "np mr w0 4 er"},               // vcvtss2sh
	{"2e 2f", "np mr w0 2 er v0"},         // vucomish, vcomish
	{"51 7c 7d", "np mr w0 vl bc2 er v0"}, // vsqrtph ... vcvtph2uw
	{"58 59 5c-5f", "np mr w0 vl bc2 er"}, // vaddph ... vmaxph
	{"5a", "np mr w0 vl/4 bc2 er v0"},     // vcvtph2pd
	{"5b", "np mr vl bcy er v0"},          // vcvtdq2ph
	{"78 79", "np mr w0 vl/2 bc2 er v0"},  // vcvttph2udq, vcvtph2udq
	{"1d", "66 mr w0 vl bc4 er v0"},       // vcvtps2phx
	{"5a", "66 mr w1 vl bc8 er v0"},       // vcvtpd2ph
	{"5b", "66 mr w0 vl/2 bc2 er v0"},     // vcvtph2dq
	{"6e", "66 mr 2 v0"},                  // vmovw
	{"78-7b", "66 mr w0 vl/4 bc2 er v0"},  // vcvttph2uqq ... vcvtph2qq
	{"7c 7d", "66 mr w0 vl bc2 er v0"},    // vcvttph2w, vcvtph2w
	{"7e", "66 mr 2 st v0"},               // vmovw
	{"10", "f3 m w0 2 v0"},                // vmovsh
	{"10 11", "f3 r w0"},                  // vmovsh
	{"11", "f3 m w0 2 st v0"},             // vmovsh
	{"2a 7b", "f3 mr y er"},               // vcvtsi2sh, vcvtusi2sh
	{"2c 2d 78 79", "f3 mr 2 er v0"},      // vcvttsh2si ... vcvtsh2usi
	{"51 58-5a 5c-5f", "f3 mr w0 2 er"},   // vsqrtsh ... vmaxsh
	{"5b", "f3 mr w0 vl/2 bc2 er v0"},     // vcvttph2dq
	{"7d", "f3 mr w0 vl bc2 er v0"},       // vcvtw2ph
	{"5a", "f2 mr w1 8 er"},               // vcvtsd2sh
	{"7a", "f2 mr vl bcy er v0"},          // vcvtudq2ph
	{"7d", "f2 mr w0 vl bc2 er v0"},       // vcvtuw2ph
}

// rowsEVEX6 is EVEX map 6: half-precision forms of map 0F38.
var rowsEVEX6 = []row{
	{"13", "np mr w0 2 er"},           // vcvtsh2ss
	{"13", "66 mr w0 vl/2 bc2 er v0"}, // vcvtph2psx
	{"2c 96-98 9a 9c 9e a6-a8 aa ac ae b6-b8 ba bc be", "66 mr w0 vl bc2 er"}, // vscalefph ... vfnmsub231ph
	{"2d 43 99 9b 9d 9f a9 ab ad af b9 bb bd bf", "66 mr w0 2 er"},            // vscalefsh ... vfnmsub231sh
	{"42", "66 mr w0 vl bc2 er v0"},                                           // vgetexpph
	{"4c 4e", "66 mr w0 vl bc2 v0"},                                           // vrcpph, vrsqrtph
	{"4d 4f", "66 mr w0 2"},                                                   // vrcpsh, vrsqrtsh
	{"56 d6", "f3 mr w0 vl bc4 er"},                                           // vfmaddcph, vfmulcph
	{"57 d7", "f3 mr w0 4 er"},                                                // vfmaddcsh, vfmulcsh
	{"56 d6", "f2 mr w0 vl bc4 er"},                                           // vfcmaddcph, vfcmulcph
	{"57 d7", "f2 mr w0 4 er"},                                                // vfcmaddcsh, vfcmulcsh
}

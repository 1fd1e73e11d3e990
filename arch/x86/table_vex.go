package x86

// The VEX maps (SDM volume 2 chapter 5 and appendix A; the FMA4 and XOP rows
// that use VEX: AMD APM volume 4). VEX.W is left open where it is ignored.
var (
	mapVEX1 = compile(rowsVEX0F)
	mapVEX2 = compile(rowsVEX0F38)
	mapVEX3 = compile(rowsVEX0F3A)
)

// rowsVEX0F is VEX map 1. Instructions on mask registers are AVX-512's.
var rowsVEX0F = []row{
	{"10 28 51-53 5b", "np mr vl v0"},       // vmovups ... vcvtdq2ps
	{"11 29", "np mr vl st v0"},             // vmovups, vmovaps
	{"12 16", "np mr l0 8"},                 // vmovlps, vmovhps
	{"13 17", "np m l0 8 st v0"},            // vmovlps, vmovhps
	{"14 15 54-59 5c-5f", "np mr vl"},       // vunpcklps ... vmaxps
	{"2b", "np m vl st v0"},                 // vmovntps
	{"2e 2f", "np mr 4 v0"},                 // vucomiss, vcomiss
	{"41 42 45-47 4a 4b", "np r l1"},        // kandq ... kunpckdq
	{"44 98 99", "np r l0 v0"},              // knotq ... ktestq
	{"50", "np r v0"},                       // vmovmskps
	{"5a", "np mr vl/2 v0"},                 // vcvtps2pd
	{"77", "np v0"},                         // vzeroupper, vzeroall
	{"90", "np mr w0 l0 2 v0"},              // kmovq
	{"90", "np mr w1 l0 8 v0"},              // kmovq
	{"91", "np m w0 l0 2 st v0"},            // kmovq
	{"91", "np m w1 l0 8 st v0"},            // kmovq
	{"92 93", "np r w0 l0 v0"},              // kmovw
	{"ae", "np m /2 l0 4 v0"},               // vldmxcsr
	{"ae", "np m /3 l0 4 st v0"},            // vstmxcsr
	{"c2 c6", "np mr vl i1"},                // vcmpps, vshufps
	{"10 28 51 5a 5b 6f e6", "66 mr vl v0"}, // vmovupd ... vcvttpd2dq
	{"11 29 7f", "66 mr vl st v0"},          // vmovupd ... vmovdqa
	{"12 16", "66 m l0 8"},                  // vmovlpd, vmovhpd
	{"13 17", "66 m l0 8 st v0"},            // vmovlpd, vmovhpd
	{"14 15 54-59 5c-6d 74-76 7c 7d d0 d4 d5 d8-e0 e3-e5 e8-ef f4-f6 f8-fe", "66 mr vl"}, // vunpcklpd ... vpaddd
	{"2b e7", "66 m vl st v0"},        // vmovntpd, vmovntdq
	{"2e 2f", "66 mr 8 v0"},           // vucomisd, vcomisd
	{"41 42 45-47 4a", "66 r l1"},     // kandb ... kaddb
	{"44 98 99 f7", "66 r l0 v0"},     // knotb ... vmaskmovdqu
	{"4b", "66 r w0 l1"},              // kunpckbw
	{"50 d7", "66 r v0"},              // vmovmskpd, vpmovmskb
	{"6e", "66 mr l0 y v0"},           // vmovd
	{"70", "66 mr vl v0 i1"},          // vpshufd
	{"71 72", "66 r /246 i1"},         // vpsllw, vpslld
	{"73", "66 r /2367 i1"},           // vpslldq
	{"7e", "66 mr l0 y st v0"},        // vmovd
	{"90", "66 mr w0 l0 1 v0"},        // kmovb
	{"90", "66 mr w1 l0 4 v0"},        // kmovb
	{"91", "66 m w0 l0 1 st v0"},      // kmovb
	{"91", "66 m w1 l0 4 st v0"},      // kmovb
	{"92 93", "66 r w0 l0 v0"},        // kmovb
	{"c2 c6", "66 mr vl i1"},          // vcmppd, vshufpd
	{"c4", "66 mr l0 2 i1"},           // vpinsrw
	{"c5", "66 r l0 v0 i1"},           // vpextrw
	{"d1-d3 e1 e2 f1-f3", "66 mr 16"}, // vpsrlw ... vpsllq
	{"d6", "66 mr l0 8 st v0"},        // vmovq
	{"10", "f3 m 4 v0"},               // vmovss
	{"10 11", "f3 r"},                 // vmovss
	{"11", "f3 m 4 st v0"},            // vmovss
	{"12 16 5b 6f", "f3 mr vl v0"},    // vmovsldup ... vmovdqu
	{"2a", "f3 mr y"},                 // vcvtsi2ss
	{"2c 2d", "f3 mr 4 v0"},           // vcvttss2si, vcvtss2si
	{"51-53 58-5a 5c-5f", "f3 mr 4"},  // vsqrtss ... vmaxss
	{"70", "f3 mr vl v0 i1"},          // vpshufhw
	{"7e", "f3 mr l0 8 v0"},           // vmovq
	{"7f", "f3 mr vl st v0"},          // vmovdqu
	{"c2", "f3 mr 4 i1"},              // vcmpss
	{"e6", "f3 mr vl/2 v0"},           // vcvtdq2pd
	{"10", "f2 m 8 v0"},               // vmovsd
	{"10 11", "f2 r"},                 // vmovsd
	{"11", "f2 m 8 st v0"},            // vmovsd
	{"12", "f2 mr dup v0"},            // vmovddup
	{"2a", "f2 mr y"},                 // vcvtsi2sd
	{"2c 2d", "f2 mr 8 v0"},           // vcvttsd2si, vcvtsd2si
	{"51 58-5a 5c-5f", "f2 mr 8"},     // vsqrtsd ... vmaxsd
	{"70", "f2 mr vl v0 i1"},          // vpshuflw
	{"7c 7d d0", "f2 mr vl"},          // vhaddps ... vaddsubps
	{"92 93", "f2 r l0 v0"},           // kmovd
	{"c2", "f2 mr 8 i1"},              // vcmpsd
	{"e6", "f2 mr vl v0"},             // vcvtpd2dq
	{"f0", "f2 m vl v0"},              // vlddqu
}

// rowsVEX0F38 is VEX map 2.
var rowsVEX0F38 = []row{
	{"49", "np =c0 w0 l0 v0"},  // tilerelease
	{"49", "np m /0 w0 l0 v0"}, // ldtilecfg
	{"50 51", "np mr w0 vl"},   // vpdpbuud, vpdpbuuds
	{"5e", "np r w0 l0"},       // tdpbuud
	{"b0", "np m w0 vl v0"},    // vcvtneoph2ps
	{"f2 f5 f7", "np mr l0 y"}, // andn ... bextr
	{"f3", "np mr /123 l0 y"},  // blsi
	{"00-0b 28 29 2b 37-40 45 47 96-98 9a 9c 9e a6-a8 aa ac ae b6-b8 ba bc be dc-df", "66 mr vl"}, // vpshufb ... vaesdeclast
	{"0c 0d 46 50-53 cf", "66 mr w0 vl"},               // vpermilps ... vgf2p8mulb
	{"0e 0f", "66 mr w0 vl v0"},                        // vtestps, vtestpd
	{"13", "66 mr w0 vl/2 v0"},                         // vcvtph2ps
	{"16 36", "66 mr w0 l1 32"},                        // vpermps, vpermd
	{"17 1c-1e", "66 mr vl v0"},                        // vptest ... vpabsd
	{"18 58", "66 mr w0 4 v0"},                         // vbroadcastss, vpbroadcastd
	{"19", "66 mr w0 l1 8 v0"},                         // vbroadcastsd
	{"1a 5a", "66 m w0 l1 16 v0"},                      // vbroadcastf128, vbroadcasti128
	{"20 23 25 30 33 35", "66 mr vl/2 v0"},             // vpmovsxbw ... vpmovzxdq
	{"21 24 31 34", "66 mr vl/4 v0"},                   // vpmovsxbd ... vpmovzxwq
	{"22 32", "66 mr vl/8 v0"},                         // vpmovsxbq, vpmovzxbq
	{"2a", "66 m vl v0"},                               // vmovntdqa
	{"2c 2d", "66 m w0 vl"},                            // vmaskmovps, vmaskmovpd
	{"2e 2f", "66 m w0 vl st"},                         // vmaskmovps, vmaskmovpd
	{"41 db", "66 mr l0 16 v0"},                        // vphminposuw, vaesimc
	{"49", "66 m /0 w0 l0 st v0"},                      // sttilecfg
	{"4b", "66 m sib w0 l0 v0"},                        // tileloaddt1
	{"59", "66 mr w0 8 v0"},                            // vpbroadcastq
	{"5e", "66 r w0 l0"},                               // tdpbusd
	{"78", "66 mr w0 1 v0"},                            // vpbroadcastb
	{"79", "66 mr w0 2 v0"},                            // vpbroadcastw
	{"8c", "66 m vl"},                                  // vpmaskmovd
	{"8e", "66 m vl st"},                               // vpmaskmovd
	{"90-93", "66 m sib y"},                            // vpgatherdd ... vgatherqpd
	{"99 9b 9d 9f a9 ab ad af b9 bb bd bf", "66 mr y"}, // vfmadd132sd ... vfnmsub231sd
	{"b0", "66 m w0 vl v0"},                            // vcvtneeph2ps
	{"b1", "66 m w0 2 v0"},                             // vbcstnesh2ps
	{"b4 b5", "66 mr w1 vl"},                           // vpmadd52luq, vpmadd52huq
	{"e0-ef", "66 m l0 y st"},                          // cmpoxadd ... cmpnlexadd
	{"f7", "66 mr l0 y"},                               // shlx
	{"4b", "f3 m sib w0 l0 st v0"},                     // tilestored
	{"50 51", "f3 mr w0 vl"},                           // vpdpbsud, vpdpbsuds
	{"5c 5e", "f3 r w0 l0"},                            // tdpbf16ps, tdpbsud
	{"72", "f3 mr w0 vl v0"},                           // vcvtneps2bf16
	{"b0", "f3 m w0 vl v0"},                            // vcvtneebf162ps
	{"b1", "f3 m w0 2 v0"},                             // vbcstnebf162ps
	{"f5 f7", "f3 mr l0 y"},                            // pext, sarx
	{"49", "f2 r w0 l0 v0"},                            // tilezero
	{"4b", "f2 m sib w0 l0 v0"},                        // tileloadd
	{"50 51", "f2 mr w0 vl"},                           // vpdpbssd, vpdpbssds
	{"5c 5e", "f2 r w0 l0"},                            // tdpfp16ps, tdpbssd
	{"b0", "f2 m w0 vl v0"},                            // vcvtneobf162ps
	{"f5-f7", "f2 mr l0 y"},                            // pdep ... shrx
}

// rowsVEX0F3A is VEX map 3.
var rowsVEX0F3A = []row{
	{"00 01", "66 mr w1 l1 32 v0 i1"},                                     // vpermq, vpermpd
	{"02 4a-4c", "66 mr w0 vl i1"},                                        // vpblendd ... vpblendvb
	{"04 05", "66 mr w0 vl v0 i1"},                                        // vpermilps, vpermilpd
	{"06 46", "66 mr w0 l1 32 i1"},                                        // vperm2f128, vperm2i128
	{"08 09", "66 mr vl v0 i1"},                                           // vroundps, vroundpd
	{"0a 6a 6e 7a 7e", "66 mr 4 i1"},                                      // vroundss ... vfnmsubss
	{"0b 6b 6f 7b 7f", "66 mr 8 i1"},                                      // vroundsd ... vfnmsubsd
	{"0c-0f 40 42 44 48 49 5c-5f 68 69 6c 6d 78 79 7c 7d", "66 mr vl i1"}, // vblendps ... vfnmsubpd
	{"14", "66 mr l0 1 st v0 i1"},                                         // vpextrb
	{"15", "66 mr l0 2 st v0 i1"},                                         // vpextrw
	{"16", "66 mr l0 y st v0 i1"},                                         // vpextrd
	{"17", "66 mr l0 4 st v0 i1"},                                         // vextractps
	{"18 38", "66 mr w0 l1 16 i1"},                                        // vinsertf128, vinserti128
	{"19 39", "66 mr w0 l1 16 st v0 i1"},                                  // vextractf128, vextracti128
	{"1d", "66 mr w0 vl/2 st v0 i1"},                                      // vcvtps2ph
	{"20", "66 mr l0 1 i1"},                                               // vpinsrb
	{"21", "66 mr l0 4 i1"},                                               // vinsertps
	{"22", "66 mr l0 y i1"},                                               // vpinsrd
	{"30-33", "66 r l0 v0 i1"},                                            // kshiftrb ... kshiftld
	{"41", "66 mr l0 16 i1"},                                              // vdppd
	{"60-63 df", "66 mr l0 16 v0 i1"},                                     // vpcmpestrm ... vaeskeygenassist
	{"ce cf", "66 mr w1 vl i1"},                                           // vgf2p8affineqb, vgf2p8affineinvqb
	{"f0", "f2 mr l0 y v0 i1"},                                            // rorx
}

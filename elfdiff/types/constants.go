package types

// Tags of entries (DWARF 5, 7.5.3, table 7.3).
const (
	tagArrayType             = 0x01
	tagClassType             = 0x02
	tagEnumerationType       = 0x04
	tagFormalParameter       = 0x05
	tagLexicalBlock          = 0x0b
	tagMember                = 0x0d
	tagPointerType           = 0x0f
	tagReferenceType         = 0x10
	tagCompileUnit           = 0x11
	tagStringType            = 0x12
	tagStructureType         = 0x13
	tagSubroutineType        = 0x15
	tagTypedef               = 0x16
	tagUnionType             = 0x17
	tagUnspecifiedParameters = 0x18
	tagVariant               = 0x19
	tagInheritance           = 0x1c
	tagInlinedSubroutine     = 0x1d
	tagPtrToMemberType       = 0x1f
	tagSetType               = 0x20
	tagSubrangeType          = 0x21
	tagBaseType              = 0x24
	tagConstType             = 0x26
	tagEnumerator            = 0x28
	tagSubprogram            = 0x2e
	tagTemplateTypeParameter = 0x2f
	tagTemplateValueParam    = 0x30
	tagVariantPart           = 0x33
	tagVariable              = 0x34
	tagVolatileType          = 0x35
	tagRestrictType          = 0x37
	tagInterfaceType         = 0x38
	tagNamespace             = 0x39
	tagModule                = 0x1e
	tagUnspecifiedType       = 0x3b
	tagPartialUnit           = 0x3c
	tagTypeUnit              = 0x41
	tagRvalueReferenceType   = 0x42
	tagTemplateAlias         = 0x43
	tagAtomicType            = 0x47
	tagImmutableType         = 0x4b
	tagSkeletonUnit          = 0x4a
	tagCommonBlock           = 0x1a
)

// Attributes (DWARF 5, 7.5.4, table 7.5).
const (
	attrSibling         = 0x01
	attrLocation        = 0x02
	attrName            = 0x03
	attrByteSize        = 0x0b
	attrBitOffset       = 0x0c // DWARF 3
	attrBitSize         = 0x0d
	attrStmtList        = 0x10
	attrLowPC           = 0x11
	attrHighPC          = 0x12
	attrLanguage        = 0x13
	attrDiscrValue      = 0x16
	attrCompDir         = 0x1b
	attrConstValue      = 0x1c
	attrUpperBound      = 0x2f
	attrAbstractOrigin  = 0x31
	attrCount           = 0x37
	attrDataMemberLoc   = 0x38
	attrDeclFile        = 0x3a
	attrDeclLine        = 0x3b
	attrDeclaration     = 0x3c
	attrEncoding        = 0x3e
	attrSpecification   = 0x47
	attrType            = 0x49
	attrVirtuality      = 0x4c
	attrVtableElemLoc   = 0x4d
	attrRanges          = 0x55
	attrSignature       = 0x69
	attrDataBitOffset   = 0x6b
	attrLinkageName     = 0x6e
	attrStrOffsetsBase  = 0x72
	attrAddrBase        = 0x73
	attrRnglistsBase    = 0x74
	attrDwoName         = 0x76
	attrMIPSLinkageName = 0x2007
	attrGNUDwoName      = 0x2130
	attrGNUAddrBase     = 0x2133
)

// Forms (DWARF 5, 7.5.6, table 7.6).
const (
	formAddr         = 0x01
	formBlock2       = 0x03
	formBlock4       = 0x04
	formData2        = 0x05
	formData4        = 0x06
	formData8        = 0x07
	formString       = 0x08
	formBlock        = 0x09
	formBlock1       = 0x0a
	formData1        = 0x0b
	formFlag         = 0x0c
	formSdata        = 0x0d
	formStrp         = 0x0e
	formUdata        = 0x0f
	formRefAddr      = 0x10
	formRef1         = 0x11
	formRef2         = 0x12
	formRef4         = 0x13
	formRef8         = 0x14
	formRefUdata     = 0x15
	formIndirect     = 0x16
	formSecOffset    = 0x17
	formExprloc      = 0x18
	formFlagPresent  = 0x19
	formStrx         = 0x1a
	formAddrx        = 0x1b
	formRefSup4      = 0x1c
	formStrpSup      = 0x1d
	formData16       = 0x1e
	formLineStrp     = 0x1f
	formRefSig8      = 0x20
	formImplicit     = 0x21
	formLoclistx     = 0x22
	formRnglistx     = 0x23
	formRefSup8      = 0x24
	formStrx1        = 0x25
	formStrx2        = 0x26
	formStrx3        = 0x27
	formStrx4        = 0x28
	formAddrx1       = 0x29
	formAddrx2       = 0x2a
	formAddrx3       = 0x2b
	formAddrx4       = 0x2c
	formGNUAddrIndex = 0x1f01
	formGNUStrIndex  = 0x1f02
	formGNURefAlt    = 0x1f20
	formGNUStrpAlt   = 0x1f21
)

// Unit types (DWARF 5, 7.5.1, table 7.2).
const (
	unitType         = 2
	unitSkeleton     = 4
	unitSplitCompile = 5
	unitSplitType    = 6
)

// Encodings of base types (DWARF 5, 7.8, table 7.11).
const (
	encAddress      = 0x01
	encBoolean      = 0x02
	encFloat        = 0x04
	encSigned       = 0x05
	encSignedChar   = 0x06
	encUnsigned     = 0x07
	encUnsignedChar = 0x08
	encUTF          = 0x10
)

// Operations of location expressions (DWARF 5, 7.7.1).
const (
	opAddr           = 0x03
	opConst4u        = 0x0c
	opConst8u        = 0x0e
	opConstu         = 0x10
	opPlusUconst     = 0x23
	opFormTLSAddress = 0x9b
	opAddrx          = 0xa1
	opConstx         = 0xa2
	opGNUPushTLS     = 0xe0
	opGNUAddrIndex   = 0xfb
	opGNUConstIndex  = 0xfc
)

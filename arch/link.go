package arch

// LinkKind says what value a link-time relocation stands for. S is the symbol's address, A the addend.
type LinkKind uint8

const (
	LinkNone      LinkKind = iota // nothing: it marks an instruction, or its value was used up when the file was linked
	LinkAddress                   // S + A
	LinkBranch                    // S + A, or a stub that leads there, in a field that only branches have
	LinkSlot                      // the address of a GOT slot that holds S + A
	LinkTPOff                     // offset of a thread-local object from the thread pointer (local exec)
	LinkDTPOff                    // offset in the module's block of thread-local storage (local dynamic)
	LinkTPOffSlot                 // the address of a slot that holds such an offset (initial exec)
	LinkTLSPair                   // the address of a pair of slots: a module's number, and an offset in its block (general dynamic)
	LinkTLSModule                 // the address of such a pair for the module itself (local dynamic)
	LinkTLSDesc                   // the address of a TLS descriptor, or a part of the code that calls through it
	LinkOther                     // something else, such as a size
)

// LinkForm says how the field holds the value.
type LinkForm uint8

const (
	FormWhole LinkForm = iota // all of it
	FormPC                    // its distance from the field, or from the instruction
	FormPage                  // the distance of its 4 KiB page from the instruction's (adrp)
	FormLow                   // its low bits: 12 of an address, scaled by the size of the access; 12 or 16 of an offset
	FormHigh                  // bits above those, of an offset
)

// LinkReloc describes a type of link-time relocation: what linkers apply to the code and data of object files, and --emit-relocs keeps.
type LinkReloc struct {
	Kind LinkKind
	Form LinkForm
	Size int // bytes of the field, or of the instruction that has it; 0: none

	// Behind is how many bytes behind the field's start its distance counts from, where assemblers take that off the addend. x86-64's
	// thread-local fields end the instruction, behind which the program counter is (System V ABI, "ELF Handling For Thread-Local Storage", 4.4.6).
	Behind int
}

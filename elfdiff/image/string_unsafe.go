package image

import "unsafe"

// asString returns the bytes as a string without a copy: debug sections are large. Precondition: nobody writes to them any more.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

package image

// Placeholders of the private state, replaced by the loader.
type (
	file        struct{}
	index       struct{}
	dynamic     struct{}
	linkerMarks struct{}
	fieldSet    struct{}
	refIndex    struct{}
	bodyCache   struct{}
	lineTable   struct{}
)

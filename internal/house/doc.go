// Package house holds, as tests, the rules of the repository that no compiler checks:
// which packages are pure, which way imports point, where unsafe and build tags
// may stand.
package house

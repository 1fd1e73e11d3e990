// Package sweep tests what hotpatch leaves behind wherever it is cut off.
//
// It is all test. The hotpatch command is built with the tag hotpatch_sweep, which counts the instants before and behind its
// operations on the target: ptrace requests, reads and writes of memory (ptrace/probe_sweep.go). Something happens at one
// instant of a run, and the next run has its turn at another, until there are none left:
//
//	TestKilled     hotpatch is killed, in an apply, one that waits, a revert and a replace     killed_test.go
//	TestTrouble    the target is killed, or out of memory or descriptors, or makes a thread;
//	               hotpatch is interrupted; an operation is denied, or all from there on       trouble_test.go
//	TestTwice      a second hotpatch is at work on the process meanwhile                       twice_test.go
//
// Not by instants:
//
//	TestStorm      hotpatch is killed under a storm of signals                                 storm_test.go
//	TestAnytime    hotpatch is killed after random times                                       anytime_test.go
//
// The target is testdata/sweep/served.c, whose versions pass other arguments between their functions, so that any mixture of
// two answers wrongly. Every thread of it has a client that never stops asking and judges each reply (target_test.go). Afterwards
// the target must answer everything and be fully old or fully new, list must say which, nobody may be stopped or traced, and
// the next command must bring it where it is to go.
//
// A plain go test takes few instants. scripts/sweep takes all of them, or every Nth from an offset on.
package sweep

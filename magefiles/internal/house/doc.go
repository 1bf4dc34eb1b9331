// Package house guarantees that the rules which the design gives to every
// package are kept: which package may import which, who may read the
// environment and the clock, what lies where, how long a file is. It is tests
// alone. What no table of theirs names is refused, so a new package begins
// with a decision about its place.
package house

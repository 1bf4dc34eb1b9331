package repro

import (
	"slices"
	"strings"
)

// A Cause is why two builds are likely to differ. It is a guess, if a good one:
// what is named is there, on both sides, and nothing but that was needed to
// explain the bytes it is said of.
type Cause string

// The causes that are told.
const (
	Toolchain     Cause = "toolchain"
	Source        Cause = "source revision"
	ModuleVersion Cause = "module version"
	BuildSettings Cause = "build settings"
	EmbeddedFile  Cause = "embedded file" // of which more may be told than that it differs
	BuildPath     Cause = "build path"
	UserOrHost    Cause = "user or host name"
	TimeStamp     Cause = "time stamp"
	Order         Cause = "order"     // of members, or of the lines of a text
	FileMode      Cause = "file mode" // of a member: a umask, often
	Owner         Cause = "owner"     // of a member
	Compression   Cause = "compression"
	Encoding      Cause = "encoding" // of what is the same in both: headers, padding, white space
	BuildID       Cause = "build id" // and nothing else
	Unknown       Cause = "unknown"  // there is a difference of which no cause is known

	// OtherContent is a digest or size of something else, which has a cause of its own.
	OtherContent Cause = "other content"
)

// causes has first what decides most, and last what may only follow from another.
var causes = []Cause{
	Toolchain, Source, ModuleVersion, BuildSettings, EmbeddedFile, BuildPath, UserOrHost, TimeStamp,
	Order, FileMode, Owner, Compression, Encoding, BuildID, Unknown, OtherContent,
}

// Cause is the one that Why begins with. It is Unknown where Why begins with none,
// and "" of a detail.
func (d Difference) Cause() Cause {
	if d.Detail {
		return ""
	}
	before, _, ok := strings.Cut(d.Why, ": ")
	if c := Cause(before); ok && slices.Contains(causes, c) {
		return c
	}
	return Unknown
}

// Causes are those of the differences, each once: what decides most comes first.
// Unknown is among them where some difference has no known cause, whatever is known
// of the others; OtherContent only where there is nothing else.
func Causes(all []Difference) []Cause {
	var found []Cause
	for _, c := range causes {
		if c == OtherContent && len(found) > 0 {
			break
		}
		if slices.ContainsFunc(all, func(d Difference) bool { return d.Cause() == c }) {
			found = append(found, c)
		}
	}
	return found
}

package audit

import "strings"

// logged reports whether a line of log has the level, in the present form of
// upstream's log or that of older releases.
func logged(log, level string) bool {
	for _, line := range strings.Split(log, "\n") {
		if strings.Contains(strings.ToUpper(line), "LEVEL="+level) {
			return true
		}
	}
	return false
}

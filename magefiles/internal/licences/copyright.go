package licences

import (
	"regexp"
	"slices"
	"strings"
)

const (
	maxLine  = 300  // bytes of a copyright line; what is longer is a paragraph
	maxLines = 4000 // copyright lines of a package
)

var (
	// Comment signs, bullets and the like before a line, and behind it.
	before = regexp.MustCompile(`^[\s/*#;>|~%"'!<\-.+=` + "`" + `]+`)
	behind = regexp.MustCompile(`(\s|\*/|-->|\*|#|;|\|)+$| Use of this (source )?(code|software) .*$`)
	tagged = regexp.MustCompile(`^SPDX-FileCopyrightText:\s*(\(c\) |© )?([Cc]opyright\b)?`)
	// What a line has to begin with to be a notice of copyright, and to hold:
	// a sign, a year, or a name behind the word.
	claim = regexp.MustCompile(`^(?i:portions?(?: are| of [^.]{1,60}?)?[: ]+|parts? |some |all |original |modifications? |extensions of the original work are |)(?:(?i:copyright)\b[\s:]*|©\s*|\((?i:c)\)\s+)(.+)$`)
	holds = regexp.MustCompile(`(?i)^(©|\(c\)|&copy;|by )|\b(19|20)\d\d\b|^(?-i:The |Contributors|[\pLu][\pL.\-]+ (Authors|Contributors|contributors|Inc|LLC|Ltd|GmbH|Team|Foundation)\b)`)
	// What licences say of copyright themselves, and the gaps of their forms.
	talk = regexp.MustCompile(`(?i)\bwhen the project\b|\b(notices?|licen[cs]es? (to|granted|hereby)|laws?|statements?|interests?|treaty|disclaimers?|protection|in (and|the) (to )?(the )?(work|software)|shall|infring\w+)\b|\byyyy\b|\[year\]|<years?>|\{years?\}|<name|\[name|\{name|<owner|<copyright|\[fullname\]|name of (author|copyright)|copyright (holders?|owners?|and related)\b|^copyright\s*:?=`)
	// The holder of the text of these licences holds nothing else.
	ofText = regexp.MustCompile(`(?i)free software foundation, inc|sam hocevar|linux foundation and its contributors`)
)

// copyrightLine is the notice of copyright that a line is, without comment
// signs and with single blanks, or "".
func copyrightLine(line string) string {
	if len(line) > maxLine || !mentioned(line) {
		return ""
	}
	line = before.ReplaceAllString(line, "")
	if m := tagged.FindString(line); m != "" {
		line = "Copyright " + line[len(m):]
	}
	line = behind.ReplaceAllString(line, "")
	line = strings.Join(strings.Fields(line), " ")
	m := claim.FindStringSubmatch(line)
	if m == nil || !holds.MatchString(m[1]) || talk.MatchString(line) {
		return ""
	}
	return line
}

// mentioned is quick and lets through all that claim may match.
func mentioned(line string) bool {
	return strings.Contains(line, "©") || strings.Contains(line, "(c)") || strings.Contains(line, "(C)") ||
		strings.Contains(line, "opyright") || strings.Contains(line, "OPYRIGHT") || strings.Contains(line, "SPDX-File")
}

// Copyrights is the notices of copyright in a file, each once, as they come.
func Copyrights(data []byte) []string { return copyrights(readable(data), nil) }

// copyrights is the notices of copyright in a text, each once, as they come.
// The one of a licence's own text is left out.
func copyrights(text string, ids []string) []string {
	ofLicence := slices.ContainsFunc(ids, func(id string) bool {
		return strings.Contains(id, "GPL") || strings.HasPrefix(id, "GFDL") || id == "WTFPL"
	})
	var all []string
	for line := range strings.Lines(text) {
		c := copyrightLine(line)
		if c == "" || ofLicence && ofText.MatchString(c) || slices.Contains(all, c) {
			continue
		}
		if all = append(all, c); len(all) > maxLines {
			break
		}
	}
	return all
}

package registries

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// A command is a line for the shell. Variables are set before it.
type command struct{ variables, text string }

var assignment = regexp.MustCompile(`^[a-z]+=\S+$`)

// tag is what README.md calls the image.
const tag = "1.12.1-palisade.1"

// section are the lines of every block of sh below a heading of README.md.
func section(t *testing.T, heading string) (all []command) {
	t.Helper()
	_, text, ok := strings.Cut(read(t, "../../README.md"), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n##")
	variables, inside := "", false
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSuffix(line, "\n"), "  #")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case !inside || line == "":
		case assignment.MatchString(line):
			variables += line + "\n"
		default:
			all = append(all, command{variables, line})
		}
	}
	if len(all) == 0 {
		t.Fatalf("README.md shows no command below %q", heading)
	}
	return all
}

// only are the commands that hold the text.
func only(t *testing.T, all []command, text string) (some []command) {
	t.Helper()
	for _, c := range all {
		if strings.Contains(c.text, text) {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		t.Fatalf("README.md shows no %q", text)
	}
	return some
}

type member struct{ Name, Digest string }

// members are the files of node_exporter's image for this platform, as
// release.json has them.
func members(t *testing.T) (all []member) {
	t.Helper()
	var release struct {
		Images []struct {
			Component, Version string
			Platforms          []struct {
				Platform string
				Layers   []struct{ Members []member }
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(*distDir, "release.json"))), &release); err != nil {
		t.Fatal(err)
	}
	for _, i := range release.Images {
		if i.Component != "node_exporter" || i.Version != tag {
			continue
		}
		for _, p := range i.Platforms {
			for _, l := range p.Layers {
				if p.Platform == runtime.GOOS+"/"+runtime.GOARCH {
					all = append(all, l.Members...)
				}
			}
		}
	}
	return all
}

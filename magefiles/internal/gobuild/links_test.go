package gobuild

import (
	"reflect"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// What "go list -deps -json" prints of two commands of one module: bell links
// rope, which links hemp; pull links neither, and push imports nothing.
const listing = `
{"ImportPath": "unsafe", "Standard": true}
{"ImportPath": "runtime", "Standard": true, "Imports": ["unsafe"]}
{"ImportPath": "os", "Standard": true, "Imports": ["unsafe", "golang.org/x/sys/cpu"], "ImportMap": {"golang.org/x/sys/cpu": "vendor/golang.org/x/sys/cpu"}}
{"ImportPath": "vendor/golang.org/x/sys/cpu", "Standard": true}
{"ImportPath": "example.org/hemp", "Module": {"Path": "example.org/hemp"}}
{"ImportPath": "example.org/rope/knot", "Module": {"Path": "example.org/rope"}, "Imports": ["example.org/hemp", "C"]}
{"ImportPath": "example.org/rope", "Module": {"Path": "example.org/rope"}, "Imports": ["example.org/rope/knot", "os", "unsafe"]}
{"ImportPath": "example.org/bell/cmd/bell", "Module": {"Path": "example.org/bell"}, "Imports": ["example.org/rope", "os"]}
{"ImportPath": "example.org/bell/cmd/pull", "Module": {"Path": "example.org/bell"}, "Imports": ["unsafe"]}
{"ImportPath": "example.org/bell/cmd/push", "Module": {"Path": "example.org/bell"}}
`

func TestLinks(t *testing.T) {
	packages, err := parseListing(strings.NewReader(listing))
	if err != nil {
		t.Fatal(err)
	}
	got, err := links(packages, []artifact.Binary{
		{Name: "bell", Package: "example.org/bell/cmd/bell", Main: artifact.Module{Path: "example.org/bell"},
			Modules: []artifact.Module{{Path: "example.org/hemp"}, {Path: "example.org/rope"}}},
		{Name: "pull", Package: "example.org/bell/cmd/pull", Main: artifact.Module{Path: "example.org/bell"}},
		{Name: "push", Package: "example.org/bell/cmd/push", Main: artifact.Module{Path: "example.org/bell"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Links{
		{"bell", []Link{
			{"example.org/bell", []string{"example.org/bell/cmd/bell"}, []string{"example.org/rope", "std"}},
			{"example.org/hemp", []string{"example.org/hemp"}, nil},
			{"example.org/rope", []string{"example.org/rope", "example.org/rope/knot"}, []string{"example.org/hemp", "std"}},
			{"std", []string{"os", "runtime", "unsafe", "vendor/golang.org/x/sys/cpu"}, nil},
		}},
		{"pull", []Link{
			{"example.org/bell", []string{"example.org/bell/cmd/pull"}, []string{"std"}},
			{"std", []string{"runtime", "unsafe"}, nil},
		}},
		{"push", []Link{
			{"example.org/bell", []string{"example.org/bell/cmd/push"}, []string{"std"}},
			{"std", []string{"runtime", "unsafe"}, nil},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLinksRefuse(t *testing.T) {
	bell := artifact.Binary{Name: "bell", Package: "example.org/bell/cmd/bell", Main: artifact.Module{Path: "example.org/bell"},
		Modules: []artifact.Module{{Path: "example.org/hemp"}, {Path: "example.org/rope"}}}
	fewer, more := bell, bell
	fewer.Modules = bell.Modules[:1]
	more.Modules = append(more.Modules[:2:2], artifact.Module{Path: "example.org/sail"})
	for _, tt := range []struct {
		name, listing string
		binary        artifact.Binary
		want          string
	}{
		{"no JSON", "x", bell, "reading the go command's answer"},
		{"main package not listed", "", bell, "did not list package example.org/bell/cmd/bell"},
		{"import not listed", strings.Replace(listing, `"example.org/hemp", "Module"`, `"example.org/other", "Module"`, 1), bell, "imports example.org/hemp"},
		{"package of no module", strings.Replace(listing, `, "Module": {"Path": "example.org/hemp"}`, "", 1), bell, "belongs to no module"},
		{"module that the linker does not name", listing, fewer, "module example.org/rope, which its build info does not name"},
		{"module that is not imported", listing, more, "names module example.org/sail, of which no package is imported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packages, err := parseListing(strings.NewReader(tt.listing))
			if err == nil {
				_, err = links(packages, []artifact.Binary{tt.binary})
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

package gobuild

import (
	"fmt"
	"testing"

	"palisade/attestations/artifact"
	"palisade/recipes"
)

// An archive's layout is the recipe's, as the platform and the variant have it.
func TestLayout(t *testing.T) {
	r := &recipes.Recipe{
		Name: "bell", Version: "1.2.0", Revision: 3, Binaries: []recipes.Binary{{Name: "toll"}, {Name: "bell"}},
		Archive: []recipes.Member{{From: "LICENSE", As: "LICENSE"}, {Own: "bell.yml", As: "bell.yml"}, {From: "x.service", As: "x.service", Only: "linux"}},
	}
	d := &recipes.Distribution{Name: "palisade"}
	for _, tt := range []struct{ os, variant, name, want string }{
		{"linux", "hardened", ".linux-amd64.tar.gz", "[bell 0755 toll 0755 LICENSE 0644 bell.yml 0644 x.service 0644 " + recipes.TextsName + " 0644]"},
		{"linux", "vanilla", ".linux-amd64.tar.gz", "[bell 0755 toll 0755 LICENSE 0644 x.service 0644 " + recipes.TextsName + " 0644]"},
		{"windows", "hardened", ".windows-amd64.zip", "[bell.exe 0755 toll.exe 0755 LICENSE 0644 bell.yml 0644 " + recipes.TextsName + " 0644]"},
	} {
		name, folder, places := Layout(r, d, Target{Platform: artifact.Platform{OS: tt.os, Arch: "amd64"}, Variant: tt.variant})
		var got []string
		for _, p := range places {
			got = append(got, fmt.Sprintf("%s %04o", p.Name, p.Mode))
		}
		stem := "bell-" + r.FullVersion(d, tt.variant)
		if name != stem+tt.name || folder != stem+"."+tt.os+"-amd64" || fmt.Sprint(got) != tt.want {
			t.Errorf("%s %s: %s, %s, %v", tt.os, tt.variant, name, folder, got)
		}
	}
}

package recipes

import (
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

func TestFullVersion(t *testing.T) {
	d := &Distribution{Name: "palisade"}
	r := &Recipe{Version: "3.15.0", Revision: 2}
	for variant, want := range map[string]string{"hardened": "3.15.0-palisade.2", "vanilla": "3.15.0-vanilla"} {
		if got := r.FullVersion(d, variant); got != want {
			t.Errorf("%s: got %s, want %s", variant, got, want)
		}
	}
}

func TestSealedVersion(t *testing.T) {
	d := &Distribution{Name: "palisade"}
	for _, tt := range []struct {
		version  string
		revision int
		variant  string
		want     string
		next     string // the first release after version
	}{
		{"v0.315.0", 1, "hardened", "v0.315.1-0.palisade.1", "v0.315.1"},
		{"v0.315.0", 12, "hardened", "v0.315.1-0.palisade.12", "v0.315.1"},
		{"v0.315.0", 1, "vanilla", "v0.315.1-0.vanilla.1", "v0.315.1"},
		{"v1.9.9", 1, "hardened", "v1.9.10-0.palisade.1", "v1.9.10"},
		{"v1.0.0-rc.1", 1, "hardened", "v1.0.1-0.palisade.1", "v1.0.1"},
		{"v0.0.0-20240927000941-0f3dac36c52b", 3, "hardened", "v0.0.1-0.palisade.3", "v0.0.1"},
	} {
		r := &Recipe{Revision: tt.revision}
		got, err := r.SealedVersion(d, module.Version{Path: "example.org/x", Version: tt.version}, tt.variant)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.version, got, err, tt.want)
			continue
		}
		if semver.Compare(tt.version, got) >= 0 || semver.Compare(got, tt.next) >= 0 || module.CanonicalVersion(got) != got {
			t.Errorf("%s is not a version between %s and %s", got, tt.version, tt.next)
		}
	}
	// A later revision replaces an earlier one, also the tenth.
	nine, _ := (&Recipe{Revision: 9}).SealedVersion(d, module.Version{Version: "v1.0.0"}, "hardened")
	ten, _ := (&Recipe{Revision: 10}).SealedVersion(d, module.Version{Version: "v1.0.0"}, "hardened")
	if semver.Compare(nine, ten) >= 0 {
		t.Errorf("%s does not come before %s", nine, ten)
	}
	if v, err := (&Recipe{}).SealedVersion(d, module.Version{Path: "x", Version: "latest"}, "hardened"); err == nil {
		t.Errorf("latest gives %s", v)
	}
}

func TestModuleVersion(t *testing.T) {
	for _, tt := range []struct{ module, version, want string }{
		{"github.com/prometheus/prometheus", "3.15.0", "v0.315.0"},
		{"github.com/prometheus/prometheus", "3.5.2", "v0.305.2"},
		{"github.com/prometheus/alertmanager", "0.34.2", "v0.34.2"},
		{"github.com/prometheus/pushgateway", "1.11.3", "v1.11.3"},
		{"example.org/x/v3", "3.15.0", "v3.15.0"},
	} {
		r := &Recipe{Module: tt.module, Version: tt.version}
		if got := r.ModuleVersion(tt.version); got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.module, tt.version, got, tt.want)
		}
		if got, ok := r.Release(tt.want); got != tt.version || !ok {
			t.Errorf("%s %s: got %s %v, want %s", tt.module, tt.want, got, ok, tt.version)
		}
	}
}

func TestRelease(t *testing.T) {
	for _, tt := range []struct {
		module, pinned, version, want string // no release if it is empty
	}{
		{"github.com/prometheus/prometheus", "3.15.0", "v0.316.2", "3.16.2"},
		{"github.com/prometheus/prometheus", "3.15.0", "v0.400.0", "4.0.0"},
		{"github.com/prometheus/prometheus", "3.15.0", "v0.55.0", "0.55.0"},
		{"github.com/prometheus/prometheus", "3.15.0", "v3.16.0", ""},
		{"github.com/prometheus/prometheus", "3.15.0", "v0.316.0-rc.1", ""},
		{"github.com/prometheus/snmp_exporter", "0.29.0", "v0.301.0", "0.301.0"}, // its own numbers
		{"example.org/x", "1.2.3", "v1.3.0-rc.1", ""},
		{"example.org/x", "1.2.3", "v2.0.0+incompatible", ""},
		{"example.org/x", "1.2.3", "v1.3", ""},
	} {
		got, ok := (&Recipe{Module: tt.module, Version: tt.pinned}).Release(tt.version)
		if ok != (tt.want != "") || ok && got != tt.want {
			t.Errorf("%s %s: got %s %v, want %q", tt.module, tt.version, got, ok, tt.want)
		}
	}
}

func TestShortName(t *testing.T) {
	for path, want := range map[string]string{
		"github.com/prometheus/exporter-toolkit": "exporter-toolkit",
		"example.org/x/v2":                       "x",
		"gopkg.in/yaml.v3":                       "yaml",
		"bell":                                   "bell",
	} {
		if got := ShortName(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

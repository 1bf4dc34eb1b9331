package command

import (
	"errors"
	"strings"
	"testing"

	"palisade/magefiles/internal/config"
	"palisade/recipes"
)

func TestNewUpdateRequest(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		component, version, output string
		check, write, all          *bool
		want                       string
	}{
		{"", "", "", nil, nil, nil, ""},
		{"", "", "json", &yes, &no, &yes, ""},
		{"hello", "1.2.3", "text", nil, &yes, nil, ""},
		{"", "1.2.3", "", nil, nil, nil, "name it with -component="},
		{"", "", "", nil, &yes, nil, "name it with -component="},
		{"hello", "", "", &yes, nil, nil, "leave one of them out"},
		{"hello", "", "", nil, nil, &yes, "leave one of them out"},
		{"hello,quiet", "", "", nil, nil, nil, "one component"},
		{"", "", "html", nil, nil, nil, `there is no output "html"`},
	} {
		given := func(s string) *string {
			if s == "" {
				return nil
			}
			return &s
		}
		req, err := NewUpdateRequest(given(tt.component), given(tt.version), given(tt.output), tt.check, tt.write, tt.all)
		if tt.want == "" {
			if err != nil || req.Component != tt.component || req.Version != tt.version || req.Output != tt.output || req.Check != value(tt.check) || req.Write != value(tt.write) || req.All != value(tt.all) {
				t.Errorf("%+v: got %+v, %v", tt, req, err)
			}
		} else if !errors.Is(err, config.ErrUsage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
	empty := ""
	if _, err := NewUpdateRequest(nil, &empty, nil, nil, nil, nil); !errors.Is(err, config.ErrUsage) {
		t.Errorf("an empty version: %v", err)
	}
}

func value(p *bool) bool { return p != nil && *p }

// Prometheus counted otherwise once: what is newer is so by its release.
func TestLater(t *testing.T) {
	r := &recipes.Recipe{Module: "github.com/prometheus/prometheus", Version: "3.15.0"}
	for version, want := range map[string]bool{
		"v0.315.0": false, "v0.315.1": true, "v0.316.0": true, "v0.400.0": true, "v0.314.9": false,
		"v1.8.2": false, "v0.316.0-rc.1": false, "v3.16.0": false, "v1.0.0": false,
	} {
		if got := later(r)(version); got != want {
			t.Errorf("%s: got %v", version, got)
		}
	}
	if got := releaseOf(r)("v0.316.0") + " " + releaseOf(r)("v2"); got != "3.16.0 v2" {
		t.Errorf("got %s", got)
	}
}

package audit

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBounded(t *testing.T) {
	good := "[Unit]\nRestart=no\n[Service]\n# Restart=no\nRestart=on-failure\nMemoryMax=1G\nTasksMax=64\n[Install]\nTasksMax=infinity\n"
	if err := bounded(good); err != nil {
		t.Error(err)
	}
	for _, change := range [][2]string{
		{"Restart=on-failure\n", ""}, {"Restart=on-failure", "Restart=no"}, {"MemoryMax=1G", "MemoryMax=infinity"}, {"TasksMax=64\n", ""}, {"TasksMax=64", "TasksMax="},
	} {
		if unit := strings.Replace(good, change[0], change[1], 1); bounded(unit) == nil {
			t.Errorf("%q for %q is taken", change[1], change[0])
		}
	}
}

// The units of the recipes, and one that confines nothing.
func TestUnitExposure(t *testing.T) {
	if _, err := os.Stat(analyze); err != nil {
		t.Skip("systemd-analyze is not on this machine")
	}
	for _, name := range Components() {
		unit, err := os.ReadFile(filepath.Join("../../../recipes", name, name+".service"))
		if err != nil {
			t.Fatal(err)
		}
		if seen, err := unitExposure(t.Context(), unitBench(t, name, string(unit))); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !strings.Contains(seen, "exposure of ") {
			t.Errorf("%s: %s", name, seen)
		}
	}
	_, err := unitExposure(t.Context(), unitBench(t, "pushgateway", "[Service]\nExecStart=/bin/true\nRestart=always\nMemoryMax=1G\nTasksMax=9\n"))
	if err == nil || !strings.Contains(err.Error(), "more than 2.0") {
		t.Errorf("a unit that confines nothing: %v", err)
	}
	b := unitBench(t, "pushgateway", "")
	b.Component = "prometheus"
	if _, err := unitExposure(t.Context(), b); !strings.Contains(err.Error(), "no prometheus.service") {
		t.Error(err)
	}
}

// unitBench is a bench with an archive that holds a unit.
func unitBench(t *testing.T, component, unit string) *bench {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "archive.zip")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	w, err := z.Create(component + "-1.0/" + component + ".service")
	if err == nil {
		_, err = w.Write([]byte(unit))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Subject: Subject{Component: component}, Settings: Settings{Archive: archive}, dir: t.TempDir()}
}

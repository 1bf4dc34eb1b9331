package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/release"
)

var ofNothing = artifact.DigestBytes(nil)

// told are digests of these, all the same.
func told(keys ...string) handover.Digests {
	all := handover.Digests{}
	for _, key := range keys {
		all[key] = ofNothing
	}
	return all
}

// A step is told of each file that it takes, and of nothing that it cannot take.
func TestKnowsKeys(t *testing.T) {
	one := handover.Shard{Number: 1, Of: 2}
	for _, tt := range []struct {
		step  string
		shard handover.Shard
		keys  string
		says  string
	}{
		{handover.Build, one, "plan", ""},
		{handover.Build, one, "plan build_1", "name build_1, and release:build 1/2 takes nothing of that name"},
		{handover.Audit, one, "plan build_1", ""},
		{handover.Audit, one, "plan build_1 build_2", ""},
		{handover.Audit, one, "plan build_2", "lack build_1"},
		{handover.Audit, one, "plan build_1 build_3", "name build_3"},
		{handover.Audit, one, "plan build_1 audit_1", "name audit_1"},
		{handover.Assemble, handover.Shard{}, "plan build_1 build_2 audit_1 audit_2", ""},
		{handover.Assemble, handover.Shard{}, "plan build_1 build_2 audit_1", "lack audit_2"},
		{handover.Assemble, handover.Shard{}, "plan build_1 audit_1 audit_2", "lack build_2"},
		{handover.Assemble, handover.Shard{}, "plan build build_1 build_2 audit_1 audit_2", "name build,"},
		{handover.Sign, handover.Shard{}, "plan assemble", ""},
		{handover.Sign, handover.Shard{}, "plan", "lack assemble"},
		{handover.Sign, handover.Shard{}, "plan assemble build_1", "name build_1"},
		{handover.Publish, handover.Shard{}, "plan sign", ""},
		{handover.Publish, handover.Shard{}, "plan sign plans", "name plans"},
	} {
		s := &step{name: tt.step, shard: tt.shard, plan: release.Plan{Shards: 2}, digests: told(strings.Fields(tt.keys)...)}
		err := s.knowsKeys()
		if (err == nil) != (tt.says == "") || err != nil && (!errors.Is(err, config.ErrUsage) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s told %s: %v, want %s", s, tt.keys, err, tt.says)
		}
	}
	if err := (&step{name: handover.Build}).knowsKeys(); err != nil {
		t.Errorf("told nothing: %v", err)
	}
}

// What is told is taken by its name, and another file is not, whatever it is called;
// what lies beside it does not matter.
func TestToldInputs(t *testing.T) {
	plan := artifact.DigestBytes([]byte("a plan"))
	tool := ofNothing.String()
	out := t.TempDir()
	put := func(name, member string, h handover.Header) artifact.Digest {
		t.Helper()
		work := folderWith(t, member)
		h.Plan, h.Commit, h.Tool = plan, strings.Repeat("ab", 20), tool
		var err error
		if h.Files, err = handover.Files(t.Context(), work, handover.All); err != nil {
			t.Fatal(err)
		}
		d, err := handover.Write(t.Context(), filepath.Join(out, name), h, work)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	one, two := handover.Shard{Number: 1, Of: 2}, handover.Shard{Number: 2, Of: 2}
	a := put("build-1-of-2.tar", "dist/a", handover.Header{Step: handover.Build, Shard: one})
	b := put("build-2-of-2.tar", "dist/b", handover.Header{Step: handover.Build, Shard: two})
	put("build-2-again.tar", "dist/c", handover.Header{Step: handover.Build, Shard: two})
	open := func(digests handover.Digests) (int, error) {
		s := &step{
			name: handover.Assemble, config: &config.Config{}, digest: plan, digests: digests, request: StepRequest{From: out},
			plan: release.Plan{Shards: 2, Commit: strings.Repeat("ab", 20), Tool: tool},
		}
		files, err := s.inputs(t.Context(), handover.Build)
		closeAll(files)
		return len(files), err
	}
	if n, err := open(handover.Digests{"build_1": a, "build_2": b}); n != 2 || err != nil {
		t.Errorf("%d files, %v", n, err)
	}
	if n, err := open(nil); n != 3 || err != nil {
		t.Errorf("told nothing: %d files, %v", n, err)
	}
	if _, err := open(handover.Digests{"build_1": b, "build_2": a}); !errors.Is(err, handover.ErrDigest) {
		t.Errorf("each that of the other: %v", err)
	}
	evil := put("build-2-of-2.tar", "dist/evil", handover.Header{Step: handover.Build, Shard: two})
	if _, err := open(handover.Digests{"build_1": a, "build_2": b, "audit_1": evil}); !errors.Is(err, handover.ErrDigest) {
		t.Errorf("what another step said that it made: %v", err)
	}
	if err := os.Remove(filepath.Join(out, "build-2-of-2.tar")); err != nil {
		t.Fatal(err)
	}
	if _, err := open(handover.Digests{"build_1": a, "build_2": b}); !errors.Is(err, handover.ErrDigest) || !strings.Contains(err.Error(), "there is no") {
		t.Errorf("one is not there: %v", err)
	}
}

// What lies there as the step's own work is that on one machine alone.
func TestDone(t *testing.T) {
	s := &step{name: handover.Assemble, config: &config.Config{Release: t.TempDir()}, digest: ofNothing, plan: release.Plan{Commit: strings.Repeat("ab", 20), Tool: ofNothing.String()}}
	if err := s.hand(t.Context(), s.header(), folderWith(t, "dist/x"), handover.All); err != nil {
		t.Fatal(err)
	}
	if done, err := s.done(t.Context(), s.header()); !done || err != nil {
		t.Errorf("on one machine: %t, %v", done, err)
	}
	s.digests = told("plan")
	if done, err := s.done(t.Context(), s.header()); done || err != nil {
		t.Errorf("told digests: %t, %v", done, err)
	}
}

// A snapshot of the database that lies in the folder of work is not looked into.
func TestPlantedDatabase(t *testing.T) {
	work := folderWith(t, handedDatabase+"/index/db.json", handedDatabase+"/index/asked.json", handedDatabase+"/index/modules.json")
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade", Artifacts: []artifact.Record{{
		Name: "pushgateway-1.tar.gz", Size: 1, Digest: ofNothing, Recipe: ofNothing, Component: "pushgateway", Version: "1.0.0", UpstreamVersion: "1.0.0", Variant: "hardened",
		Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Source: artifact.Module{Path: "x", Version: "v1.0.0", Sum: "h1:x="},
	}}}
	data, err := m.Encode()
	if err == nil {
		err = errors.Join(work.Mkdir(handedDist, 0o755), work.WriteFile(handedDist+"/release.json", data, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &step{config: &config.Config{Root: filepath.Join("..", "..", ".."), Cache: t.TempDir()}}
	err = s.lookForVulnerabilities(t.Context(), work, filepath.Join(t.TempDir(), "none"))
	if err == nil || !strings.Contains(err.Error(), "reading the vulnerability database") {
		t.Errorf("it looked for none: %v", err)
	}
	if _, err := work.Stat(handedDatabase); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was planted is there: %v", err)
	}
}

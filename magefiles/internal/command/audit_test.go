package command

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/store"
)

// built1 is a directory of results with a node_exporter that is no program.
func built1(t *testing.T) *config.Config {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Root: root, Dist: t.TempDir(), Host: artifact.Platform{OS: "linux", Arch: "amd64"}}
	const name = "node_exporter-1.0-palisade.1.linux-amd64.tar.gz"
	digest := artifact.DigestBytes([]byte("binary"))
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade", Artifacts: []artifact.Record{{
		Name: name, Digest: artifact.DigestBytes([]byte("archive")), Component: "node_exporter", Platform: cfg.Host, Variant: "hardened",
		Recipe: digest, Source: artifact.Module{Path: "p", Version: "v", Sum: "s"}, Binaries: []artifact.Binary{{Name: "node_exporter", Digest: digest}},
	}}}
	index, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(cfg.Dist, "bin", "linux-amd64", "hardened")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string]string{filepath.Join(cfg.Dist, "release.json"): string(index), filepath.Join(cfg.Dist, name): "archive", filepath.Join(bin, "node_exporter"): "binary"} {
		if err := os.WriteFile(file, []byte(data), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func TestSubjects(t *testing.T) {
	cfg := built1(t)
	all, err := subjects(cfg, AuditRequest{Component: "node_exporter"})
	if err != nil || len(all) != 1 || all[0].Variant != "hardened" || all[0].Record == nil || filepath.Base(all[0].Binary) != "node_exporter" {
		t.Fatalf("%+v, %v", all, err)
	}
	if got, want := resultFile(cfg, AuditRequest{}, all[0]), filepath.Join(cfg.Dist, "node_exporter-1.0-palisade.1.linux-amd64.tar.gz.test-result.json"); got != want {
		t.Errorf("the result goes to %s, not %s", got, want)
	}
	// A copy of what was built is known by its digest.
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(copied, []byte("binary"), 0o755); err != nil {
		t.Fatal(err)
	}
	req := AuditRequest{Path: copied, Component: "node_exporter"}
	if all, err = subjects(cfg, req); err != nil || all[0].Record == nil || all[0].Variant != "hardened" || resultFile(cfg, req, all[0]) != "" {
		t.Errorf("%+v, %v", all, err)
	}
	for _, tt := range []struct {
		req    AuditRequest
		status int
		want   string
	}{
		{AuditRequest{Component: "node_exporter,prometheus"}, 1, "prometheus linux/amd64 hardened is not built: run mage build -component=prometheus -variant=hardened"},
		{AuditRequest{Component: "node_exporter", Variant: "vanilla"}, 1, "run mage build -component=node_exporter -variant=vanilla"},
		{AuditRequest{Component: "promethus"}, 2, "there are: "},
		{AuditRequest{Path: copied, Variant: "vanilla"}, 2, "leave one out"},
		{AuditRequest{Path: copied + ".gone"}, 2, "no such file"},
		{AuditRequest{Path: copied}, 1, "name it with -component"},
	} {
		if _, err := subjects(cfg, tt.req); err == nil || status(outcome(err)) != tt.status || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q with status %d", tt.req, err, tt.want, tt.status)
		}
	}
	for _, file := range []string{"bin/linux-amd64/hardened/node_exporter", "node_exporter-1.0-palisade.1.linux-amd64.tar.gz"} {
		cfg := built1(t)
		if err := os.WriteFile(filepath.Join(cfg.Dist, file), []byte("another"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := subjects(cfg, AuditRequest{Component: "node_exporter"}); err == nil || status(err) != 3 || !strings.Contains(err.Error(), "is not what was built") {
			t.Errorf("%s is another: %v", file, err)
		}
	}
}

func TestAuditUsage(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	t.Setenv("PALISADE_CACHE", t.TempDir())
	t.Setenv("PALISADE_DIST", t.TempDir())
	t.Setenv("GOSUMDB", "")
	if err := Audit(t.Context(), AuditRequest{Component: "promethus"}); status(err) != 2 {
		t.Errorf("got %v with status %d", err, status(err))
	}
	if err := Audit(t.Context(), AuditRequest{}); status(err) != 1 || !strings.Contains(err.Error(), "is not built: run mage build") {
		t.Errorf("nothing built: got %v with status %d", err, status(err))
	}
}

// A program that keeps no promise is refused, with a line for every check and
// a result that says FAILED.
func TestAuditRefuses(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	t.Setenv("PALISADE_CACHE", t.TempDir())
	t.Setenv("PALISADE_DIST", t.TempDir())
	t.Setenv("GOSUMDB", "")
	dir := t.TempDir()
	program, out := filepath.Join(dir, "program"), filepath.Join(dir, "result.json")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n[ \"$1\" = --help ]\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := said(t, func() error {
		return Audit(t.Context(), AuditRequest{Path: program, Component: "node_exporter", Out: out})
	})
	if status(err) != 3 || !strings.Contains(text, "node_exporter web.no-plaintext ") || !strings.Contains(text, " 0 passed, ") || strings.Contains(text, "PASS") {
		t.Errorf("%v with status %d\n%s", err, status(err), text)
	}
	result, err := os.ReadFile(out)
	if err != nil || !bytes.Contains(result, []byte(`"result": "FAILED"`)) {
		t.Errorf("%v\n%s", err, result)
	}
}

// A result takes the signature of the former one away, and is not put there
// while somebody signs.
func TestPutBeside(t *testing.T) {
	cfg := &config.Config{Dist: t.TempDir()}
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(cfg.Dist, "a.tar.gz.test-result.json")
	for _, name := range []string{out, dist.Bundle(out)} {
		if err := os.WriteFile(name, []byte("former"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	unlock, err := dist.Lock(t.Context(), s, cfg.Dist)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = putBeside(ctx, cfg, s, out, []byte("new"))
	if text, _ := os.ReadFile(out); !errors.Is(err, context.Canceled) || string(text) != "former" {
		t.Errorf("while somebody signs: %v, and there is %q", err, text)
	}
	if _, err := os.Stat(dist.Bundle(out)); err != nil {
		t.Error(err)
	}
	unlock()
	if err := putBeside(t.Context(), cfg, s, out, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(out); err != nil || string(text) != "new" {
		t.Errorf("there is %q, %v", text, err)
	}
	if _, err := os.Stat(dist.Bundle(out)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the former signature: %v", err)
	}
}

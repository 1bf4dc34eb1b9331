package command

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/vuln"
)

func TestVulnOnly(t *testing.T) {
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade"}
	for _, name := range []string{"bell hardened amd64", "bell vanilla amd64", "bell hardened arm64", "clock hardened amd64"} {
		f := strings.Fields(name)
		m.Artifacts = append(m.Artifacts, artifact.Record{
			Name: name, Digest: artifact.DigestBytes(nil), Recipe: artifact.DigestBytes(nil), Component: f[0], Variant: f[1], Platform: artifact.Platform{OS: "linux", Arch: f[2]}, Source: artifact.Module{Sum: "s"},
		})
	}
	m.Sort()
	index, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "release.json"), index, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		req  VulnRequest
		want []string // nil: wrong usage
	}{
		{VulnRequest{}, []string{"bell hardened amd64", "bell hardened arm64", "bell vanilla amd64", "clock hardened amd64"}},
		{VulnRequest{Component: "clock"}, []string{"clock hardened amd64"}},
		{VulnRequest{Component: "clock,bell", Variant: "vanilla"}, []string{"bell vanilla amd64"}},
		{VulnRequest{Platform: "linux/arm64"}, []string{"bell hardened arm64"}},
		{VulnRequest{Component: "gong"}, nil},
		{VulnRequest{Component: "bell,"}, nil},
		{VulnRequest{Platform: "linux/arm64", Variant: "fips"}, nil},
	} {
		only, err := tt.req.only(dir)
		if tt.want == nil {
			if !errors.Is(err, config.ErrUsage) || !strings.Contains(err.Error(), "there are: ") {
				t.Errorf("%+v: %v", tt.req, err)
			}
			continue
		}
		var got []string
		for _, r := range m.Artifacts {
			if only == nil || only(r) {
				got = append(got, r.Name)
			}
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q, %v", tt.req, got, err)
		}
	}
}

func TestNewVulnRequest(t *testing.T) {
	text := func(s string) *string { return &s }
	yes := true
	req, err := NewVulnRequest(text("bell"), nil, nil, nil, text("/db"), text("json"), &yes)
	if want := (VulnRequest{Component: "bell", Database: "/db", Output: "json", Write: true}); err != nil || req != want {
		t.Errorf("%+v, %v", req, err)
	}
	if _, err := NewVulnRequest(nil, nil, nil, nil, text(""), nil, nil); !errors.Is(err, config.ErrUsage) {
		t.Errorf("an empty flag: %v", err)
	}
}

func TestJudgeVuln(t *testing.T) {
	report := vuln.Report{Archives: []vuln.Archive{{
		Name:     "a.tar.gz",
		Findings: []vuln.Finding{{ID: "GO-2026-9001", Aliases: []string{"CVE-2026-1"}, Module: "stdlib", Version: "1.26.8", Level: vuln.Reachable}},
		Verdicts: []vuln.Verdict{{Status: "affected", Note: "wait", Open: true}},
	}}}
	var refused failure
	if err := judgeVuln(report); !errors.Is(err, ErrVulnerable) || !errors.As(err, &refused) || refused.Status() != 3 {
		t.Errorf("got %v", err)
	}
	if got, want := vulnRows(report)[0], []string{"a.tar.gz", "GO-2026-9001 (CVE-2026-1)", "stdlib 1.26.8", "none yet", "reachable", "affected", "wait"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	report.Archives[0].Verdicts[0].Open = false
	if err := judgeVuln(report); err != nil {
		t.Error(err)
	}
	if err := refusedVuln(vuln.ErrExpired); !errors.As(err, &refused) || refused.Status() != 3 {
		t.Errorf("an answer out of date: %v", err)
	}
}

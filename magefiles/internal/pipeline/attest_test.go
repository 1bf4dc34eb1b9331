package pipeline

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/store"
)

// described1 is a record as the stage before leaves it.
func described1(t *testing.T) artifact.Record {
	t.Helper()
	h1, err := intoto.H1(artifact.DigestBytes(nil).Hex())
	if err != nil {
		t.Fatal(err)
	}
	bell := artifact.Module{Path: "example.org/bell", Version: "v1.0.0", Sum: h1}
	return artifact.Record{
		Name: "bell-1.0.0-vanilla.linux-amd64.tar.gz", Digest: artifact.DigestBytes([]byte("archive")), Component: "bell", Version: "1.0.0-vanilla", UpstreamVersion: "1.0.0",
		Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Variant: "vanilla", Recipe: artifact.DigestBytes([]byte("recipe")), Epoch: 1700000000, Source: bell,
		Toolchains: []artifact.Tool{{Name: "go", Version: "1.26.8", Package: "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", Hash: h1}},
		Build:      artifact.Invocation{Args: []string{"go", "build"}, Sandbox: artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}}},
		Binaries:   []artifact.Binary{{Name: "bell", Digest: artifact.DigestBytes([]byte("bell")), Main: bell}},
		Members:    []artifact.File{{Name: "bell/bell", Digest: artifact.DigestBytes([]byte("bell"))}},
	}
}

// attested is what a run of its own keeps under a key, and says of its record.
func attested(t *testing.T, p *Pipeline, key store.Key) (provenance.Provenance, []byte) {
	t.Helper()
	begun := time.Now()
	seen, err := p.witness.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	clock := &stopwatch{show: func(string) {}}
	clock.begin("attesting")
	rec, entry, err := p.attest(t.Context(), key, described1(t), seen, begun, clock)
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.Timing) != 1 {
		t.Errorf("timing is %v", rec.Timing)
	}
	data, err := os.ReadFile(filepath.Join(entry.Dir, dist.Provenance(rec)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := intoto.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	said, err := provenance.Parse(s)
	if err == nil {
		err = said.Check(rec)
	}
	if err != nil {
		t.Fatal(err)
	}
	return said, data
}

// Two runs say the same of an artifact but for what is particular to a run;
// one that has nothing to do says what the former one said, to the byte.
func TestAttest(t *testing.T) {
	p, key := open(t), store.NewKey("test-1", "a")
	said, data := attested(t, p, key)
	b := said.RunDetails.Builder
	if b.ID != "https://palisade.example/builders/workstation/v1" || b.Version["go"] == "" || b.Version["palisade"] == "" || len(b.Dependencies) != 1 {
		t.Errorf("built by %+v", b)
	}
	if said.BuildDefinition.ExternalParameters.Distribution != p.plan.settings || said.BuildDefinition.InternalParameters.Cache != provenance.Shared {
		t.Errorf("got %+v", said.BuildDefinition)
	}
	if id := said.RunDetails.Metadata.InvocationID; !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("invocation %s", id)
	}
	if _, again := attested(t, p, key); !bytes.Equal(data, again) {
		t.Error("what was kept changed")
	}
	q := open(t)
	q.Config.Run = "https://ci.example/runs/7"
	other, otherData := attested(t, q, key)
	if fields := said.Differs(other); len(fields) > 0 || bytes.Equal(data, otherData) || other.RunDetails.Metadata.InvocationID != q.Config.Run {
		t.Errorf("%q differ; the other run is %s", fields, other.RunDetails.Metadata.InvocationID)
	}
}

// Provenance says that the caches were fresh of what the run found empty, and of
// what a former process of the same run left, and never again once another wrote
// there.
func TestAttestFresh(t *testing.T) {
	cfg := here(t)
	of := func(run string) func(*Plan) { return func(p *Plan) { p.Run = artifact.DigestBytes([]byte(run)) } }
	cache := func(key string, change ...func(*Plan)) provenance.Cache {
		t.Helper()
		said, _ := attested(t, openWith(t, cfg, change...), store.NewKey("test-1", key))
		return said.BuildDefinition.InternalParameters.Cache
	}
	for i, want := range []provenance.Cache{provenance.Fresh, provenance.Fresh} {
		if got := cache(strconv.Itoa(i), of("a release")); got != want {
			t.Errorf("process %d of the run: %s", i, got)
		}
	}
	if got := cache("2"); got != provenance.Shared {
		t.Errorf("without a run: %s", got)
	}
	if got := cache("3", of("a release")); got != provenance.Shared {
		t.Errorf("after others: %s", got)
	}
}

// What the checkout is, provenance says.
func TestAttestCheckout(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("there is no git command")
	}
	cfg := edited(t, here(t), "recipes/distribution.yaml", "", "")
	cfg.Git = git
	do := func(args ...string) {
		t.Helper()
		cmd := exec.Command(git, append([]string{"-C", cfg.Root, "-c", "user.name=A", "-c", "user.email=a@example.test"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(cfg.Root, "go.mod"), []byte("module palisade\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	do("init", "-q")
	do("add", ".")
	do("commit", "-q", "-m", "one")
	do("remote", "add", "origin", "https://user@code.example/palisade")
	clean, _ := attested(t, openWith(t, cfg), store.NewKey("test-1", "a"))
	repository, ok := clean.Repository()
	if !ok || !repository.Clean || len(repository.Commit) != 40 || repository.URI != "git+https://code.example/palisade" {
		t.Errorf("got %+v", repository)
	}
	tool := clean.RunDetails.Builder.Dependencies[0]
	if tool.Name != "palisade@"+repository.Commit || tool.URI != "pkg:golang/"+tool.Name || tool.Digest["dirHash"] == "" || clean.RunDetails.Builder.Version["palisade"] != repository.Commit {
		t.Errorf("got %+v", tool)
	}
	if err := os.WriteFile(filepath.Join(cfg.Root, "go.sum"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	changed, _ := attested(t, openWith(t, cfg), store.NewKey("test-1", "b"))
	if r, ok := changed.Repository(); !ok || r.Clean || r.Commit != repository.Commit || changed.RunDetails.Builder.Dependencies[0].Name != "palisade@devel" {
		t.Errorf("got %+v, %+v", r, changed.RunDetails.Builder)
	}
	cfg.Git = ""
	unknown, _ := attested(t, openWith(t, cfg), store.NewKey("test-1", "c"))
	if r, ok := unknown.Repository(); ok {
		t.Errorf("got %+v", r)
	}
}

// Where the checkout is not the tool's own, the tool is its program.
func TestBuilderElsewhere(t *testing.T) {
	p := open(t)
	b := Builder("https://house.example.test", checkout.State{}, p.tool)
	if b.ID != "https://house.example.test/builders/workstation/v1" {
		t.Errorf("got %s", b.ID)
	}
	if len(b.Dependencies) != 1 || b.Dependencies[0].Digest["sha256"] != p.tool.Hex() || b.Dependencies[0].URI != "" || b.Version["palisade"] != p.tool.String() {
		t.Errorf("got %+v", b)
	}
	var ids []string
	for range 8 {
		ids = append(ids, Invocation(p.Config))
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 8 {
		t.Errorf("twice: %q", ids)
	}
	if run := Invocation(&config.Config{Run: "https://ci.example.test/7"}); run != "https://ci.example.test/7" {
		t.Errorf("got %s", run)
	}
}

package resultcache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/ocilayout"
	"palisade/attestations/policy"
	"palisade/attestations/signing"
	"palisade/attestations/step"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/store"
)

// flipped is data with one bit in the middle changed.
func flipped(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)/2] ^= 1
	return data
}

// sends answers a request for the blob with something else.
func sends(of string, status int, body string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		path := "/blobs/" + artifact.DigestBytes([]byte(of)).String()
		w.breaks(func(rw http.ResponseWriter, q *http.Request) bool {
			if q.Method != http.MethodGet || !strings.HasSuffix(q.URL.Path, path) {
				return false
			}
			rw.WriteHeader(status)
			_ = http.NewResponseController(rw).Flush() // so that no length is said
			_, _ = io.WriteString(rw, body)
			return true
		})
	}
}

// endless answers a request for the blob with more than anybody should read.
func endless(of string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		path := "/blobs/" + artifact.DigestBytes([]byte(of)).String()
		w.breaks(func(rw http.ResponseWriter, q *http.Request) bool {
			if q.Method != http.MethodGet || !strings.HasSuffix(q.URL.Path, path) {
				return false
			}
			chunk := bytes.Repeat([]byte(of), 10_000)
			for sent := 0; ; sent += len(chunk) {
				if _, err := rw.Write(chunk); err != nil {
					return true
				}
				if sent > 128<<20 {
					t.Error("it is read as long as it is sent")
					return true
				}
			}
		})
	}
}

// edits puts a manifest that was edited under the tag.
func edits(change func(*manifest)) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		e := w.entry(t, w.key)
		e.publish(t, w, long)
		w.put(t, []byte("another beacon"))
		change(&e.Manifest)
		e.tag(t, w, long, string(must(json.Marshal(e.Manifest))(t)))
	}
}

// signs puts an entry there that somebody who is believed has signed, as he would
// not.
func signs(change func(*step.Step)) func(*testing.T, *world) {
	return func(t *testing.T, w *world) { w.entry(t, w.key, change).publish(t, w, long) }
}

// Whatever somebody puts into the registry is refused, for its own reason, in one
// line; and what the build gets is what it makes itself.
func TestPoison(t *testing.T) {
	other := store.NewKey("compile-2", "bye")
	type row struct {
		name   string
		poison func(*testing.T, *world) // after a good entry was put there
		want   error
	}
	// What is refused for its bundle or its manifest, before anything else is read,
	// and what is refused for what was read then.
	early := []row{
		// Who signed.
		{"a stranger's bundle", func(t *testing.T, w *world) { w.entry(t, newKey(t)).publish(t, w, long) }, bundle.ErrWrongKey},
		{"a signature that was changed", func(t *testing.T, w *world) {
			e := w.entry(t, w.key)
			var b map[string]any
			if err := json.Unmarshal(e.Signed, &b); err != nil {
				t.Fatal(err)
			}
			theirs := w.entry(t, newKey(t))
			var c map[string]any
			if err := json.Unmarshal(theirs.Signed, &c); err != nil {
				t.Fatal(err)
			}
			b["dsseEnvelope"] = c["dsseEnvelope"] // by another, in the name of who is believed
			e.Signed = must(json.Marshal(b))(t)
			e.Manifest.Layers[0] = describe(bundle.MediaType, e.Signed)
			e.publish(t, w, long)
		}, bundle.ErrSignature},
		{"the signature of a file", func(t *testing.T, w *world) {
			e := w.entry(t, w.key)
			content := must(signing.File(artifact.DigestBytes(e.Value)))(t)
			e.Signed = must(must(signing.WithKey(w.key))(t).Sign(t.Context(), content))(t)
			e.Manifest.Layers[0] = describe(bundle.MediaType, e.Signed)
			e.publish(t, w, long)
		}, bundle.ErrNotAttestation},
		{"a statement of another kind", func(t *testing.T, w *world) {
			e := w.entry(t, w.key)
			text := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1","subject":[{"digest":{"sha256":%q}}],"predicate":{}}`, artifact.DigestBytes(e.Value).Hex())
			e.Signed = must(must(signing.WithKey(w.key))(t).Sign(t.Context(), signing.Statement([]byte(text))))(t)
			e.Manifest.Layers[0] = describe(bundle.MediaType, e.Signed)
			e.publish(t, w, long)
		}, step.ErrPredicateType},
		{"no bundle", func(t *testing.T, w *world) {
			e := w.entry(t, w.key)
			e.Signed = []byte(`{"mediaType":"` + bundle.MediaType + `"}`)
			e.Manifest.Layers[0] = describe(bundle.MediaType, e.Signed)
			e.publish(t, w, long)
		}, bundle.ErrMalformed},
		{"another builder", signs(func(s *step.Step) { s.Builder.ID += "0" }), policy.ErrBuilder},

		// Of what.
		{"another key's entry", func(t *testing.T, w *world) {
			w.entryOf(t, other, must(signing.WithKey(w.key))(t)).publish(t, w, long)
		}, step.ErrOther},
		{"another step's entry", signs(func(s *step.Step) { s.Name = "compile-1" }), step.ErrOther},
		{"other inputs", signs(func(s *step.Step) { s.Inputs = artifact.DigestBytes([]byte("others")) }), step.ErrOther},

		// What is signed.
		{"a file out of its place", signs(func(s *step.Step) { s.Files[0].Name = "../../../beacon" }), step.ErrStep},
		{"a file at the root", signs(func(s *step.Step) { s.Files[0].Name = "/tmp/beacon" }), step.ErrStep},
		{"a file in a file", signs(func(s *step.Step) { s.Files[1].Name = "beacon/x" }), step.ErrStep},
		{"a mode that runs as its owner", signs(func(s *step.Step) { s.Files[0].Mode = "4755" }), step.ErrStep},
		{"a file that is too large", signs(func(s *step.Step) { s.Files[0].Size = step.MaxFile + 1 }), step.ErrStep},
		{"a value that is too large", signs(func(s *step.Step) { s.Value.Size = step.MaxValue + 1 }), step.ErrStep},

		// The manifest.
		{"a layer more", edits(func(m *manifest) { m.Layers = append(m.Layers, describe(fileType, []byte("another beacon"))) }), ErrForm},
		{"a layer less", edits(func(m *manifest) { m.Layers = m.Layers[:len(m.Layers)-1] }), ErrForm},
		{"another file", edits(func(m *manifest) { m.Layers[2] = describe(fileType, []byte("another beacon")) }), ErrForm},
		{"files swapped", edits(func(m *manifest) { m.Layers[2], m.Layers[3] = m.Layers[3], m.Layers[2] }), ErrForm},
		{"a file of another length", edits(func(m *manifest) { m.Layers[2].Size++ }), ErrForm},
		{"another configuration", edits(func(m *manifest) { m.Config = describe(ocilayout.ConfigType, []byte("another beacon")) }), ErrForm},
		{"another kind of artifact", edits(func(m *manifest) { m.ArtifactType = "application/x" }), ErrForm},
		{"no layers", edits(func(m *manifest) { m.Layers = []descriptor{} }), ErrForm},
		{"a bundle in another place", edits(func(m *manifest) { m.Layers[0], m.Layers[1] = m.Layers[1], m.Layers[0] }), ErrForm},
		{"a giant bundle", edits(func(m *manifest) { m.Layers[0].Size = 1 << 50 }), ErrForm},
		{"a bundle of another length", edits(func(m *manifest) { m.Layers[0].Size-- }), registry.ErrDigest},
		{"an annotation", func(t *testing.T, w *world) {
			e := w.entry(t, w.key)
			e.publish(t, w, long)
			e.tag(t, w, long, strings.TrimSuffix(string(must(json.Marshal(e.Manifest))(t)), "}")+`,"annotations":{}}`)
		}, ErrForm},
		{"a space", func(t *testing.T, w *world) {
			e := w.entry(t, w.key)
			e.publish(t, w, long)
			e.tag(t, w, long, string(must(json.Marshal(e.Manifest))(t))+" ")
		}, ErrForm},
		{"no JSON", func(t *testing.T, w *world) { w.entry(t, w.key).tag(t, w, long, "{") }, registry.ErrAnswer},
		{"a giant manifest", func(t *testing.T, w *world) {
			w.breaks(func(rw http.ResponseWriter, q *http.Request) bool {
				if !strings.Contains(q.URL.Path, "/manifests/") {
					return false
				}
				rw.Header().Set("Content-Type", ocilayout.ManifestType)
				_, _ = rw.Write(bytes.Repeat([]byte(" "), ocilayout.MaxDocument+1))
				return true
			})
		}, registry.ErrTooLarge},
		{"an image of several platforms", func(t *testing.T, w *world) {
			_, _, tag, _ := parts(long)
			w.does(t, "PUT", "manifests/"+tag, ocilayout.IndexType, `{"schemaVersion":2,"mediaType":"`+ocilayout.IndexType+`","manifests":[]}`)
		}, ErrForm},

		// The bundle.
		{"a byte of the bundle", func(t *testing.T, w *world) {
			e := w.entry(t, w.key)
			e.publish(t, w, long)
			sends(string(e.Signed), 200, string(flipped(e.Signed)))(t, w)
		}, registry.ErrDigest},
		{"no bundle there", func(t *testing.T, w *world) {
			e := w.entry(t, w.key)
			e.publish(t, w, long)
			sends(string(e.Signed), 404, "")(t, w)
		}, ocilayout.ErrMissing},
	}
	late := []row{
		{"a byte of a file", sends("the beacon", 200, string(flipped([]byte("the beacon")))), registry.ErrDigest},
		{"a file with more behind it", sends("the beacon", 200, "the beacon, and more"), registry.ErrDigest},
		{"a file that does not end", endless("the beacon"), registry.ErrDigest},
		{"half a file", sends("the beacon", 200, "the be"), registry.ErrDigest},
		{"no file", sends("the beacon", 404, ""), ocilayout.ErrMissing},
		{"a byte of the value", sends(string(said), 200, string(flipped(said))), registry.ErrDigest},
		{"no value", sends(string(said), 404, ""), ocilayout.ErrMissing},
	}
	for i, tt := range slices.Concat(early, late) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.entry(t, w.key).publish(t, w, long)
			if m := w.machine(t); !m.do(t, long) {
				t.Fatalf("what is good is refused: %q", m.notes)
			}
			tt.poison(t, w)
			w.forget()
			m := w.machine(t, func(o *Options) { o.Signer = nil })
			if m.do(t, long) || m.made != 1 {
				t.Error("it was taken")
			}
			read := w.count("/blobs/" + artifact.DigestBytes(said).String())
			for _, content := range leaves {
				read += w.count("/blobs/" + artifact.DigestBytes([]byte(content)).String())
			}
			if before := i < len(early); before && read > 0 || !before && read == 0 || before && w.count("/blobs/") > 1 {
				t.Errorf("asked %q", w.asked)
			}
			if len(m.notes) != 1 || !strings.HasPrefix(m.notes[0], "REFUSED from cache "+w.address+": compile-2-") || strings.Contains(m.notes[0], "\n") {
				t.Fatalf("%q", m.notes)
			}
			if !errors.Is(m.errs[0], tt.want) {
				t.Errorf("%v, want %v", m.errs[0], tt.want)
			}
			if got := m.cache.Wait(t.Context()); got != (Tally{Refused: 1}) {
				t.Errorf("%+v", got)
			}
			if taken, err := m.store.Taken(); err != nil || taken {
				t.Errorf("taken %v, %v", taken, err)
			}
			// One that is refused is replaced by whoever has a key.
			w.breaks(nil)
			if m := w.machine(t); !m.do(t, long) && m.cache.Wait(t.Context()).Sent != 1 {
				t.Errorf("%q", m.notes)
			}
			if m := w.machine(t); !m.do(t, long) {
				t.Errorf("it was not replaced: %q", m.notes)
			}
		})
	}
}

// stamping signs with a key, and has an authority say when.
type stamping struct {
	key     signing.Key
	virtual *ca.VirtualSigstore
}

func (s stamping) Identity() string { return "a key" }

func (s stamping) Sign(ctx context.Context, content signing.Content) ([]byte, error) {
	id, err := bundle.KeyID(s.key.Public())
	if err != nil {
		return nil, err
	}
	pb, err := signing.Make(ctx, content, s.key, &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: id}},
	})
	if err != nil {
		return nil, err
	}
	response, err := s.virtual.TimestampResponse(pb.GetDsseEnvelope().GetSignatures()[0].GetSig())
	if err != nil {
		return nil, err
	}
	pb.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{
		Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: response}},
	}
	return signing.Marshal(pb)
}

// The policy's time rules hold for entries as for releases.
func TestAge(t *testing.T) {
	text := string(must(os.ReadFile("../../../attestations/policies/workstation.yaml"))(t))
	for _, edit := range [][2]string{{"timestamp: not-required", "timestamp: required"}, {"maximum-age: unlimited", "maximum-age: 24h"}} {
		if !strings.Contains(text, edit[0]) {
			t.Fatalf("the policy has no %q", edit[0])
		}
		text = strings.Replace(text, edit[0], edit[1], 1)
	}
	virtual := must(ca.NewVirtualSigstore())(t)
	trusted := must(root.NewTrustedRoot(root.TrustedRootMediaType01, nil, nil, virtual.TimestampingAuthorities(), nil))(t)
	w := newWorld(t)
	w.policy = must(policy.Parse([]byte(text)))(t)
	w.trust.Root = must(bundle.ParseRoot(must(trusted.MarshalJSON())(t)))(t)
	signer := stamping{w.key, virtual}

	// Without a timestamp nothing is handed on, nor taken.
	m := w.machine(t)
	if m.do(t, long); len(m.errs) != 1 || !errors.Is(m.errs[0], bundle.ErrNoTimestamp) || w.count("PUT") > 0 {
		t.Errorf("%q", m.notes)
	}
	w.entry(t, w.key).publish(t, w, long)
	m = w.machine(t, func(o *Options) { o.Signer = nil })
	if m.do(t, long) || len(m.errs) != 1 || !errors.Is(m.errs[0], bundle.ErrNoTimestamp) {
		t.Errorf("%q", m.notes)
	}
	// With one it is, for a day.
	stamped := func(o *Options) { o.Signer = signer }
	if m := w.machine(t, stamped); m.do(t, long) || m.cache.Wait(t.Context()).Sent != 1 {
		t.Errorf("%q", m.notes)
	}
	if m := w.machine(t, stamped); !m.do(t, long) {
		t.Errorf("%q", m.notes)
	}
	for later, want := range map[time.Duration]error{48 * time.Hour: policy.ErrTooOld, -48 * time.Hour: policy.ErrClock} {
		m := w.machine(t, func(o *Options) { o.Signer, o.Now = nil, func() time.Time { return time.Now().Add(later) } })
		if m.do(t, long) || len(m.errs) != 1 || !errors.Is(m.errs[0], want) {
			t.Errorf("%s: %q", later, m.notes)
		}
	}
	// The time is that of the moment, however long ago the build began: what was
	// signed since is believed.
	now := time.Now().Add(-3 * time.Hour)
	m = w.machine(t, stamped, func(o *Options) { o.Now = func() time.Time { return now } })
	now = time.Now()
	if !m.do(t, long) || m.do(t, store.NewKey("compile-2", "later")) || m.cache.Wait(t.Context()) != (Tally{Taken: 1, Sent: 1}) {
		t.Errorf("%q", m.notes)
	}
}

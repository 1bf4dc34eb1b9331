package registry_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/ocilayout"
	"palisade/attestations/policies"
	"palisade/attestations/verify"
	"palisade/attestations/verify/registry"
)

var subject = digestOf("subject")

func listing(digests ...artifact.Digest) string {
	all := []map[string]any{}
	for _, d := range digests {
		all = append(all, map[string]any{"digest": d.String(), "size": 1, "mediaType": ocilayout.ManifestType})
	}
	text, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ocilayout.IndexType, "manifests": all})
	return string(text)
}

func TestReferrers(t *testing.T) {
	a, b := digestOf("a"), digestOf("b")
	if b.Hex() < a.Hex() {
		a, b = b, a
	}
	api, tag := "referrers/"+subject.String(), "manifests/"+registry.FallbackTag(subject)
	many := make([]artifact.Digest, 101)
	for i := range many {
		many[i] = digestOf(fmt.Sprint(i))
	}
	// Of what a scanner adds every day, what is a bundle, and what is not said to be anything.
	scanned := strings.ReplaceAll(listing(many...), `"digest":`, `"artifactType":"application/sarif+json","digest":`)
	scanned = strings.Replace(scanned, `"manifests":[`, fmt.Sprintf(`"manifests":[{"artifactType":%q,"digest":%q},{"digest":%q},`, bundle.MediaType, a, b), 1)
	for _, tt := range []struct {
		name    string
		answers map[string]func(http.ResponseWriter, *http.Request)
		want    []artifact.Digest
		err     error
	}{
		{"by the API", map[string]func(http.ResponseWriter, *http.Request){api: says(ocilayout.IndexType, listing(b, a, b)), tag: says(ocilayout.IndexType, listing())}, []artifact.Digest{a, b}, nil},
		{"none, by the API", map[string]func(http.ResponseWriter, *http.Request){api: says(ocilayout.IndexType, listing())}, nil, nil},
		{"by the tag", map[string]func(http.ResponseWriter, *http.Request){tag: says(ocilayout.IndexType, listing(b))}, []artifact.Digest{b}, nil},
		{"by the tag, where the API is a page", map[string]func(http.ResponseWriter, *http.Request){api: says("text/html", "<html>"), tag: says(ocilayout.IndexType, listing(b))}, []artifact.Digest{b}, nil},
		{"by the tag, where the API is a bad request", map[string]func(http.ResponseWriter, *http.Request){api: fails(400), tag: says(ocilayout.IndexType, listing(b))}, []artifact.Digest{b}, nil},
		{"none", nil, nil, nil},
		{"a tag of an image", map[string]func(http.ResponseWriter, *http.Request){tag: says(ocilayout.ManifestType, `{}`)}, nil, registry.ErrMediaType},
		{"denied", map[string]func(http.ResponseWriter, *http.Request){api: fails(403)}, nil, registry.ErrDenied},
		{"down", map[string]func(http.ResponseWriter, *http.Request){api: fails(502)}, nil, registry.ErrUnavailable},
		{"on two pages", map[string]func(http.ResponseWriter, *http.Request){api: func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Query().Get("next") == "" {
				says(ocilayout.IndexType, listing(b), "Link", "</v2/beacon/"+api+`?next=1>; rel="next"`)(w, q)
				return
			}
			says(ocilayout.IndexType, listing(a))(w, q)
		}}, []artifact.Digest{a, b}, nil},
		{"on pages without end", map[string]func(http.ResponseWriter, *http.Request){api: says(ocilayout.IndexType, listing(), "Link", "</v2/beacon/"+api+`?next=1>; rel="next"`)}, nil, registry.ErrTooLarge},
		{"on a page elsewhere", map[string]func(http.ResponseWriter, *http.Request){api: says(ocilayout.IndexType, listing(), "Link", `<https://other.example/x>; rel="next"`)}, nil, registry.ErrAnswer},
		{"beside others of another algorithm", map[string]func(http.ResponseWriter, *http.Request){api: says(ocilayout.IndexType, strings.Replace(listing(a, b), b.String(), "sha512:"+strings.Repeat("b", 128), 1))}, []artifact.Digest{a}, nil},
		{"with a digest that is none", map[string]func(http.ResponseWriter, *http.Request){api: says(ocilayout.IndexType, strings.Replace(listing(a), a.String(), "latest", 1))}, nil, registry.ErrAnswer},
		{"thousands, by the tag", map[string]func(http.ResponseWriter, *http.Request){tag: says(ocilayout.IndexType, listing(slices.Repeat(many, 40)...))}, nil, registry.ErrTooLarge},
		{"too many", map[string]func(http.ResponseWriter, *http.Request){api: says(ocilayout.IndexType, listing(many...))}, nil, registry.ErrTooLarge},
		{"beside many of another type", map[string]func(http.ResponseWriter, *http.Request){api: says(ocilayout.IndexType, scanned)}, []artifact.Digest{a, b}, nil},
		{"not JSON", map[string]func(http.ResponseWriter, *http.Request){api: says(ocilayout.IndexType, "{")}, nil, registry.ErrAnswer},
		{"huge", map[string]func(http.ResponseWriter, *http.Request){api: says(ocilayout.IndexType, strings.Repeat(" ", ocilayout.MaxDocument+1))}, nil, registry.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			for what, answer := range tt.answers {
				s.answers[what] = answer
			}
			got, err := s.connect(t).Referrers(context.Background(), subject)
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || !slices.Equal(got, tt.want) {
				t.Errorf("%v, %v, want %v, %v", got, err, tt.want, tt.err)
			}
			if err != nil && !errors.Is(err, verify.ErrUnreachable) {
				t.Errorf("it tells of the image what others put beside it: %v", err)
			}
		})
	}
}

// attached is a manifest by which a bundle is attached, with changes.
func attached(content string, change func(map[string]any)) string {
	layer := func(text string) map[string]any {
		return map[string]any{"mediaType": bundle.MediaType, "digest": digestOf(text).String(), "size": len(text)}
	}
	m := map[string]any{
		"schemaVersion": 2, "mediaType": ocilayout.ManifestType, "artifactType": bundle.MediaType, "layers": []any{layer(content)},
		"config":  map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": digestOf("{}").String(), "size": 2},
		"subject": map[string]any{"mediaType": ocilayout.IndexType, "digest": subject.String(), "size": 7},
	}
	if change != nil {
		change(m)
	}
	text, _ := json.Marshal(m)
	return string(text)
}

// Of what is attached the bundles are read, and the rest is passed over.
func TestBundles(t *testing.T) {
	for _, tt := range []struct {
		name     string
		manifest string
		answer   func(http.ResponseWriter, *http.Request) // in place of the manifest
		blob     func(http.ResponseWriter, *http.Request)
		there    bool
		err      error
	}{
		{name: "a bundle", manifest: attached("second", nil), blob: says("", "second"), there: true},
		{name: "of something else", manifest: attached("second", func(m map[string]any) { m["subject"].(map[string]any)["digest"] = digestOf("x").String() }), blob: says("", "second")},
		{name: "of nothing", manifest: attached("second", func(m map[string]any) { delete(m, "subject") }), blob: says("", "second")},
		{name: "no bundle", manifest: attached("second", func(m map[string]any) { m["layers"].([]any)[0].(map[string]any)["mediaType"] = "text/plain" }), blob: says("", "second")},
		{name: "of another type, it says", manifest: attached("second", func(m map[string]any) { m["artifactType"] = "application/spdx+json" }), blob: says("", "second"), there: true}, // it does not count
		{name: "of a digest of another algorithm", manifest: attached("second", func(m map[string]any) {
			m["subject"].(map[string]any)["digest"] = "sha512:" + strings.Repeat("0", 128)
		}), blob: says("", "second")},
		{name: "its content has such a digest", manifest: attached("second", func(m map[string]any) {
			m["layers"].([]any)[0].(map[string]any)["digest"] = "sha512:" + strings.Repeat("0", 128)
		}), blob: says("", "second")},
		{name: "two layers", manifest: attached("second", func(m map[string]any) { m["layers"] = append(m["layers"].([]any), m["layers"].([]any)[0]) }), blob: says("", "second")},
		{name: "an index", manifest: index, answer: says(ocilayout.IndexType, index)},
		{name: "docker's", manifest: "{}", answer: says("application/vnd.docker.distribution.manifest.v2+json", "{}")},
		{name: "listed and not there", manifest: attached("second", nil), answer: fails(404)},
		{name: "its content is not there", manifest: attached("second", nil), blob: fails(404)},
		{name: "its content is another", manifest: attached("second", nil), blob: says("", "fourth"), err: registry.ErrDigest},
		{name: "its content is longer", manifest: attached("second", nil), blob: says("", "second and more")},
		{name: "it is said to be huge", manifest: attached("second", func(m map[string]any) { m["layers"].([]any)[0].(map[string]any)["size"] = 65 << 20 }), blob: says("", "second")},
		{name: "it is said to be less than nothing", manifest: attached("second", func(m map[string]any) { m["layers"].([]any)[0].(map[string]any)["size"] = -1 }), blob: says("", "second")},
		{name: "its manifest is huge", manifest: attached("second", nil), answer: says(ocilayout.ManifestType, strings.Repeat(" ", ocilayout.MaxDocument+1))},
		{name: "denied", manifest: attached("second", nil), blob: fails(403), err: registry.ErrDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			one := attached("first", nil)
			s.answers["manifests/"+digestOf(one).String()] = says(ocilayout.ManifestType, one)
			s.answers["blobs/"+digestOf("first").String()] = says("", "first")
			if tt.answer == nil {
				tt.answer = says(ocilayout.ManifestType, tt.manifest)
			}
			s.answers["manifests/"+digestOf(tt.manifest).String()] = tt.answer
			if tt.blob != nil {
				s.answers["blobs/"+digestOf("second").String()] = tt.blob
			}
			s.answers["referrers/"+subject.String()] = says(ocilayout.IndexType, listing(digestOf(one), digestOf(tt.manifest)))
			all, err := s.connect(t).Bundles(context.Background(), subject)
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if err != nil && !errors.Is(err, verify.ErrUnreachable) {
				t.Errorf("it tells of the image what others put beside it: %v", err)
			}
			var got []string
			for _, b := range all {
				got = append(got, string(b))
			}
			slices.Sort(got)
			want := []string{"first"}
			if tt.there {
				want = append(want, "second")
			}
			if err == nil && !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// One that is too large is passed over; of as much as anybody reads together there
// is an end.
func TestBundlesTogether(t *testing.T) {
	for many, want := range map[int]error{4: nil, 5: registry.ErrTooLarge} {
		s := newServer(t)
		var all []artifact.Digest
		for n := range many {
			one := attached("first", func(m map[string]any) {
				m["annotations"] = map[string]string{"n": fmt.Sprint(n)}
				m["layers"].([]any)[0].(map[string]any)["size"] = 60 << 20
			})
			s.answers["manifests/"+digestOf(one).String()] = says(ocilayout.ManifestType, one)
			all = append(all, digestOf(one))
		}
		s.answers["blobs/"+digestOf("first").String()] = says("", "first")
		s.answers["referrers/"+subject.String()] = says(ocilayout.IndexType, listing(all...))
		got, err := s.connect(t).Bundles(context.Background(), subject)
		if !errors.Is(err, want) || (err == nil) != (want == nil) || err == nil && len(got) != many {
			t.Errorf("of %d: %d, %v, want %v", many, len(got), err, want)
		}
	}
}

// Whoever attaches more to an image than is read hinders everybody, and has nobody
// told that the image is refused.
func TestFlooded(t *testing.T) {
	s := newServer(t)
	s.answers["manifests/v1"] = says(ocilayout.IndexType, index)
	var many []artifact.Digest
	for n := range registry.MaxReferrers + 1 {
		many = append(many, digestOf(fmt.Sprint(n)))
	}
	s.answers["referrers/"+digestOf(index).String()] = says(ocilayout.IndexType, listing(many...))
	image, err := registry.Open(t.Context(), s.address+"/beacon:v1", s.options())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policies.Load("workstation")
	if err != nil {
		t.Fatal(err)
	}
	_, err = verify.Image(t.Context(), s.address+"/beacon:v1", image, p, verify.Trust{Keys: []crypto.PublicKey{key.Public()}, Now: time.Now()})
	if !errors.Is(err, registry.ErrReferrers) || !errors.Is(err, registry.ErrTooLarge) || errors.Is(err, verify.ErrRefused) {
		t.Errorf("%v, want %v and no refusal", err, registry.ErrReferrers)
	}
}

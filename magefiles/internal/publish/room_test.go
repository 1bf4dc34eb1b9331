package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/ocilayout"
	"palisade/attestations/verify/registry"
)

// lists makes the server say that so many bundles of others refer to a digest.
func (s *server) lists(t *testing.T, of artifact.Digest, many int) {
	t.Helper()
	all := []map[string]any{}
	for n := range many {
		all = append(all, map[string]any{"mediaType": ocilayout.ManifestType, "artifactType": bundle.MediaType, "digest": artifact.DigestBytes(fmt.Append(nil, n)).String(), "size": 1})
	}
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ocilayout.IndexType, "manifests": all})
	if err != nil {
		t.Fatal(err)
	}
	s.spoil(at("GET", "/referrers/"+of.String(), 1, 0, func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", ocilayout.IndexType)
		_, _ = w.Write(text)
		return true
	}))
}

// An image that is released again and again, and never changes, has its bundles
// counted before anything of it is sent, and its publisher is told in time what to
// do.
func TestRoom(t *testing.T) {
	r := newRelease(t, "binary")
	index, platform := r.digests()[0], r.digests()[1]
	ofIndex, ofPlatform := len(kinds), len(kinds)+1
	for _, tt := range []struct {
		name  string
		of    artifact.Digest
		there int
		more  string // releases for which there is room, or none is said
		full  bool
	}{
		{"nothing", index, 0, "", false},
		{"much room", index, registry.MaxReferrers - (roomFor+1)*ofIndex, "", false},
		{"room for three more", index, registry.MaxReferrers - roomFor*ofIndex, "3", false},
		{"room for three more of a platform", platform, registry.MaxReferrers - roomFor*ofPlatform, "3", false},
		{"room for this one", index, registry.MaxReferrers - ofIndex, "0", false},
		{"one too many", index, registry.MaxReferrers - ofIndex + 1, "", true},
		{"one too many of a platform", platform, registry.MaxReferrers - ofPlatform + 1, "", true},
		{"more than anybody lists", index, registry.MaxReferrers + 1, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, true)
			if tt.there > 0 {
				s.lists(t, tt.of, tt.there)
			}
			var notes []string
			o := s.options()
			o.Note = func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
			_, err := Publish(context.Background(), o, r.dir)
			told := strings.Join(notes, "\n")
			if want := "of more than " + tt.more + " further releases: raise revision in the recipe of beacon"; strings.Contains(told, "raise revision") != (tt.more != "") || tt.more != "" && !strings.Contains(told, want) {
				t.Errorf("it tells\n%s", told)
			}
			if !tt.full { // where the list stays as it is, what is attached counts as lost
				if tt.there == 0 && err != nil || errors.Is(err, registry.ErrTooLarge) {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, registry.ErrTooLarge) || tt.there <= registry.MaxReferrers && !strings.Contains(err.Error(), "raise revision") {
				t.Errorf("got %v", err)
			}
			if sent := s.heard("PUT", "POST", "PATCH"); len(sent) > 0 {
				t.Errorf("sent %q", sent)
			}
		})
	}
}

package publish

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/consume"
)

// Registries of others take the files of a release and its index, and give them
// back; once with TLS and a password.
func TestFilesConsumers(t *testing.T) {
	rel := newFiles(t, "binary")
	opened := openRelease(t, rel)
	want, of := published(t, rel), entry(t, opened)
	for _, server := range programs(t, *servers, "registry") {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/closed=%t", filepath.Base(server), closed), func(t *testing.T) {
				ctx := context.Background()
				r := start(t, server, closed)
				done, err := publishFiles(r.options, opened, nil)
				if err != nil {
					t.Fatal(err)
				}
				if again, err := publishFiles(r.options, opened, nil); err != nil || again.Sent != 0 || again.Index != done.Index {
					t.Errorf("again: %+v, %v", again, err)
				}
				index := newIndex(t, nil, of, true)
				for _, there := range []bool{false, true} {
					if got, err := index.ToRegistry(ctx, r.options); err != nil || got != there {
						t.Errorf("the index: %t, %v, want %t", got, err, there)
					}
				}
				at, err := consume.InRegistry(ctx, r.options.Registry, registry.Options{Keychain: r.options.Keychain, Transport: r.options.Transport})
				if err != nil {
					t.Fatal(err)
				}
				if data, _, err := at.Index(ctx); err != nil || string(data) != string(index.data) {
					t.Errorf("%s, %v", data, err)
				}
				got, err := fetch(t, at, of)
				if err != nil {
					t.Fatal(err)
				}
				same(t, got, want)
				ref, err := name.NewTag(r.options.Registry + "/release:v" + version)
				if err != nil {
					t.Fatal(err)
				}
				stock, err := remote.Index(ref, remote.WithAuthFromKeychain(r.options.Keychain), remote.WithTransport(r.options.Transport))
				if err == nil {
					err = validate.Index(stock)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

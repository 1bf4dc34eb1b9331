package pipeline

import (
	"context"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
	"palisade/attestations/unpack"
	"palisade/magefiles/internal/archive"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/licences"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// describeImage writes the SPDX document of an image to out, where the image
// lies, and says what it is called.
func (p *Pipeline) describeImage(ctx context.Context, e edition, made artifact.Image, origins []origin, trusted trusted, out string) ([]artifact.File, error) {
	fail := func(err error) ([]artifact.File, error) {
		return nil, fmt.Errorf("describing %s: %w", made.Name, err)
	}
	d := p.plan.Distribution
	in := spdx.ImageInput{
		Publisher: spdx.Publisher{Name: d.Publisher, Distribution: d.Name, Namespace: d.Namespace, Licence: d.Licence},
		Image:     made, Archives: map[string][]byte{},
	}
	for _, o := range origins {
		in.Archives[o.Record.Name] = o.document
	}
	whose, err := p.verdict(e.cells[0].Recipe, trusted)
	if err != nil {
		return fail(err)
	}
	in.Roots = described(whose)
	open := func() (io.ReadCloser, error) { return os.Open(filepath.Join(out, made.Name)) }
	if in.File, err = (hashed{name: made.Name, open: open, want: made.Digest}).read(); err != nil {
		return fail(err)
	}
	if in.Manifests, in.Files, err = inside(ctx, filepath.Join(out, made.Name), made); err != nil {
		return fail(err)
	}
	document, err := spdx.DescribeImage(in)
	if err != nil {
		return nil, err
	}
	name := dist.ImageDocument(made)
	if err := writeDocument(out, name, document); err != nil {
		return fail(err)
	}
	digest, size, err := artifact.DigestFile(filepath.Join(out, name))
	return []artifact.File{{Name: name, Size: size, Digest: digest}}, err
}

// verdict is under which licence the authorities are: the module's own files
// do not say whose the list is that it was made from, distribution.yaml does.
func (p *Pipeline) verdict(r *recipes.Recipe, trusted trusted) (licences.Verdict, error) {
	stating := *r
	if said, ok := p.plan.Distribution.Roots.Statement(); ok {
		stating.Licences = append(slices.Clone(r.Licences), said)
	}
	verdicts, err := licences.Conclude(&stating, []licences.Subject{{PURL: spdx.GoPURL(trusted.module.Path, trusted.module.Version.Version), Found: trusted.found}})
	if err != nil {
		return licences.Verdict{}, err
	}
	return verdicts[0], nil
}

// inside reads, of an image that was made, the manifests, and the files of the
// layers that hold any that no archive has.
func inside(ctx context.Context, name string, made artifact.Image) (map[artifact.Digest]spdx.Hashes, map[artifact.Digest]spdx.Member, error) {
	manifests, layers := map[artifact.Digest]spdx.Hashes{}, map[artifact.Digest]bool{}
	for _, p := range made.Platforms {
		manifests[p.Manifest] = spdx.Hashes{}
		for _, l := range p.Layers {
			if l.Name == "base" || l.Name == "configuration" {
				layers[l.Digest] = true
			}
		}
	}
	files := map[artifact.Digest]spdx.Member{}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	// A file: the layers of binaries, which are nearly all of it, are not read.
	err = unpack.Tar(f, func(e unpack.Entry, content io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, isBlob := strings.CutPrefix(e.Name, "blobs/sha256/")
		if !isBlob {
			return nil
		}
		digest, err := artifact.ParseDigest("sha256:" + name)
		if err != nil {
			return err
		}
		if layers[digest] {
			return unpack.TarGz(content, func(e unpack.Entry, content io.Reader) error {
				if e.Folder {
					return nil
				}
				return memberOfImage(files, e.Name, content)
			})
		}
		if _, ok := manifests[digest]; ok {
			data, err := io.ReadAll(content)
			manifests[digest] = hashesOf(data)
			return err
		}
		return nil
	})
	return manifests, files, err
}

// memberOfImage adds a file that the image has from its roots or from us. One
// that is an archive's is described as that.
func memberOfImage(files map[artifact.Digest]spdx.Member, name string, content io.Reader) error {
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	m := spdx.Member{Hashes: hashesOf(data), Whose: spdx.Own, Copyright: licences.Copyrights(data)}
	if strings.HasPrefix(name, "etc/ssl/certs/") || strings.HasPrefix(name, "usr/share/licenses/ca-certificates/") {
		m.Whose, m.Copyright = spdx.Roots, nil
	}
	files[artifact.DigestBytes(data)] = m
	return nil
}

func hashesOf(data []byte) spdx.Hashes {
	one, big := sha1.Sum(data), sha512.Sum512(data)
	return spdx.Hashes{SHA1: hex.EncodeToString(one[:]), SHA512: hex.EncodeToString(big[:])}
}

// membersKey is where the files of an archive lie that are no binaries: those
// are in the directory of results. So nobody has to unpack what was just packed.
func membersKey(archive artifact.Digest) store.Key {
	return store.NewKey("members-1", archive.String())
}

// keepMembers keeps those files, if an image may be made of them.
func (p *Pipeline) keepMembers(ctx context.Context, a packed, r *recipes.Recipe, folder string) error {
	if r.Image == nil {
		return nil
	}
	_, _, _, err := store.Do(ctx, p.store, membersKey(a.File.Digest), func(_ context.Context, out string) (struct{}, error) {
		for _, m := range a.Members {
			if a.contents[m.Name].whose == spdx.Compiled {
				continue
			}
			if err := keepMember(a.contents[m.Name].Member, m.Digest, filepath.Join(out, filepath.FromSlash(strings.TrimPrefix(m.Name, folder+"/")))); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return err
}

func keepMember(m archive.Member, want artifact.Digest, as string) error {
	data, err := os.ReadFile(m.Content)
	if err != nil {
		return err
	}
	if artifact.DigestBytes(data) != want {
		return fmt.Errorf("%s changed after it was packed: %w; build again", m.Name, store.ErrCorrupt)
	}
	if err := os.MkdirAll(filepath.Dir(as), 0o755); err != nil {
		return err
	}
	return os.WriteFile(as, data, 0o644)
}

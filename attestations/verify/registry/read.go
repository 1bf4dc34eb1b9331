package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
)

// A Manifest is an image index or an image manifest, as it was served.
type Manifest struct {
	MediaType string // ocilayout.IndexType or ocilayout.ManifestType; what Data says too, if it says anything
	Digest    artifact.Digest
	Data      []byte // at most ocilayout.MaxDocument
}

// Manifest reads the manifest of that tag or digest.
func (r *Repository) Manifest(ctx context.Context, reference string) (Manifest, error) {
	var m Manifest
	err := r.Try(ctx, fmt.Sprintf("reading the manifest %s of %s", reference, r.name), func(ctx context.Context) (err error) {
		m, err = r.manifest(ctx, reference)
		return err
	})
	return m, err
}

func (r *Repository) manifest(ctx context.Context, reference string) (Manifest, error) {
	answer, err := r.get(ctx, http.MethodGet, "manifests/"+reference, ocilayout.IndexType, ocilayout.ManifestType)
	if err != nil {
		return Manifest{}, err
	}
	defer answer.Body.Close()
	data, err := whole(answer, ocilayout.MaxDocument)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{MediaType: mediaType(answer), Digest: artifact.DigestBytes(data), Data: data}
	// A tag promises no digest; but a registry that serves what it does not
	// mean is not to be read on.
	for _, want := range []string{reference, answer.Header.Get("Docker-Content-Digest")} {
		if strings.HasPrefix(want, "sha256:") && want != m.Digest.String() {
			return Manifest{}, fmt.Errorf("%w: a manifest %s, not %.100s", ErrDigest, m.Digest, want)
		}
	}
	if m.MediaType != ocilayout.IndexType && m.MediaType != ocilayout.ManifestType {
		return Manifest{}, fmt.Errorf("%w: %.100q is neither %s nor %s", ErrMediaType, m.MediaType, ocilayout.IndexType, ocilayout.ManifestType)
	}
	// No digest vouches for the header.
	var own struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(data, &own); err != nil {
		return Manifest{}, fmt.Errorf("%w: a manifest that is not JSON: %w", ErrAnswer, err)
	}
	if own.MediaType != "" && own.MediaType != m.MediaType {
		return Manifest{}, fmt.Errorf("%w: it is served as %s, and calls itself %.100q", ErrMediaType, m.MediaType, own.MediaType)
	}
	return m, nil
}

// Has reports whether the registry says that it has the manifest.
func (r *Repository) Has(ctx context.Context, d artifact.Digest) (bool, error) {
	there := false
	err := r.Try(ctx, fmt.Sprintf("looking for the manifest %s in %s", d, r.name), func(ctx context.Context) error {
		answer, err := r.get(ctx, http.MethodHead, "manifests/"+d.String(), ocilayout.IndexType, ocilayout.ManifestType)
		if err == nil {
			answer.Body.Close()
		} else if status(err) == http.StatusNotFound {
			return nil
		}
		there = err == nil
		return err
	})
	return there, err
}

// Blob opens what d names, a manifest or a blob, for package ocilayout, which
// holds it against d to the last byte.
func (r *Repository) Blob(ctx context.Context, d ocilayout.Descriptor) (io.ReadCloser, error) {
	if d.MediaType == ocilayout.IndexType || d.MediaType == ocilayout.ManifestType {
		m, err := r.Manifest(ctx, d.Digest.String())
		if errors.Is(err, ErrNotFound) {
			return nil, missing(err)
		}
		if err == nil && m.MediaType != d.MediaType {
			err = fmt.Errorf("%w: %s is served as %s, want %s", ErrMediaType, d.Digest, m.MediaType, d.MediaType)
		}
		return io.NopCloser(strings.NewReader(string(m.Data))), err
	}
	var body io.ReadCloser
	err := r.Try(ctx, fmt.Sprintf("reading the blob %s of %s", d.Digest, r.name), func(ctx context.Context) error {
		answer, err := r.get(ctx, http.MethodGet, "blobs/"+d.Digest.String())
		if err != nil {
			return err
		}
		if n := answer.ContentLength; n >= 0 && d.Size >= 0 && n != d.Size {
			answer.Body.Close()
			return fmt.Errorf("%w: a blob of %d bytes, not %d", ErrDigest, n, d.Size)
		}
		body = broken{answer.Body}
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil, missing(err)
	}
	return body, err
}

// broken tells a connection that breaks from content that is not what it should
// be.
type broken struct{ io.ReadCloser }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: the connection broke: %w", ErrUnavailable, err)
	}
	return n, err
}

// missing is the error of what a manifest names and the registry has not: that
// tells something of the image.
func missing(err error) error { return fmt.Errorf("%w: %v", ocilayout.ErrMissing, err) }

// small reads a blob whole.
func (r *Repository) small(ctx context.Context, d ocilayout.Descriptor, max int64) ([]byte, error) {
	if d.Size < 0 || d.Size > max {
		return nil, fmt.Errorf("%w: the blob %s of %s is said to have %d bytes", ErrTooLarge, d.Digest, r.name, d.Size)
	}
	var data []byte
	err := r.Try(ctx, fmt.Sprintf("reading the blob %s of %s", d.Digest, r.name), func(ctx context.Context) error {
		answer, err := r.get(ctx, http.MethodGet, "blobs/"+d.Digest.String())
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if data, err = whole(answer, d.Size); err != nil {
			return err
		}
		if got := artifact.DigestBytes(data); got != d.Digest {
			return fmt.Errorf("%w: a blob %s", ErrDigest, got)
		}
		return nil
	})
	return data, err
}

// get asks for something in the repository. Any answer but 200 is an error.
func (r *Repository) get(ctx context.Context, method, path string, accept ...string) (*http.Response, error) {
	u := url.URL{Scheme: r.name.Scheme(), Host: r.name.RegistryStr(), Path: "/v2/" + r.name.RepositoryStr() + "/" + path}
	return r.ask(ctx, method, u.String(), accept...)
}

func (r *Repository) ask(ctx context.Context, method, url string, accept ...string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	if len(accept) > 0 {
		q.Header.Set("Accept", strings.Join(accept, ", "))
	}
	answer, err := r.client.Do(q)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(answer, http.StatusOK); err != nil {
		answer.Body.Close()
		return nil, err
	}
	return answer, nil
}

// whole reads an answer of at most max bytes.
func whole(answer *http.Response, max int64) ([]byte, error) {
	if answer.ContentLength > max {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, answer.ContentLength, max)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, max+1))
	if err == nil && int64(len(data)) > max {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, max)
	}
	return data, err
}

// mediaType is what an answer is called, without parameters.
func mediaType(answer *http.Response) string {
	t, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil {
		return answer.Header.Get("Content-Type")
	}
	return t
}

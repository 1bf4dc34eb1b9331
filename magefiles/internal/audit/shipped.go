package audit

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxShipped is how many bytes of a binary, or of an archive's members
// together, are searched.
const maxShipped = 2 << 30

// shippedKey is a key or certificate with its content, which nobody may be
// given with a binary.
var shippedKey = regexp.MustCompile(`-----BEGIN (?:[A-Z]+ )*(?:PRIVATE KEY|CERTIFICATE)-----\r?\n[A-Za-z0-9+/=]{32}`)

// shipped searches the binary and the members of its archive for anything of
// the sets, and for any key or certificate, and text for hashes. It returns
// what it searched.
func (b *bench) shipped(ctx context.Context, sets []set) (string, error) {
	binary, err := os.Open(b.Binary)
	if err != nil {
		return "", err
	}
	defer binary.Close()
	if err := search(ctx, filepath.Base(b.Binary), binary, sets); err != nil || b.Archive == "" {
		return "the binary", err
	}
	members, err := b.members(func(name string, r io.Reader) error { return search(ctx, name, r, sets) })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the binary or the %d files of its archive", members), nil
}

// search reads r to its end in pieces that overlap.
func search(ctx context.Context, name string, r io.Reader, sets []set) error {
	const overlap = 512
	piece := make([]byte, 4<<20)
	kept, total, executable := 0, 0, false
	for {
		n, err := io.ReadFull(r, piece[kept:])
		total += n
		text := piece[:kept+n]
		if shippedKey.Match(text) {
			return fail("%s holds a key or certificate", name)
		}
		// An executable holds hashes by right: upstream compares the password of
		// a user who does not exist with one.
		executable = executable || bytes.IndexByte(text[:min(len(text), 512)], 0) >= 0
		if !executable && bcryptHash.Match(text) {
			return fail("%s holds the hash of a password", name)
		}
		for _, one := range sets {
			for _, secret := range one.secrets() {
				if bytes.Contains(text, []byte(secret)) {
					return fail("%s holds what a start made", name)
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading %s: %w", name, err)
		case total > maxShipped:
			return fmt.Errorf("%s is larger than %d bytes", name, maxShipped)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		kept = copy(piece, text[len(text)-overlap:])
	}
}

// members calls each for every file of the archive and counts them.
func (b *bench) members(each func(name string, r io.Reader) error) (count int, err error) {
	f, err := os.Open(b.Archive)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if strings.HasSuffix(b.Archive, ".zip") {
		info, err := f.Stat()
		if err != nil {
			return 0, err
		}
		z, err := zip.NewReader(f, info.Size())
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", filepath.Base(b.Archive), err)
		}
		for _, m := range z.File {
			r, err := m.Open()
			if err != nil {
				return count, err
			}
			err = each(m.Name, r)
			r.Close()
			if err != nil {
				return count, err
			}
			count++
		}
		return count, nil
	}
	g, err := gzip.NewReader(f)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", filepath.Base(b.Archive), err)
	}
	t := tar.NewReader(io.LimitReader(g, maxShipped))
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return count, nil
		} else if err != nil {
			return count, fmt.Errorf("reading %s: %w", filepath.Base(b.Archive), err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := each(h.Name, t); err != nil {
			return count, err
		}
		count++
	}
}

// noSecretInLog starts twice with one set, the second time where it is
// damaged, gives it everything that it could repeat, and reads its log.
func noSecretInLog(ctx context.Context, b *bench) (string, error) {
	var o options
	if b.has("log.level") {
		o.args = []string{"--log.level=debug"}
	}
	s, err := b.start(ctx, o)
	if err != nil {
		return "", err
	}
	if s.credentials == "" {
		return "", skip("it made no credentials that a log could hold")
	}
	all, err := s.set()
	if err != nil {
		return "", err
	}
	for _, a := range []auth{anonymous, wrong, right} {
		for _, page := range append([]string{b.metrics() + "?password=" + s.password, "/-/nothing"}, b.component.pages...) {
			r, err := s.get(ctx, page, a)
			if err != nil {
				return "", err
			}
			if why := all.told(r.body); why != "" {
				return "", fail("%s tells %s", strings.Split(page, "?")[0], why)
			}
		}
	}
	s.stop()
	base := filepath.Dir(s.credentials)
	log := s.readLog()
	if !strings.Contains(log, base) || !strings.Contains(log, "curl") {
		return "", fail("the log does not say where the credentials are and how to use them with curl")
	}
	again, err := b.serves(ctx, options{args: o.args, credentials: base})
	if err != nil {
		return "", err
	}
	log += again.readLog()
	again.stop()
	if err := os.Remove(filepath.Join(s.credentials, "tls.crt")); err != nil {
		return "", err
	}
	if _, err := b.refused(ctx, options{args: o.args, credentials: base}, "tls.crt"); err != nil {
		return "", fmt.Errorf("with a damaged set: %w", err)
	}
	b.mu.Lock()
	log += b.servers[len(b.servers)-1].readLog()
	b.mu.Unlock()
	if why := all.told(log); why != "" {
		return "", fail("the log tells %s", why)
	}
	return fmt.Sprintf("%d bytes of log of three starts, at the level of debugging, say where the credentials are and hold none of them; nor does a page", len(log)), nil
}

// told says which secret of the set text holds.
func (all set) told(text string) string {
	for i, secret := range all.secrets() {
		if strings.Contains(text, secret) {
			return [...]string{"the password", "the password's hash", "the key"}[min(i, 2)]
		}
	}
	return ""
}

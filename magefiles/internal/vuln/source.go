package vuln

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"palisade/attestations/unpack"
)

// A source is where a database is.
type source interface {
	// get reads what the official database has under that name, of most bytes.
	get(ctx context.Context, name string, most int) ([]byte, error)
	close()
}

// open finds out what source is: a directory, as file:///… or by its path, or an
// address. A database is signed by nobody, so an address is an https one, or one of
// this machine.
func open(source string, hc *http.Client) (source, error) {
	if dir, ok := strings.CutPrefix(source, "file://"); ok || !strings.Contains(source, "://") {
		if ok && !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("%w: file:///… takes an absolute path", ErrDatabase)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		return &directory{root}, nil
	}
	base, err := url.Parse(source)
	if err != nil {
		return nil, err
	}
	if base.RawQuery != "" || base.Fragment != "" || base.User != nil || base.Host == "" {
		return nil, fmt.Errorf("%w: its address is a scheme, a host and a path, and no more", ErrDatabase)
	}
	if err := private(base); err != nil {
		return nil, err
	}
	client := *hc
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("more than 5 redirections")
		}
		return private(req.URL)
	}
	return &address{strings.TrimSuffix(base.String(), "/"), &client}, nil
}

// private refuses an address at which somebody on the way could answer.
func private(u *url.URL) error {
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("%w: %.300s is no https address, and nobody signs a database", ErrDatabase, u.Redacted())
}

// A directory is a database on disk.
type directory struct{ root *os.Root }

func (d *directory) close() { d.root.Close() }

func (d *directory) get(ctx context.Context, name string, most int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Looked at before it is opened, for opening a pipe waits for its writer.
	info, err := d.root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrDatabase, name)
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(name, f, most)
}

// An address is a database on a web server, where every file is compressed.
type address struct {
	base   string
	client *http.Client
}

func (a *address) close() {}

func (a *address) get(ctx context.Context, name string, most int) (data []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+"/"+name+".gz", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // the file is compressed, not the way
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s.gz is answered with %.100s", ErrDatabase, name, resp.Status)
	}
	err = unpack.Gzip(io.LimitReader(resp.Body, int64(most)), func(unpacked io.Reader) error {
		data, err = readAll(name, unpacked, most)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s.gz: %w", ErrDatabase, name, err)
	}
	return data, nil
}

func readAll(name string, r io.Reader, most int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrDatabase, name, most)
	}
	return data, err
}

// writes is what store.WriteFile is to write.
func writes(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

package audit

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// setFiles are the files of a set of credentials.
var setFiles = []string{"password", "tls.crt", "tls.key", "web-config.yml"}

// A set is the content of a directory of credentials, by file name.
type set map[string]string

// set reads the credentials that the server made.
func (s *server) set() (set, error) {
	if s.credentials == "" {
		return nil, fail("it made no credentials: it serves %s", s.scheme)
	}
	entries, err := os.ReadDir(s.credentials)
	if err != nil {
		return nil, err
	}
	all := set{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(s.credentials, e.Name()))
		if err != nil {
			return nil, err
		}
		all[e.Name()] = string(data)
		if e.Name() != "tls.crt" {
			s.bench.secret(strings.TrimSpace(string(data)))
		}
	}
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, setFiles) {
		return nil, fail("its credentials are the files %s, not %s", strings.Join(names, ", "), strings.Join(setFiles, ", "))
	}
	return all, nil
}

var bcryptHash = regexp.MustCompile(`\$2[abxy]\$[0-3][0-9]\$[./A-Za-z0-9]{53}`)

// hash is that of the password, in the web config file that the server made.
func (s *server) hash() (string, error) {
	all, err := s.set()
	if err != nil {
		return "", err
	}
	return all.hash(), nil
}

func (all set) hash() string { return bcryptHash.FindString(all["web-config.yml"]) }

// secrets is every piece of text of which one alone is too much to tell.
func (all set) secrets() []string {
	secrets := []string{strings.TrimSpace(all["password"]), all.hash()}
	for _, line := range strings.Split(all["tls.key"], "\n") {
		// The last line of a key may be short enough to be found by chance.
		if len(line) >= 16 && !strings.HasPrefix(line, "-----") {
			secrets = append(secrets, line)
		}
	}
	return slices.DeleteFunc(secrets, func(s string) bool { return s == "" })
}

var password130 = regexp.MustCompile(`^[A-Za-z2-7]{26,}$`)

// strong holds a set against what a set has to be.
func (all set) strong() error {
	if !password130.MatchString(all["password"]) {
		return fail("its password is not 26 or more characters of base32, which is 130 bits")
	}
	if hash := all.hash(); len(hash) < 7 || hash[4:6] < "12" {
		return fail("its web-config.yml holds no hash of cost 12 or more")
	}
	if strings.Contains(all["web-config.yml"], all["password"]) {
		return fail("its web-config.yml holds the password")
	}
	pair, err := tls.X509KeyPair([]byte(all["tls.crt"]), []byte(all["tls.key"]))
	if err != nil {
		return fail("its certificate and key are no pair: %v", err)
	}
	cert := pair.Leaf
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || key.Curve != elliptic.P256():
		return fail("its key is not of P-256")
	case cert.IsCA:
		return fail("its certificate could sign others")
	case !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}):
		return fail("its certificate is not for servers alone")
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := cert.VerifyHostname(name); err != nil {
			return fail("its certificate does not speak for %s: %v", name, err)
		}
	}
	if now := time.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return fail("its certificate is not valid now")
	}
	return nil
}

// uniqueCredentials starts in fresh places, named in every way there is, then
// again in one of them, and twice at once.
func uniqueCredentials(ctx context.Context, b *bench) (string, error) {
	s, err := b.shared(ctx)
	if err != nil {
		return "", err
	}
	first, err := s.set()
	if err != nil {
		return "", err
	}
	sets := []set{first}
	noFlag := []string{"web.credentials-dir"}
	for _, o := range []options{
		{without: noFlag, credentials: "{dir}/here", env: []string{"PALISADE_CREDENTIALS_DIR={dir}/here", "STATE_DIRECTORY={dir}/not"}},
		{without: noFlag, credentials: "{dir}/state", env: []string{"STATE_DIRECTORY={dir}/state:{dir}/other"}},
		{without: noFlag, credentials: "{dir}/.local/state/palisade"},
	} {
		s, err := b.start(ctx, o)
		if err != nil {
			return "", err
		}
		one, err := s.set()
		if err != nil {
			return "", err
		}
		sets = append(sets, one)
		s.stop()
	}
	for i, one := range sets {
		if err := one.strong(); err != nil {
			return "", err
		}
		for _, other := range sets[:i] {
			for _, name := range setFiles {
				if one[name] == other[name] || one.hash() == other.hash() {
					return "", fail("two hosts get the same %s", name)
				}
			}
		}
	}
	if err := b.again(ctx, s, first); err != nil {
		return "", err
	}
	if err := b.atOnce(ctx); err != nil {
		return "", err
	}
	searched, err := b.shipped(ctx, sets)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d starts in fresh places made %d sets that share nothing; another start left its set as it was; two at once ended with one; none of it, no key, certificate or hash in %s",
		len(sets), len(sets), searched), nil
}

// again starts in the place of s once more.
func (b *bench) again(ctx context.Context, s *server, before set) error {
	modified, err := os.Stat(filepath.Join(s.credentials, "password"))
	if err != nil {
		return err
	}
	second, err := b.serves(ctx, options{credentials: filepath.Dir(s.credentials)})
	if err != nil {
		return fmt.Errorf("a second start with the same credentials: %w", err)
	}
	defer second.stop()
	after, err := second.set()
	if err != nil {
		return err
	}
	now, err := os.Stat(filepath.Join(s.credentials, "password"))
	if err != nil {
		return err
	}
	if !maps.Equal(before, after) || !now.ModTime().Equal(modified.ModTime()) {
		return fail("a second start changed the credentials")
	}
	return nil
}

// atOnce starts two in one fresh place.
func (b *bench) atOnce(ctx context.Context) error {
	base, err := b.temp()
	if err != nil {
		return err
	}
	var both [2]*server
	for i := range both {
		if both[i], err = b.launch(options{credentials: base}); err != nil {
			return err
		}
	}
	for _, s := range both {
		if err := s.await(ctx); err != nil {
			return fmt.Errorf("of two that start at once: %w", err)
		}
		if r, err := s.get(ctx, b.metrics(), right); err != nil || !r.ok() {
			return fail("of two that start at once, one does not take the credentials that are there: %v", err)
		}
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	if len(entries) != 1 || entries[0].Name() != b.Component {
		return fail("two that start at once leave %d directories of credentials", len(entries))
	}
	return nil
}

// fileModes looks at the set, and starts with sets that are damaged in every
// way that a disk, a backup or a person damages them.
func fileModes(ctx context.Context, b *bench) (string, error) {
	s, err := b.shared(ctx)
	if err != nil {
		return "", err
	}
	good, err := s.set()
	if err != nil {
		return "", err
	}
	for _, want := range append([]string{""}, setFiles...) {
		info, err := os.Lstat(filepath.Join(s.credentials, want))
		if err != nil {
			return "", err
		}
		mode := fs.FileMode(0o600)
		if want == "" {
			mode = fs.ModeDir | 0o700
		}
		if info.Mode() != mode {
			return "", fail("%s has mode %v, not %v", filepath.Join(b.Component, want), info.Mode(), mode)
		}
	}
	tried := 0
	for _, name := range setFiles {
		for _, damage := range []struct {
			what string
			do   func(file string) error
		}{
			{"missing", os.Remove},
			{"empty", func(file string) error { return os.Truncate(file, 0) }},
			{"cut in half", func(file string) error { return os.Truncate(file, int64(len(good[name])/2)) }},
			{"of mode 0644", func(file string) error { return os.Chmod(file, 0o644) }},
			{"a directory", func(file string) error { return replaceByDir(file) }},
		} {
			if err := b.damaged(ctx, good, name, damage.do); err != nil {
				return "", fmt.Errorf("with %s %s: %w", name, damage.what, err)
			}
			tried++
		}
	}
	strange, err := newIdentity()
	if err != nil {
		return "", err
	}
	for name, other := range map[string]string{"tls.key": string(strange.key), "password": strings.Repeat("A", 26)} {
		err := b.damaged(ctx, good, name, func(file string) error { return os.WriteFile(file, []byte(other), 0o600) })
		if err != nil {
			return "", fmt.Errorf("with the %s of another set: %w", name, err)
		}
		tried++
	}
	if err := b.nowhere(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("directory 0700, %d files 0600; %d damaged sets and places that cannot be written each stopped the start with the name of the file, and were left as they were", len(setFiles), tried), nil
}

func replaceByDir(file string) error {
	if err := os.Remove(file); err != nil {
		return err
	}
	return os.Mkdir(file, 0o700)
}

// damaged expects that a set with one file damaged stops the start, names the
// file, and stays as it is.
func (b *bench) damaged(ctx context.Context, good set, name string, damage func(file string) error) error {
	base, err := b.temp()
	if err != nil {
		return err
	}
	dir := filepath.Join(base, b.Component)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for file, text := range good {
		// The file names where it lies.
		text = strings.ReplaceAll(text, filepath.Dir(b.common.credentials)+"/", base+"/")
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := damage(filepath.Join(dir, name)); err != nil {
		return err
	}
	before := listing(dir)
	if _, err := b.refused(ctx, options{credentials: base}, name, dir); err != nil {
		return err
	}
	if after := listing(dir); before != after {
		return fail("the refusal changed the set")
	}
	return nil
}

// listing is what lies in dir: names, modes and content.
func listing(dir string) string {
	var text bytes.Buffer
	entries, err := os.ReadDir(dir)
	fmt.Fprintln(&text, err)
	for _, e := range entries {
		info, err := e.Info()
		data, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		fmt.Fprintln(&text, e.Name(), err)
		if err == nil {
			fmt.Fprintf(&text, "%v %q\n", info.Mode(), data)
		}
	}
	return text.String()
}

// nowhere starts where credentials cannot be kept.
func (b *bench) nowhere(ctx context.Context) error {
	if _, err := b.refused(ctx, options{files: map[string]string{"occupied": ""}, args: []string{"--web.credentials-dir={dir}/occupied"}}, "occupied"); err != nil {
		return fmt.Errorf("with a file where the directory of credentials should be: %w", err)
	}
	if _, err := b.refused(ctx, options{without: []string{"web.credentials-dir"}, env: []string{"HOME="}}, "--web.credentials-dir"); err != nil {
		return fmt.Errorf("with no directory to keep credentials in: %w", err)
	}
	return nil
}

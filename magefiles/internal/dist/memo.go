package dist

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/store"
)

// A memo remembers the digest of a file for as long as its size, times and
// inode stay what they were, so that a run with nothing to do need not read
// hundreds of megabytes. It decides only whether a file is written again:
// whoever verifies reads the file itself. A memo that cannot be read is
// empty.
type memo struct {
	name  string
	mu    sync.Mutex
	files map[string]memory
	dirty bool
}

type memory struct {
	Size    int64           `json:"size"`
	Inode   uint64          `json:"inode"`
	Changed int64           `json:"changed"` // ctime, in nanoseconds
	Digest  artifact.Digest `json:"digest"`
}

// stateOf is what tells a file from a later one of its name.
func stateOf(info os.FileInfo) memory {
	now := memory{Size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		now.Inode, now.Changed = st.Ino, changeTime(st)
	}
	return now
}

// Stamp differs from a former one of dir if what lies there, but for folders
// other than those of an image's bundles, was written since. Like a memo it
// decides only whether something is done again.
func Stamp(dir string) (artifact.Digest, error) {
	var seen bytes.Buffer
	if err := stamp(&seen, dir, isBundles); err != nil {
		return artifact.Digest{}, err
	}
	return artifact.DigestBytes(seen.Bytes()), nil
}

// stamp looks into those folders of dir that enter says.
func stamp(seen *bytes.Buffer, dir string, enter func(name string) bool) error {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if !enter(e.Name()) {
				continue
			}
			fmt.Fprintf(seen, "%q\n", e.Name())
			if err := stamp(seen, filepath.Join(dir, e.Name()), func(string) bool { return true }); err != nil {
				return err
			}
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(seen, "%q %v %+v\n", e.Name(), info.Mode(), stateOf(info))
	}
	return nil
}

func loadMemo(s *store.Store, dir string) *memo {
	m := &memo{name: s.Dir("dist-" + artifact.DigestBytes([]byte(dir)).Hex()[:16] + ".json"), files: map[string]memory{}}
	if data, err := os.ReadFile(m.name); err == nil && json.Unmarshal(data, &m.files) != nil {
		m.files = map[string]memory{}
	}
	return m
}

// same reports whether the file called name has the digest want.
func (m *memo) same(name string, want artifact.Digest) bool {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	now := stateOf(info)
	m.mu.Lock()
	known, ok := m.files[name]
	m.mu.Unlock()
	now.Digest = known.Digest
	if !ok || known != now {
		if now.Digest, _, err = artifact.DigestFile(name); err != nil {
			return false
		}
		m.mu.Lock()
		m.files[name], m.dirty = now, true
		m.mu.Unlock()
	}
	return now.Digest == want
}

func (m *memo) save() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirty {
		return nil
	}
	data, err := json.Marshal(m.files) // sorted by name
	if err != nil {
		return err
	}
	return store.WriteFile(m.name, 0o600, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

package webui

import (
	"io"
	"strings"
	"sync"
)

// maxTail bounds what a transcript keeps, in bytes.
const maxTail = 4 << 10

// A transcript passes on what a command prints and keeps the end of it, for
// the error when the command fails.
type transcript struct {
	log io.Writer // may be nil

	mu   sync.Mutex
	last []byte
}

func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	if len(t.last) > maxTail {
		t.last = append([]byte(nil), t.last[len(t.last)-maxTail:]...)
	}
	if t.log == nil {
		return len(b), nil
	}
	return t.log.Write(b)
}

// tail is the last lines, whole ones where there are any.
func (t *transcript) tail() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(t.last)
	if len(text) == maxTail {
		if _, rest, ok := strings.Cut(text, "\n"); ok {
			text = rest
		}
	}
	return strings.TrimRight(text, "\n")
}

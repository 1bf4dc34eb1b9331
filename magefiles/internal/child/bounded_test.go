package child

import (
	"io"
	"strings"
	"testing"
)

// A program that says too much is not listened to: io.Copy, which is between it
// and the bound, takes every way around a Write that it finds.
func TestBounded(t *testing.T) {
	const room = 3 << 20
	b := &Bounded{Room: room}
	if n, err := io.Copy(b, io.LimitReader(zeros{}, room+5)); n != room+5 || err != nil || !b.Full() || len(b.Bytes()) != room {
		t.Errorf("it keeps %d of %d, %v", len(b.String()), n, err)
	}
	b = &Bounded{Room: 4}
	if n, err := io.Copy(b, strings.NewReader("told")); n != 4 || err != nil || b.Full() || b.String() != "told" {
		t.Errorf("it keeps %q of %d, %v", b, n, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

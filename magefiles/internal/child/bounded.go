package child

import "bytes"

// Bounded keeps the first Room bytes of what a command writes, and lets the
// command write on. The buffer is no part of it by name, for that has a
// ReadFrom, which knows no bound.
type Bounded struct {
	Room int

	kept bytes.Buffer
	full bool
}

func (b *Bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.Room-b.kept.Len())
	b.full = b.full || n < len(p)
	b.kept.Write(p[:n])
	return len(p), nil
}

// Full reports whether there was more than is kept.
func (b *Bounded) Full() bool { return b.full }

// Bytes is what is kept.
func (b *Bounded) Bytes() []byte { return b.kept.Bytes() }

func (b *Bounded) String() string { return b.kept.String() }

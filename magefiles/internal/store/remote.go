package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"palisade/attestations/artifact"
)

// A Left is what a step left: its value, as JSON, and its files, sorted by
// name, with the modes that Do gives them.
type Left struct {
	Value json.RawMessage
	Files []artifact.File
}

// A Remote has what steps left on other machines. It decides whom of them to
// believe: the store asks for nothing but that what it is given fits.
type Remote interface {
	// Take looks for what the step of key left. If there is something that may
	// be believed it fills dir, which is empty, with the files and calls accept
	// once; what accept refuses was not taken, and if that wraps ErrHere the fault
	// is not what was given. That nothing was taken is no error: it is made here.
	// The error is that of ctx, if it has ended.
	Take(ctx context.Context, key Key, dir string, accept func(Left) error) (taken bool, err error)
	// Offer is given what the step of key has left here, which it may hand on. It
	// returns soon, and the entry outlives it.
	Offer(ctx context.Context, key Key, left Left, entry Entry)
}

// ErrHere is wrapped by an error that says nothing of what came from elsewhere:
// this machine could not keep it, or not find out what it is.
var ErrHere = errors.New("this machine failed")

// marker is the file that says that something in the store was made elsewhere.
const marker = "taken"

// Shared is Do for a step that takes long: where it is in no store of this
// machine, s.Remote is asked for it before produce is, and offered what produce
// has made; so produce itself fails where what it made may not be handed on. What
// came from there has to be of type T, not null, and to pass check, which sees the
// files where they lie until they are kept; nil lets it pass. Then it is kept as any
// other result, and cached is true.
func Shared[T any](ctx context.Context, s *Store, key Key, check func(value T, left Entry) error, produce func(ctx context.Context, dir string) (T, error)) (value T, entry Entry, cached bool, err error) {
	if s.Remote == nil {
		return Do(ctx, s, key, produce)
	}
	value, entry, cached, err = do(ctx, s, key, produce, func() (bool, error) { return take(ctx, s, key, check) })
	if err != nil || cached {
		return value, entry, cached, err
	}
	data, err := json.Marshal(value)
	if err != nil { // it was read from JSON
		return value, entry, false, fmt.Errorf("encoding the value of step %s: %w", key.step, err)
	}
	s.Remote.Offer(ctx, key, Left{data, entry.Files}, entry)
	return value, entry, false, nil
}

// take keeps what s.Remote has of key. The caller has the lock of key.
func take[T any](ctx context.Context, s *Store, key Key, check func(T, Entry) error) (bool, error) {
	tmp, dir, remove, err := s.room(key)
	if err != nil {
		return false, err
	}
	defer remove()
	kept := false
	taken, err := s.Remote.Take(ctx, key, dir, func(left Left) error {
		var value T
		// Null would leave value as it is, whatever its type.
		if bytes.Equal(bytes.TrimSpace(left.Value), []byte("null")) {
			return errors.New("its value: it is null")
		}
		if err := strict(left.Value, &value); err != nil {
			return fmt.Errorf("its value: %w", err)
		}
		files, err := record(ctx, dir)
		if err != nil {
			return err
		}
		if !slices.Equal(files, left.Files) {
			return errors.New("its files are not those that it names")
		}
		if check != nil {
			if err := check(value, Entry{dir, files}); err != nil {
				return err
			}
		}
		if err := s.mark(); err != nil {
			return fmt.Errorf("%w: %w", ErrHere, err)
		}
		if err := keep(ctx, s, key, tmp, value); err != nil {
			return fmt.Errorf("%w: keeping it: %w", ErrHere, s.explain(err))
		}
		kept = true
		return nil
	})
	if err == nil {
		err = context.Cause(ctx)
	}
	// What was not accepted is not there, whatever a Remote says of it.
	return taken && kept, err
}

// mark says for good that something in the store was made elsewhere, before it
// is there.
func (s *Store) mark() error {
	f, err := os.OpenFile(filepath.Join(s.dir, marker), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), SyncFolder(s.dir))
	}
	if err != nil {
		return fmt.Errorf("marking the store as one that took something from elsewhere: %w", s.explain(err))
	}
	return nil
}

// Taken reports whether anything in the store was made elsewhere, by this run
// or another one.
func (s *Store) Taken() (bool, error) {
	_, err := os.Lstat(filepath.Join(s.dir, marker))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking whether the store took anything from elsewhere: %w", err)
	}
	return true, nil
}

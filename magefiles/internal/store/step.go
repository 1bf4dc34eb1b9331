package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"palisade/attestations/artifact"
)

// maxResult bounds what Peek reads of a record, in bytes.
const maxResult = 128 << 20

// result is the form of result.json.
type result struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
	Files json.RawMessage `json:"files"`
	Sum   artifact.Digest `json:"sum"`
}

func (r result) sum() (artifact.Digest, error) {
	sum := sumParts([]byte(r.Key), r.Value, r.Files)
	return artifact.ParseDigest("sha256:" + hex.EncodeToString(sum))
}

// Do returns what the step of key left, and lets produce make it where it is
// not there yet. Produce fills dir, which is empty and on the store's file
// system, with regular files and directories, and returns a value for which
// encoding/json has a form; Do returns that value as it reads back, so that a
// made value and a found one are the same. The files' modes become 0755 where
// their owner may run them, else 0644, whatever the umask.
//
// Among all callers in all processes one produces a key at a time; others wait
// (see Store.Waiting) and find it. If produce fails or panics, ctx ends, the
// disk is full or the process is killed, nothing is kept and the next call
// starts anew. Produce must not call Do with the same key.
func Do[T any](ctx context.Context, s *Store, key Key, produce func(ctx context.Context, dir string) (T, error)) (value T, entry Entry, cached bool, err error) {
	return do(ctx, s, key, produce, func() (bool, error) { return false, nil })
}

// do is Do, but that take may have put the result into its place before produce
// is asked.
func do[T any](ctx context.Context, s *Store, key Key, produce func(ctx context.Context, dir string) (T, error), take func() (bool, error)) (value T, entry Entry, cached bool, err error) {
	if value, entry, ok, err := Peek[T](s, key); ok || err != nil {
		return value, entry, ok, err
	}
	unlock, err := s.Lock(ctx, key.String())
	if err != nil {
		return value, entry, false, err
	}
	defer unlock()
	if value, entry, ok, err := Peek[T](s, key); ok || err != nil {
		return value, entry, ok, err
	}
	taken, err := take()
	if err != nil {
		return value, entry, false, err
	}
	if !taken {
		if err := produced(ctx, s, key, produce); err != nil {
			return value, entry, false, err
		}
	}
	value, entry, ok, err := Peek[T](s, key)
	if err == nil && !ok {
		err = fmt.Errorf("step %s: its result vanished from %s", key.step, s.place(key))
	}
	return value, entry, taken, err
}

// produced puts what produce makes into its place.
func produced[T any](ctx context.Context, s *Store, key Key, produce func(ctx context.Context, dir string) (T, error)) error {
	tmp, dir, remove, err := s.room(key)
	if err != nil {
		return err
	}
	defer remove()
	made, err := produce(ctx, dir)
	if err != nil {
		return s.explain(err)
	}
	if err := keep(ctx, s, key, tmp, made); err != nil {
		return fmt.Errorf("keeping the result of step %s: %w", key.step, s.explain(err))
	}
	return nil
}

// room is a temporary directory for the result of a step, and the empty one in
// it for its files.
func (s *Store) room(key Key) (tmp, dir string, remove func(), err error) {
	tmp, remove, err = s.Temp(key.step)
	if err != nil {
		return "", "", nil, err
	}
	dir = filepath.Join(tmp, "files")
	if err := os.Mkdir(dir, 0o755); err != nil {
		remove()
		return "", "", nil, fmt.Errorf("making room for step %s: %w", key.step, s.explain(err))
	}
	return tmp, dir, remove, nil
}

// keep writes the record of what is in tmp and gives tmp its place.
func keep(ctx context.Context, s *Store, key Key, tmp string, made any) error {
	files, err := record(ctx, filepath.Join(tmp, "files"))
	if err != nil {
		return err
	}
	r := result{Key: key.String()}
	if r.Value, err = json.Marshal(made); err != nil {
		return fmt.Errorf("encoding its value: %w", err)
	}
	if r.Files, err = json.Marshal(files); err != nil {
		return fmt.Errorf("encoding its files: %w", err)
	}
	if r.Sum, err = r.sum(); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding its record: %w", err)
	}
	if len(data) > maxResult {
		return fmt.Errorf("its record of %d bytes is larger than %d", len(data), maxResult)
	}
	if err := writeResult(ctx, filepath.Join(tmp, "result.json"), data); err != nil {
		return err
	}
	if err := SyncFolder(tmp); err != nil {
		return err
	}
	place := s.place(key)
	if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
		return err
	}
	if err := os.Rename(tmp, place); err != nil {
		return err
	}
	return errors.Join(SyncFolder(filepath.Dir(place)), SyncFolder(filepath.Join(s.dir, "steps")))
}

func (s *Store) place(key Key) string {
	return filepath.Join(s.dir, "steps", key.step, key.sum)
}

// Peek returns what the step of key left, if it is there. It takes no lock and
// reads the record alone, not the files: Entry checks those. A record that is
// not key's, not whole, or not of type T is ErrCorrupt.
func Peek[T any](s *Store, key Key) (value T, entry Entry, ok bool, err error) {
	var none T
	if err := key.check(); err != nil {
		return none, Entry{}, false, err
	}
	place := s.place(key)
	data, err := readResult(place)
	if err != nil || data == nil {
		return none, Entry{}, false, err
	}
	var files []artifact.File
	if err := decodeResult(data, key, &value, &files); err != nil {
		return none, Entry{}, false, fmt.Errorf("%w: reading %s/result.json: %w; remove %s", ErrCorrupt, place, err, place)
	}
	return value, Entry{Dir: filepath.Join(place, "files"), Files: files}, true, nil
}

// readResult is nil if place does not exist.
func readResult(place string) ([]byte, error) {
	f, err := os.Open(filepath.Join(place, "result.json"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(place); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		// It may have come into being between the two calls.
		f, err = os.Open(filepath.Join(place, "result.json"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s has no result.json; remove %s", ErrCorrupt, place, place)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("looking up the store: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxResult+1))
	if err != nil {
		return nil, fmt.Errorf("looking up the store: %w", err)
	}
	if len(data) > maxResult {
		return nil, fmt.Errorf("%w: %s/result.json is larger than %d bytes; remove %s", ErrCorrupt, place, maxResult, place)
	}
	return data, nil
}

func decodeResult(data []byte, key Key, value any, files *[]artifact.File) error {
	var r result
	if err := strict(data, &r); err != nil {
		return err
	}
	if r.Key != key.String() {
		return fmt.Errorf("it is the record of %q", r.Key)
	}
	if sum, err := r.sum(); err != nil || sum != r.Sum {
		return errors.New("it was changed: its sum differs")
	}
	if err := strict(r.Value, value); err != nil {
		return fmt.Errorf("its value: %w", err)
	}
	if err := strict(r.Files, files); err != nil {
		return fmt.Errorf("its files: %w", err)
	}
	return checkFiles(*files)
}

func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows its value")
	}
	return nil
}

func checkFiles(files []artifact.File) error {
	for i, f := range files {
		switch {
		case !fs.ValidPath(f.Name) || f.Name == ".":
			return fmt.Errorf("file name %q leads elsewhere", f.Name)
		case i > 0 && files[i-1].Name >= f.Name:
			return fmt.Errorf("file %q is there twice or out of order", f.Name)
		case f.Mode != "0644" && f.Mode != "0755":
			return fmt.Errorf("file %q has mode %q", f.Name, f.Mode)
		case f.Size < 0 || f.Digest.IsZero():
			return fmt.Errorf("file %q lacks size or digest", f.Name)
		}
	}
	return nil
}

package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A holder is the queue of one lock inside this process: whoever has put a
// token into turn has it.
type holder struct {
	turn  chan struct{}
	users int // that have it or wait for it; guarded by Store.mu
}

// Lock takes the lock called name, which one caller in one process has at a
// time, and returns what gives it back. It waits until it gets it or ctx ends.
// A lock dies with its process. Taking a lock twice without giving it back
// waits for ever.
func (s *Store) Lock(ctx context.Context, name string) (unlock func(), err error) {
	path := filepath.Join(s.dir, "locks", url.QueryEscape(name)+".lock")
	if len(filepath.Base(path)) > 255 {
		return nil, fmt.Errorf("locking %q: name is too long", name)
	}
	leave, err := s.queue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("waiting for lock %s: %w", name, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		leave()
		return nil, fmt.Errorf("locking %s: %w", name, s.explain(err))
	}
	waits := func() {
		if s.Waiting != nil {
			s.Waiting(name)
		}
	}
	if err := waitFlock(ctx, f, waits); err != nil {
		f.Close()
		leave()
		return nil, fmt.Errorf("waiting for lock %s: %w", name, err)
	}
	// The file stays: removing it would let two processes hold a lock of one name.
	return func() { f.Close(); leave() }, nil
}

// queue waits for this process's own callers of name.
func (s *Store) queue(ctx context.Context, name string) (leave func(), err error) {
	s.mu.Lock()
	h := s.held[name]
	if h == nil {
		h = &holder{turn: make(chan struct{}, 1)}
		s.held[name] = h
	}
	h.users++
	s.mu.Unlock()
	forget := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(s.held, name)
		}
	}
	select {
	case h.turn <- struct{}{}:
		return func() { <-h.turn; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, context.Cause(ctx)
	}
}

// waitFlock takes an exclusive flock on f, calling waits once if it is not
// free. It polls, because a blocked flock cannot be told that ctx has ended.
func waitFlock(ctx context.Context, f *os.File, waits func()) error {
	const first, longest = 5 * time.Millisecond, 200 * time.Millisecond
	for pause := first; ; pause = min(2*pause, longest) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		free, err := tryFlock(f, unix.LOCK_EX)
		if free || err != nil {
			return err
		}
		if pause == first {
			waits()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// tryFlock takes a flock on f if it is free. Closing f gives it back.
func tryFlock(f *os.File, how int) (free bool, err error) {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, fmt.Errorf("flock %s: %w", f.Name(), err)
		}
	}
}

// LockFolder takes the lock of a folder that is no store's, which one caller in one
// process has at a time, and returns what gives it back. It waits until it gets it
// or ctx ends. Nothing is written there, and the lock dies with its process.
func LockFolder(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if err := waitFlock(ctx, f, func() {}); err != nil {
		f.Close()
		return nil, fmt.Errorf("waiting for the lock of %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

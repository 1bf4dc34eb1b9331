package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// maxGuesses is how many wrong passwords may be looked at, and not turned away
// unseen.
const maxGuesses = 200

// errGuessed ends a storm that has shown enough.
var errGuessed = errors.New("too many passwords were looked at")

// loginThrottle guesses from 127.0.0.1 while somebody logs in for the first
// time from 127.0.0.2, and the scraper at 127.0.0.1 goes on.
func loginThrottle(ctx context.Context, b *bench) (string, error) {
	const guesser, other = "127.0.0.1", "127.0.0.2"
	if len(loopbacks()) == 0 {
		return "", skip("this machine has one loopback address, and a second client is needed")
	}
	s, err := b.start(ctx, options{})
	if err != nil {
		return "", err
	}
	// A vanilla build asks for a password only where a file says so.
	if s.user == "" {
		s.stop()
		if s, err = b.start(ctx, explicit(fileTLS+fileUsers)); err != nil {
			return "", err
		}
	}
	if r, err := s.do(ctx, request{path: b.metrics(), auth: right, from: guesser}); err != nil || !r.ok() {
		return "", fmt.Errorf("a scrape before the load is not answered: %v", err)
	}
	storm, cancel := context.WithTimeout(ctx, b.load.wrongTime)
	defer cancel()
	done := make(chan error, 1)
	var looked, turned, strange atomic.Int64
	go func() {
		done <- parallel(storm, b.load.wrongPasswords, 8, func(ctx context.Context, i int) error {
			r, err := s.do(ctx, request{path: b.metrics(), from: guesser, header: basic(s.user, fmt.Sprint("guess ", i))})
			switch {
			case err != nil:
				return err
			case r.status == http.StatusUnauthorized:
				if looked.Add(1) > maxGuesses {
					return errGuessed
				}
			case r.status == http.StatusTooManyRequests && r.header.Get("Retry-After") != "":
				turned.Add(1)
			default:
				strange.Add(1)
			}
			return nil
		})
	}()
	served := 0
	for {
		select {
		case err = <-done:
		case <-time.After(100 * time.Millisecond):
			for _, from := range []string{other, guesser} {
				r, err := s.do(ctx, request{path: b.metrics(), auth: right, from: from})
				if err != nil || r.status != http.StatusOK {
					return "", fail("while %s guesses, the right password from %s is not taken: %s", guesser, from, outcome(r, err))
				}
				served++
			}
			continue
		}
		break
	}
	seen := fmt.Sprintf("of %d wrong passwords from one address %d were looked at (401) and %d turned away unseen (429)", b.load.wrongPasswords, looked.Load(), turned.Load())
	if storm.Err() != nil && ctx.Err() == nil {
		return "", fail("in %v, %s", b.load.wrongTime, seen)
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil && !errors.Is(err, errGuessed) {
		return "", fail("%s; the next is not answered: %v", seen, err)
	}
	if err != nil || strange.Load() > 0 {
		return "", fail("no throttle: %s, %d answered otherwise", seen, strange.Load())
	}
	if r, err := s.do(ctx, request{path: b.metrics(), auth: wrong, from: "127.0.0.3"}); err != nil || r.status != http.StatusUnauthorized {
		return "", fail("afterwards a wrong password from a third address is not refused as wrong: %s", outcome(r, err))
	}
	return fmt.Sprintf("%s; meanwhile the right one was taken %d times from that address and from another", seen, served), nil
}

func outcome(r *response, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("status %d", r.status)
}

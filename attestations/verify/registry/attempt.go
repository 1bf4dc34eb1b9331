package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// A Pause waits for so long, or until its context ends, whose error it returns.
type Pause func(context.Context, time.Duration) error

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// How often something is tried, and how long between two attempts: doubled
// each time, or as long as the registry asks for, if that is not too long.
const (
	attempts     = 5
	firstPause   = 200 * time.Millisecond
	longestPause = time.Minute
)

// Try does op until it succeeds, fails for good, or has failed too often. The
// context of op is for the requests that it makes. what begins the message of
// an error, which wraps one of this package's where there is one.
func (r *Repository) Try(ctx context.Context, what string, op func(context.Context) error) error {
	pause := firstPause
	for n := 1; ; n++ {
		var asked advice
		err := op(context.WithValue(ctx, adviceKey{}, &asked))
		if err == nil {
			return nil
		}
		explained := fmt.Errorf("%s: %w", what, r.explain(err))
		switch ended := ctx.Err(); {
		case ended != nil && !errors.Is(explained, ended): // the connection may have broken off first
			return fmt.Errorf("%w: %w", explained, ended)
		case ended != nil || !passing(err):
			return explained
		}
		wait := max(pause, asked.get())
		switch {
		case wait > longestPause:
			return fmt.Errorf("%w: it asks to be left alone for %s: try again then", explained, wait)
		case n == attempts:
			return fmt.Errorf("%w: tried %d times: try again later", explained, attempts)
		}
		if err := r.pause(ctx, wait); err != nil {
			return fmt.Errorf("%w: %w", explained, err)
		}
		pause *= 2
	}
}

// lost are the answers to an upload that did not arrive as it was sent.
var lost = []transport.ErrorCode{
	transport.BlobUploadInvalidErrorCode, transport.BlobUploadUnknownErrorCode, transport.DigestInvalidErrorCode, transport.SizeInvalidErrorCode,
}

// passing reports whether a failure may be over at the next attempt.
func passing(err error) bool {
	if answer := (*transport.Error)(nil); errors.As(err, &answer) {
		switch answer.StatusCode {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		// What was sent was held against its digest on the way: it was changed or
		// cut off later, or the session of the upload is gone.
		return answer.StatusCode < http.StatusRequestEntityTooLarge && slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool {
			return slices.Contains(lost, d.Code)
		})
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrPlaintext) {
		return false
	}
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE} {
		if errors.Is(err, broken) {
			return true
		}
	}
	timeout := net.Error(nil)
	return errors.As(err, &timeout) && timeout.Timeout()
}

// explain says what an error means for whoever asked, and what to do. One that
// already wraps an error of this package stays as it is.
func (r *Repository) explain(err error) error {
	err = Brief(withoutQuery(err), maxAnswered)
	for _, known := range []error{ErrDenied, ErrPlaintext, ErrNotFound, ErrDigest, ErrMediaType, ErrTooLarge, ErrAnswer} {
		if errors.Is(err, known) {
			return err
		}
	}
	if unconnected(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if answer := (*transport.Error)(nil); errors.As(err, &answer) {
		switch code := answer.StatusCode; {
		case code == http.StatusUnauthorized:
			return fmt.Errorf("%w: log in to %s (docker login), or see that it knows you: %w", ErrDenied, r.name.RegistryStr(), err)
		case code == http.StatusForbidden:
			return fmt.Errorf("%w: they do not reach %s: ask whoever runs it for leave: %w", ErrDenied, r.name, err)
		case code == http.StatusNotFound:
			return fmt.Errorf("%w: %w", ErrNotFound, err)
		case passing(err):
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if passing(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// unconnected reports whether there was no connection: to an address that nobody
// has, or because nobody vouches for a certificate. This machine is asked without
// TLS then, and what it answers says less.
func unconnected(err error) bool {
	var operation *net.OpError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &operation) || errors.As(err, &certificate)
}

// maxAnswered is how much is told of what a registry answered, in bytes.
const maxAnswered = 300

// Brief is err on one line that is not longer than most bytes, whatever a registry
// answered: that may be 64 KiB of anything.
func Brief(err error, most int) error { return brief{err, most} }

type brief struct {
	error
	most int
}

func (b brief) Unwrap() error { return b.error }

func (b brief) Error() string {
	text := strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(b.error.Error(), "?"))
	if len(text) > b.most {
		text = strings.ToValidUTF8(text[:b.most], "") + "…"
	}
	return text
}

// advice is for how long a registry asks to be left alone, in its answers to
// the requests of one attempt.
type advice struct {
	mu   sync.Mutex
	wait time.Duration
}

type adviceKey struct{}

func (a *advice) get() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wait
}

// heed notes the Retry-After of an answer, in seconds or as a date, which is
// held against that of the answer itself: no clock of ours has to be right.
func heed(ctx context.Context, answer *http.Response) {
	a, ok := ctx.Value(adviceKey{}).(*advice)
	text := answer.Header.Get("Retry-After")
	if !ok || text == "" {
		return
	}
	var wait time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		if now, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
			wait = at.Sub(now)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wait = max(a.wait, wait)
}

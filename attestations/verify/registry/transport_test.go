package registry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"palisade/attestations/ocilayout"
	"palisade/attestations/verify"
	"palisade/attestations/verify/registry"
)

// An answer that begins and never ends is given up, whatever it is an answer to.
func TestSlow(t *testing.T) {
	slow := func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", ocilayout.IndexType)
		for q.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	s := newServer(t)
	for _, what := range []string{"manifests/v1", "manifests/v2", "referrers/" + digestOf(index).String(), "blobs/" + digestOf("content").String()} {
		s.answers[what] = slow
	}
	s.answers["manifests/v2"] = func(w http.ResponseWriter, q *http.Request) { // an error that never ends
		w.WriteHeader(http.StatusForbidden)
		slow(w, q)
	}
	r, err := registry.Connect(t.Context(), s.address+"/beacon", s.options().Within(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for what, read := range map[string]func() error{
		"a manifest": func() error { _, err := r.Manifest(t.Context(), "v1"); return err },
		"an error":   func() error { _, err := r.Manifest(t.Context(), "v2"); return err },
		"referrers":  func() error { _, err := r.Referrers(t.Context(), digestOf(index)); return err },
		"a blob": func() error {
			in, err := r.Blob(t.Context(), ocilayout.Descriptor{MediaType: ocilayout.LayerType, Digest: digestOf("content"), Size: 1 << 20})
			if err != nil {
				return err
			}
			defer in.Close()
			_, err = io.Copy(io.Discard, in)
			return err
		},
	} {
		if err := read(); !errors.Is(err, registry.ErrUnavailable) || !errors.Is(err, verify.ErrUnreachable) {
			t.Errorf("%s: %v, want %v", what, err, registry.ErrUnavailable)
		}
	}
	// And whoever reads slowly himself is not taken for one who answers so.
	s.answers["blobs/"+digestOf("content").String()] = says("", "content")
	in, err := r.Blob(t.Context(), ocilayout.Descriptor{MediaType: ocilayout.LayerType, Digest: digestOf("content"), Size: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	time.Sleep(50 * time.Millisecond)
	if data, err := io.ReadAll(in); err != nil || string(data) != "content" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestInside(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST.": true, "a.localhost": true, "127.0.0.1": true, "127.0.0.1.": true, "127.1": true, "2130706433": true, "0x7f000001": true,
		"10.1.2.3": true, "192.168.0.1": true, "169.254.169.254": true, "0.0.0.0": true, "::1": true, "::": true, "::ffff:10.0.0.1": true, "fe80::1%eth0": true, "fd00::1": true, "": true,
		"registry.example": false, "203.0.113.7": false, "2001:db8::1": false, "localhost.example": false, "10.example": false,
	} {
		if got := registry.Inside(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// Who stops is told that he did, also if the connection broke off meanwhile.
func TestStoppedWhileBroken(t *testing.T) {
	r := newServer(t).connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := r.Try(ctx, "sending", func(context.Context) error { cancel(); return io.EOF })
	if !errors.Is(err, context.Canceled) || !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

package vuln

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The library that scans runs the go command of its PATH, with all variables of its
// process. The process that it is in has none of either.
func TestChildIsAlone(t *testing.T) {
	bin := t.TempDir()
	ran := filepath.Join(bin, "ran")
	put(t, filepath.Join(bin, "go"), "#!/bin/sh\nenv > "+ran+"\n")
	if err := os.Chmod(filepath.Join(bin, "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	data := compile(t, vanilla) // by the real one
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	found, _, err := scanned(t, data)
	if err != nil || len(found) == 0 {
		t.Fatalf("%v, %v", found, err)
	}
	if said, err := os.ReadFile(ran); err == nil {
		t.Errorf("the scanner ran a program of the user's:\n%s", said)
	}
}

func TestScanInterrupted(t *testing.T) {
	dir := t.TempDir()
	db, err := Snapshot(t.Context(), unpackTxtar(t, "database.txtar", filepath.Join(dir, "db")), nil, asked, filepath.Join(dir, "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "binary"), string(compile(t, vanilla)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scan(ctx, db, filepath.Join(dir, "binary"), dir); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

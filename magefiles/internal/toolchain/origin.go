package toolchain

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/store"
)

// An Origin is the zip file that held a Go toolchain.
type Origin struct {
	Zip    artifact.Digest `json:"zip"`
	SHA512 string          `json:"sha512"` // hexadecimal
}

// GoOrigin is where tool, a pinned Go, comes from, as it was recorded when it
// was unpacked. Where there is no record it is fetched again.
func (b *Box) GoOrigin(ctx context.Context, tool artifact.Tool) (Origin, error) {
	var o Origin
	data, err := os.ReadFile(b.originFile(tool))
	if errors.Is(err, fs.ErrNotExist) {
		name, version, _ := cutLast(tool.Package, "@")
		m, err := b.Modules.One(ctx, module.Version{Path: name, Version: version}, tool.Hash)
		if err != nil {
			return o, err
		}
		if err := b.writeOrigin(tool, m); err != nil {
			return o, err
		}
		data, err = os.ReadFile(b.originFile(tool))
		if err != nil {
			return o, err
		}
	} else if err != nil {
		return o, err
	}
	err = json.Unmarshal(data, &o)
	if sum, notHex := hex.DecodeString(o.SHA512); err != nil || o.Zip.IsZero() || notHex != nil || len(sum) != sha512.Size {
		return Origin{}, fmt.Errorf("reading where %s came from: %w: %s is damaged; remove it and build again", tool.Package, ErrChanged, b.originFile(tool))
	}
	return o, nil
}

// The record lies beside the toolchain's directory.
func (b *Box) originFile(tool artifact.Tool) string { return b.place(tool) + ".zip.json" }

func (b *Box) writeOrigin(tool artifact.Tool, m modules.Module) error {
	f, err := os.Open(m.Zip)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha512.New()
	digest, _, err := artifact.DigestReader(io.TeeReader(f, h))
	if err != nil {
		return err
	}
	if digest != m.ZipDigest {
		return fmt.Errorf("reading %s: %w: %s was changed after it was fetched; remove it and build again", m.Version, modules.ErrChanged, m.Zip)
	}
	return store.WriteFile(b.originFile(tool), 0o600, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(Origin{Zip: digest, SHA512: hex.EncodeToString(h.Sum(nil))})
	})
}

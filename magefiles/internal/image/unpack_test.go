package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
	"palisade/magefiles/internal/archive"
)

// released writes what s is made of into a directory, as a release has it.
func released(t testing.TB, s Spec) string {
	t.Helper()
	dir, parts := t.TempDir(), t.TempDir()
	for i, from := range s.Sources {
		rec := &s.Sources[i].Record
		var members []archive.Member
		for _, f := range rec.Members {
			file := filepath.Join(parts, f.Digest.Hex())
			put(t, file, from, f)
			mode := os.FileMode(0o644)
			if f.Mode == "0755" {
				mode = 0o755
			}
			members = append(members, archive.Member{Name: f.Name, Mode: mode, Content: file})
		}
		for _, f := range rec.Documents {
			put(t, filepath.Join(dir, f.Name), from, f)
		}
		var out bytes.Buffer
		var err error
		if rec.Members, err = archive.TarGz(&out, time.Unix(rec.Epoch, 0), members); err != nil {
			t.Fatal(err)
		}
		rec.Size, rec.Digest = int64(out.Len()), artifact.DigestBytes(out.Bytes())
		if err := os.WriteFile(filepath.Join(dir, rec.Name), out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func put(t testing.TB, name string, from Source, f artifact.File) {
	t.Helper()
	r, err := from.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err == nil {
		err = os.WriteFile(name, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// From the archives of a release comes the image that comes from the files that
// they were made of.
func TestUnpack(t *testing.T) {
	s := spec(t, made(t), "bell", "hardened")
	dir := released(t, s)
	want, wantImage := build(t, s)
	temp := t.TempDir()
	for i, from := range s.Sources {
		var err error
		if s.Sources[i], err = Unpack(t.Context(), dir, temp, from.Record, from.Licence); err != nil {
			t.Fatal(err)
		}
	}
	got, image := build(t, s)
	if !bytes.Equal(got, want) || !reflect.DeepEqual(image, wantImage) {
		t.Error("the images differ")
	}
}

func TestUnpackStops(t *testing.T) {
	s := spec(t, made(t), "bell", "hardened")
	if _, err := Unpack(cancelled(t), released(t, s), t.TempDir(), s.Sources[0].Record, ""); !errors.Is(err, context.Canceled) || errors.Is(err, ErrSource) {
		t.Error(err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	flip := func(at func(int) int) func([]byte) []byte {
		return func(data []byte) []byte { data[at(len(data))] ^= 1; return data }
	}
	same := func(data []byte) []byte { return data }
	for _, tt := range []struct {
		name   string
		change func([]byte) []byte
		record func(*artifact.Record)
		want   string
	}{
		{"no archive", func([]byte) []byte { return []byte("hello") }, nil, "unpacking bell"},
		{"cut short", func(data []byte) []byte { return data[:len(data)/2] }, nil, "unexpected EOF"},
		{"without its checksum", func(data []byte) []byte { return data[:len(data)-8] }, nil, "unexpected EOF"},
		{"changed", flip(func(n int) int { return n / 2 }), nil, ErrSource.Error()},
		{"changed in its head", flip(func(int) int { return 4 }), nil, "its digest is sha256:"},
		{"followed by something", func(data []byte) []byte { return append(data, 0) }, nil, ErrSource.Error()},
		{"another digest", same, func(r *artifact.Record) { r.Digest = artifact.DigestBytes(nil) }, "its digest is sha256:"},
		{"another member", same, func(r *artifact.Record) { r.Members[1].Digest = artifact.DigestBytes(nil) }, "not sha256:e3b0"},
		{"a member of another size", same, func(r *artifact.Record) { r.Members[1].Size++ }, "is not the member that its record names next"},
		{"a member called otherwise", same, func(r *artifact.Record) { r.Members[1].Name += "x" }, "is not the member that its record names next"},
		{"a member too many", same, func(r *artifact.Record) { r.Members = r.Members[:1] }, "is not the member that its record names next"},
		{"a member too few", same, func(r *artifact.Record) { r.Members = append(r.Members, r.Members[0]) }, "it holds 8 of 9 members"},
		{"a member of another mode", same, func(r *artifact.Record) { r.Members[1].Mode = "0600" }, "is not the member that its record names next"},
		{"a second stream", func(data []byte) []byte { return append(data, data...) }, nil, "something follows the compressed data"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := spec(t, made(t), "bell", "hardened")
			dir := released(t, s)
			rec := s.Sources[0].Record
			data, err := os.ReadFile(filepath.Join(dir, rec.Name))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, rec.Name), tt.change(data), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.record != nil {
				tt.record(&rec)
			}
			if _, err := Unpack(t.Context(), dir, t.TempDir(), rec, ""); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// What an archive has beside its members is refused, though its digest be that
// of the record.
func TestUnpackWalls(t *testing.T) {
	for name, tt := range map[string]struct {
		header tar.Header
		is     error
	}{
		"link":                {tar.Header{Typeflag: tar.TypeSymlink, Name: "sh", Linkname: "/bin/sh"}, unpack.ErrType},
		"device":              {tar.Header{Typeflag: tar.TypeChar, Name: "null"}, unpack.ErrType},
		"name that leads out": {tar.Header{Typeflag: tar.TypeDir, Name: "../x/", Mode: 0o755}, unpack.ErrName},
		"extended attribute":  {tar.Header{Typeflag: tar.TypeDir, Name: "x/", Mode: 0o755, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "x"}}, unpack.ErrType},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, made(t), "bell", "hardened")
			dir := released(t, s)
			rec := s.Sources[0].Record
			var out bytes.Buffer
			zw := gzip.NewWriter(&out)
			tw := tar.NewWriter(zw)
			if err := errors.Join(tw.WriteHeader(&tt.header), tw.Close(), zw.Close(), os.WriteFile(filepath.Join(dir, rec.Name), out.Bytes(), 0o644)); err != nil {
				t.Fatal(err)
			}
			rec.Digest, rec.Members = artifact.DigestBytes(out.Bytes()), nil
			if _, err := Unpack(t.Context(), dir, t.TempDir(), rec, ""); !errors.Is(err, ErrSource) || !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %v", err, tt.is)
			}
		})
	}
}

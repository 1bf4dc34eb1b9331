package artifact

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParsePlatform(t *testing.T) {
	tests := []struct {
		in   string
		want Platform
		slug string
	}{
		{"linux/amd64", Platform{"linux", "amd64", ""}, "linux-amd64"},
		{"linux/arm/v7", Platform{"linux", "arm", "v7"}, "linux-armv7"},
		{"linux/386", Platform{"linux", "386", ""}, "linux-386"},
		{"linux/s390x", Platform{"linux", "s390x", ""}, "linux-s390x"},
		{"windows/amd64", Platform{"windows", "amd64", ""}, "windows-amd64"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			p, err := ParsePlatform(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if p != tt.want || p.String() != tt.in || p.Slug() != tt.slug {
				t.Errorf("= %#v, %q, %q, want %#v, %q, %q", p, p, p.Slug(), tt.want, tt.in, tt.slug)
			}
			text, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			var back Platform
			if err := json.Unmarshal(text, &back); err != nil || back != p {
				t.Errorf("%s reads back as %v, %v", text, back, err)
			}
		})
	}
}

func TestParsePlatformRefuses(t *testing.T) {
	for _, in := range []string{
		"", "/", "linux", "linux/", "/amd64", "linux//v7", "linux/arm/", "linux/arm/v7/hard",
		"Linux/amd64", "linux/AMD64", "linux/x86_64", "linux-amd64", "linux/amd64 ", "linux/amd64\n",
		"../amd64", "linux/ämd64", "linux/amd64\x00",
	} {
		if p, err := ParsePlatform(in); !errors.Is(err, ErrPlatform) || p != (Platform{}) {
			t.Errorf("ParsePlatform(%q) = %v, %v, want ErrPlatform", in, p, err)
		}
	}
}

// A value that ParsePlatform would not give is not written either.
func TestPlatformMarshalRefuses(t *testing.T) {
	for _, p := range []Platform{
		{}, {OS: "linux"}, {Arch: "amd64"}, {OS: "Linux", Arch: "amd64"},
		{OS: "linux/arm", Arch: "v7"}, {OS: "linux", Arch: "arm/v7"}, {OS: "linux", Arch: "arm", Variant: "v/7"},
	} {
		if text, err := json.Marshal(p); !errors.Is(err, ErrPlatform) {
			t.Errorf("%#v marshals to %s, %v, want ErrPlatform", p, text, err)
		}
	}
}

// What is read is written again as it was, and is fit for a file name.
func FuzzParsePlatform(f *testing.F) {
	for _, s := range []string{"", "/", "linux/amd64", "linux/arm/v7", "linux/arm/v7/x", "Linux/amd64", "..//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePlatform(s)
		if err != nil {
			if !errors.Is(err, ErrPlatform) || p != (Platform{}) {
				t.Errorf("refused with %v, %v", p, err)
			}
			return
		}
		if text, err := p.MarshalText(); err != nil || string(text) != s {
			t.Errorf("%q is written as %q, %v", s, text, err)
		}
		if strings.ContainsAny(p.Slug(), "/\\.\x00") {
			t.Errorf("slug %q is no file name", p.Slug())
		}
	})
}

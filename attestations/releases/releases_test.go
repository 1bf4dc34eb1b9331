package releases

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
)

var update = flag.Bool("update", false, "rewrite the example in attestations/predicates")

var day = time.Date(2026, 11, 22, 7, 30, 1, 0, time.UTC)

func digestOf(s string) artifact.Digest { return artifact.DigestBytes([]byte(s)) }

// release is one of that version, in which the image of the beacon is always the same.
func release(version string) Release {
	return Release{
		Version: version, Tag: "v" + version, Commit: strings.Repeat("0a", 20), Manifest: digestOf("release.json of " + version),
		Files: digestOf("files of " + version), Notes: digestOf("notes of " + version),
		Images: []Image{{"beacon", "hardened", digestOf("beacon")}, {"bell", "hardened", digestOf("bell " + version)}},
	}
}

func made(t testing.TB) func(Index, error) Index {
	return func(i Index, err error) Index {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
}

func encoded(t testing.TB, i Index) ([]byte, artifact.Digest) {
	t.Helper()
	data, err := i.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data, artifact.DigestBytes(data)
}

// third is an index of two releases, of which the first was withdrawn.
func third(t testing.TB) Index {
	first := made(t)(First("palisade", release("1.0.0"), day, DefaultLife))
	_, d := encoded(t, first)
	second := made(t)(first.Next(d, release("1.1.0"), day.AddDate(0, 1, 0), DefaultLife))
	_, d = encoded(t, second)
	return made(t)(second.Renew(d, day.AddDate(0, 2, 0), DefaultLife, Withdrawal{"1.0.0", "Its beacon shines green."}))
}

func TestForm(t *testing.T) {
	i := third(t)
	data, d := encoded(t, i)
	if again := made(t)(Parse(data)); i.Number != 3 || again.Follows(i) == nil || len(again.Releases) != 2 {
		t.Errorf("%+v", again)
	} else if _, e := encoded(t, again); e != d {
		t.Error("what was read is written as something else")
	}
	file := filepath.Join("..", "predicates", "releases.md")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, got, ok := strings.Cut(string(page), "\n```json\n")
	if !ok {
		t.Fatal("releases.md has no example")
	}
	if want := string(data) + "```\n"; *update {
		if err := os.WriteFile(file, []byte(text+"\n```json\n"+want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != want {
		t.Error("the example of releases.md is another one; run with -update and look at the change")
	}
	for _, m := range regexp.MustCompile(`"([a-z]+)":`).FindAllStringSubmatch(string(data), -1) {
		if !regexp.MustCompile("`(releases\\[\\]\\.)?(images\\[\\]\\.)?" + m[1] + "`").MatchString(text) {
			t.Errorf("releases.md does not explain %s", m[1])
		}
	}
	if !strings.Contains(text, "`"+Schema+"`") {
		t.Errorf("releases.md does not name %s", Schema)
	}
}

// Whatever Encode would not write is refused.
func TestParseRefuses(t *testing.T) {
	good, _ := encoded(t, third(t))
	for _, tt := range []struct{ name, old, new string }{
		{"another schema", `.v1"`, `.v2"`},
		{"no distribution", `"palisade",`, `"",`},
		{"a distribution that is a path", `"palisade",`, `"../palisade",`},
		{"an unknown key", `"number": 3`, `"more": 1, "number": 3`},
		{"a key twice", `"number": 3`, `"number": 3, "number": 3`},
		{"a key in other capitals", `"number": 3`, `"Number": 3`},
		{"number 0", `"number": 3`, `"number": 0`},
		{"a number below 0", `"number": 3`, `"number": -1`},
		{"a number in other words", `"number": 3`, `"number": 3e0`},
		{"a number that no reader can hold", `"number": 3`, `"number": 9007199254740992`},
		{"the first with a previous one", `"number": 3`, `"number": 1`},
		{"no previous one", `"previous": "` + third(t).Previous.String() + "\",\n", ``},
		{"times elsewhere", `2027-01-22T07:30:01Z`, `2027-01-22T08:30:01+01:00`},
		{"parts of a second", `2027-01-22T07:30:01Z`, `2027-01-22T07:30:01.5Z`},
		{"no issue", `"issued": "2027-01-22T07:30:01Z",`, ``},
		{"an end before its issue", `"issued": "2027-01-22`, `"issued": "2028-01-22`},
		{"a life for ever", `"expires": "2027`, `"expires": "2029`},
		{"a version twice", `"version": "1.0.0"`, `"version": "1.1.0"`},
		{"versions out of order", `"version": "1.1.0",` + "\n      " + `"tag": "v1.1.0"`, `"version": "0.9.0",` + "\n      " + `"tag": "v0.9.0"`},
		{"a pre-release", `1.1.0`, `1.1.0-rc.1`},
		{"a version with a zero before it", `1.1.0`, `1.01.0`},
		{"another tag", `"tag": "v1.1.0"`, `"tag": "v1.1.1"`},
		{"a commit that is none", `"commit": "0a`, `"commit": "0x`},
		{"no manifest", `"manifest": "` + digestOf("release.json of 1.0.0").String() + "\",\n", ``},
		{"another algorithm", `"manifest": "sha256:`, `"manifest": "sha512:`},
		{"null for images", `"images": [`, `"images": null, "x": [`},
		{"images out of order", `"component": "beacon"`, `"component": "zebra"`},
		{"an image twice", `"component": "beacon"`, `"component": "bell"`},
		{"an image of no variant", `"variant": "hardened"`, `"variant": ""`},
		{"withdrawn for nothing", `"withdrawn": "Its beacon shines green."`, `"withdrawn": ""`},
		{"a reason that moves the cursor", `Its beacon`, `\u001b[A`},
		{"a reason without an end", `Its beacon`, strings.Repeat("x", maxReason)},
		{"another indentation", "  \"number\"", "\t\"number\""},
		{"something behind it", "}\n", "}\n\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := good
			if tt.name == "something behind it" {
				data = append(bytes.Clone(good), '\n')
			} else if data = bytes.Replace(good, []byte(tt.old), []byte(tt.new), 1); bytes.Equal(data, good) {
				t.Fatalf("nothing to replace: %q", tt.old)
			}
			if _, err := Parse(data); !errors.Is(err, ErrMalformed) {
				t.Errorf("Parse = %v", err)
			}
		})
	}
	for _, data := range [][]byte{nil, []byte("null"), []byte("[]"), bytes.Repeat([]byte("["), 1<<20), bytes.Repeat([]byte(" "), MaxSize+1)} {
		if _, err := Parse(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("Parse of %.10q = %v", data, err)
		}
	}
}

// An index has so many releases, and so many bytes.
func TestBounds(t *testing.T) {
	i := made(t)(First("palisade", release("0.0.0"), day, DefaultLife))
	for n := 1; n < MaxReleases; n++ {
		i.Releases = append(i.Releases, i.Releases[0])
		r := &i.Releases[n]
		r.Version = "0.0." + itoa(n)
		r.Tag, r.Images = "v"+r.Version, []Image{}
	}
	if data, _ := encoded(t, i); len(data) > MaxSize {
		t.Errorf("%d bytes", len(data))
	}
	one := release("0.1.0")
	if _, err := i.Next(must(i.digest())(t), one, day, DefaultLife); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "4097 releases") {
		t.Errorf("Next = %v", err)
	}
	for n := range i.Releases {
		i.Releases[n].Withdrawn = strings.Repeat("x", maxReason)
		i.Releases[n].Images = one.Images
	}
	if _, err := i.Encode(); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "larger") {
		t.Errorf("Encode = %v", err)
	}
	for range MaxImages {
		one.Images = append(one.Images, Image{"z" + itoa(len(one.Images)+1000), "hardened", digestOf("x")})
	}
	if _, err := First("palisade", one, day, DefaultLife); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "258 images") {
		t.Errorf("First = %v", err)
	}
}

// The images of an entry are those of release.json, in the order of the entry.
func TestImagesOf(t *testing.T) {
	m := &artifact.Manifest{Images: []artifact.Image{
		{Component: "bell", Variant: "hardened", Index: digestOf("1")}, {Component: "beacon", Variant: "vanilla", Index: digestOf("2")}, {Component: "beacon", Variant: "hardened", Index: digestOf("3")},
	}}
	r := release("1.0.0")
	r.Images = ImagesOf(m)
	if r.Images[0].Digest != digestOf("3") || r.Images[1].Digest != digestOf("2") {
		t.Errorf("%+v", r.Images)
	}
	if _, err := First("palisade", r, day, DefaultLife); err != nil {
		t.Error(err)
	}
	if none := ImagesOf(&artifact.Manifest{}); none == nil || len(none) > 0 {
		t.Errorf("%#v", none)
	}
}

func FuzzParse(f *testing.F) {
	first, err := First("palisade", release("1.0.0"), day, DefaultLife)
	if err != nil {
		f.Fatal(err)
	}
	for _, i := range []Index{first, third(f)} {
		data, err := i.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(bytes.Replace(data, []byte("hardened"), []byte(`hard\u0065ned`), 1))
	}
	f.Add([]byte(`{"schema":"palisade.releases.v1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("refused for another reason: %v", err)
			}
			return
		}
		if form, err := i.Encode(); err != nil || !bytes.Equal(form, data) {
			t.Errorf("read, and written as\n%s, %v", form, err)
		}
		if _, err := i.Renew(artifact.DigestBytes(data), i.Issued, DefaultLife); err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("Renew = %v", err)
		}
	})
}

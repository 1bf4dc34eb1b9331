package recipes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

func TestImage(t *testing.T) {
	r, d, err := load(good(t), "bell")
	if err != nil {
		t.Fatal(err)
	}
	amd64 := artifact.Platform{OS: "linux", Arch: "amd64"}
	for variant, want := range map[string]struct {
		files   []ImageFile
		volumes []string
	}{
		"hardened": {[]ImageFile{
			{Own: "image.yml", As: "/etc/bell/default.yml"}, {Member: "ring.yml", As: "/ring.yml"}, {Own: "image.yml", As: "/etc/bell/more/own.yml"},
		}, []string{"/bell", "/credentials", "/srv/rings"}},
		"vanilla": {[]ImageFile{
			{Member: "default.yml", As: "/etc/bell/default.yml"}, {Member: "ring.yml", As: "/ring.yml"},
		}, []string{"/bell", "/srv/rings"}},
	} {
		if got := r.ImageFiles(amd64, variant); !reflect.DeepEqual(got, want.files) {
			t.Errorf("%s: files %+v", variant, got)
		}
		if got := r.ImageVolumes(variant); !slices.Equal(got, want.volumes) {
			t.Errorf("%s: volumes %q", variant, got)
		}
	}
	r.Platforms = append([]artifact.Platform{{OS: "darwin", Arch: "arm64"}}, r.Platforms...)
	if got := r.ImagePlatforms(); !slices.Equal(got, []artifact.Platform{amd64}) {
		t.Errorf("platforms %v", got)
	}
	if got := d.Roots.Released().Unix(); got != 1793374314 { // 2026-10-30T15:31:54Z
		t.Errorf("the roots are of %d", got)
	}
	if m := d.Roots.Artifact(); m.Path != "example.org/roots" || m.Sum != "h1:roots=" || m.Zip.Hex() != d.Roots.Zip.Hex() || d.Registry != "registry.example.org:5000/bells" {
		t.Errorf("roots %+v, registry %s", m, d.Registry)
	}
}

// A recipe without an image section has no images, and needs no roots.
func TestNoImage(t *testing.T) {
	fsys := good(t)
	edit(t, fsys, "distribution.yaml", "roots:\n  module: example.org/roots\n  version: v0.0.0-20261030153154-30a33513ff6d\n  sum: h1:roots=\n  zip: sha256:1d89cd0d2f89441aec256fba2c3aaf0d83579f5bd2ceafa6c83f5b3698b3adcf\nregistry: registry.example.org:5000/bells\n", "")
	r, d, err := load(fsys, "clock")
	if err != nil || r.Image != nil || d.Roots != nil || d.Registry != "" {
		t.Errorf("%+v, %+v, %v", r, d, err)
	}
	if _, _, err := load(fsys, "bell"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "image: distribution.yaml pins no roots") {
		t.Error(err)
	}
}

// Each case changes one thing of what loads, and is refused for it.
func TestImageRefuses(t *testing.T) {
	const bell, clock, dist = "bell/recipe.yaml", "clock/recipe.yaml", "distribution.yaml"
	for _, tt := range []struct{ name, file, old, new, want string }{
		{"unknown key", bell, "  ports: [9700]", "  ports: [9700]\n  shell: /bin/sh", "field shell not found"},
		{"no entrypoint", bell, "  entrypoint: [/bin/bell]\n", "", "entrypoint [] does not begin with a binary"},
		{"entrypoint of no binary", bell, "[/bin/bell]", "[/bin/sh]", `entrypoint ["/bin/sh"] does not begin`},
		{"entrypoint elsewhere", bell, "[/bin/bell]", "[/usr/bin/bell]", "does not begin with a binary of the recipe"},
		{"argument with a space", bell, "[/bin/bell]", `[/bin/bell, "a b"]`, `argument "a b" is empty, or not`},
		{"empty argument", bell, "cmd: [", `cmd: ["", `, `argument "" is empty`},
		{"argument with a control character", bell, "cmd: [", `cmd: ["a\x07", `, `argument "a\a"`},
		{"port 0", bell, "[9700]", "[0]", "port 0 is none"},
		{"port too high", bell, "[9700]", "[65536]", "port 65536 is none"},
		{"port twice", bell, "[9700]", "[9700, 9700]", "port 9700 is none, or there twice"},
		{"port is a text", bell, "[9700]", "[9700/udp]", "cannot unmarshal"},
		{"volume is relative", bell, "/srv/rings", "srv/rings", `volume "srv/rings"`},
		{"volume leads out", bell, "/srv/rings", "/srv/../bin", `volume "/srv/../bin"`},
		{"volume is everything", bell, "/srv/rings", "/", `volume "/"`},
		{"volume hides binaries", bell, "/srv/rings", "/bin", `volume "/bin"`},
		{"volume hides certificates", bell, "/srv/rings", "/etc/ssl", `volume "/etc/ssl"`},
		{"volume hides credentials", bell, "/srv/rings", "/credentials/more", `volume "/credentials/more"`},
		{"volume of the kernel's", bell, "/srv/rings", "/proc", `volume "/proc"`},
		{"volume with a colon", bell, "/srv/rings", `"/srv:ro"`, `volume "/srv:ro"`},
		{"volume twice", bell, "/srv/rings", "/bell", `volume "/bell" is not an absolute plain path of its own`},
		{"volume in another", bell, "/srv/rings", "/bell/more", `volume "/bell/more" is not`},
		{"working directory is relative", bell, "workdir: /bell", "workdir: bell", `workdir "bell"`},
		{"working directory of others", bell, "workdir: /bell", "workdir: /etc/bell", `workdir "/etc/bell"`},
		{"licence that no archive holds", bell, "licences: [LICENSE]", "licences: [COPYING]", `licence "COPYING"`},
		{"licence of ours", bell, "licences: [LICENSE]", "licences: [bell.service]", `licence "bell.service"`},
		{"licence twice", bell, "licences: [LICENSE]", "licences: [LICENSE, LICENSE]", "there twice"},
		{"licence that is there anyway", bell, "licences: [LICENSE]", "licences: [THIRD_PARTY_LICENSES]", `licence "THIRD_PARTY_LICENSES" is there twice`},
		{"file of neither kind", bell, "    - member: ring.yml\n      as", "    - as", "image: file 2 names none"},
		{"file that no archive holds", bell, "member: ring.yml", "member: rong.yml", `file "rong.yml" is not one of the archive`},
		{"file that is a binary", bell, "member: ring.yml", "member: bell", `file "bell" is not one of the archive`},
		{"own file that is missing", bell, "own: image.yml", "own: other.yml", `file "other.yml" is not a plain name`},
		{"own file elsewhere", bell, "own: image.yml", "own: ../clock/recipe.yaml", `file "../clock/recipe.yaml" is not a plain name`},
		{"own file is the lock", bell, "own: image.yml", "own: go.mod", `file "go.mod" is not a plain name`},
		{"place is relative", bell, "as: /ring.yml", "as: ring.yml", `"ring.yml" as "ring.yml"`},
		{"no place", bell, "      as: /ring.yml\n", "", `"ring.yml" as ""`},
		{"place leads out", bell, "as: /ring.yml", "as: /etc/bell/../passwd", `as "/etc/bell/../passwd"`},
		{"file that removes another", bell, "as: /ring.yml", "as: /etc/bell/.wh.ring.yml", `as "/etc/bell/.wh.ring.yml" is not a plain path`},
		{"place of the base layer", bell, "as: /ring.yml", "as: /etc/passwd", `as "/etc/passwd" is not a plain path directly below / or below /etc/bell`},
		{"place among binaries", bell, "as: /ring.yml", "as: /bin/ring", `as "/bin/ring"`},
		{"place of a folder", bell, "as: /ring.yml", "as: /tmp", `as "/tmp"`},
		{"place of credentials", bell, "as: /ring.yml", "as: /credentials", `as "/credentials"`},
		{"place of a volume", bell, "as: /ring.yml", "as: /bell", `"/bell" lies in /bell`},
		{"place above a volume", bell, "as: /ring.yml", "as: /srv", `"/srv" lies in /srv/rings`},
		{"place twice", bell, "as: /ring.yml", "as: /etc/bell/default.yml", `"/etc/bell/default.yml" is there twice`},
		{"place below a file", bell, "as: /ring.yml", "as: /etc/bell/default.yml/x", "or a file and a folder"},
		{"no platform of linux", clock, "platforms: [linux/amd64, linux/arm/v7]", "image:\n  entrypoint: [/bin/clock]\nplatforms: [darwin/arm64]", "image: no platform of the recipe is of linux"},

		{"registry with a scheme", dist, "registry: registry", "registry: https://registry", `registry "https://registry`},
		{"registry with a tag", dist, ":5000/bells", "/bells:latest", `/bells:latest" is not`},
		{"registry in capitals", dist, "/bells", "/Bells", `/Bells" is not`},
		{"registry that leads out", dist, "/bells", "/../bells", `is not of the form`},
		{"roots have an unknown key", dist, "  sum: h1:roots=", "  hash: h1:roots=", "field hash not found"},
		{"roots without a hash", dist, "  sum: h1:roots=\n", "", "roots: sum (h1:…) and zip"},
		{"roots without a zip", dist, "  zip: sha256:1d89cd0d2f89441aec256fba2c3aaf0d83579f5bd2ceafa6c83f5b3698b3adcf\n", "", "roots: sum (h1:…) and zip"},
		{"roots with half a zip", dist, "b3adcf", "", "malformed digest"},
		{"roots of a release", dist, "v0.0.0-20261030153154-30a33513ff6d", "v1.2.3", `version "v1.2.3" is not a pseudo-version`},
		{"roots of no version", dist, "v0.0.0-20261030153154-30a33513ff6d", "latest", "roots: "},
		{"roots of no module", dist, "module: example.org/roots", "module: ../roots", "roots: "},
		{"roots under what is no licence", dist, "  sum: h1:roots=\n", "  sum: h1:roots=\n  licence: Mozilla's\n  why: it says so\n", `licence "Mozilla's"`},
		{"roots under a licence for no reason", dist, "  sum: h1:roots=\n", "  sum: h1:roots=\n  licence: MPL-2.0\n", "why is missing"},
		{"roots with a reason for no licence", dist, "  sum: h1:roots=\n", "  sum: h1:roots=\n  why: it says so\n", "why is missing, or is there without it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := good(t)
			edit(t, fsys, dist, "platforms:\n", "platforms:\n  - darwin/arm64\n")
			edit(t, fsys, tt.file, tt.old, tt.new)
			name := "bell"
			if tt.file == clock {
				name = "clock"
			}
			if _, _, err := load(fsys, name); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// The certificates are Mozilla's, which the module that they are taken from
// does not say.
func TestShippedRoots(t *testing.T) {
	d, _ := shipped(t)
	said, ok := d.Roots.Statement()
	if !ok || said.Is != "BSD-3-Clause AND MPL-2.0" || said.Of != "pkg:golang/golang.org/x/crypto/x509roots/fallback@"+d.Roots.Version {
		t.Errorf("%+v", said)
	}
	if err := validateLicences([]Licence{said}, nil); err != nil {
		t.Error(err)
	}
}

// Every component has an image, whose binaries, arguments and files are those
// of the unit that ships, but for where they lie.
func TestShippedImages(t *testing.T) {
	_, all := shipped(t)
	ports := map[string]int{
		"prometheus": 9090, "pushgateway": 9091, "alertmanager": 9093, "node_exporter": 9100, "blackbox_exporter": 9115, "snmp_exporter": 9116,
	}
	for _, r := range all {
		i := r.Image
		if i == nil {
			t.Errorf("%s has no image", r.Name)
			continue
		}
		if !slices.Equal(i.Entrypoint, []string{"/bin/" + r.Name}) || !slices.Equal(i.Ports, []int{ports[r.Name]}) || !slices.Equal(i.Licences, []string{"LICENSE", "NOTICE"}) {
			t.Errorf("%s: %+v", r.Name, i)
		}
		unit, err := fs.ReadFile(r.Dir, r.Name+".service")
		if err != nil {
			t.Fatal(err)
		}
		for _, argument := range i.Cmd {
			name, value, _ := strings.Cut(argument, "=")
			if !strings.Contains(string(unit), name+"=") {
				t.Errorf("%s: the image is started with %s, the unit is not", r.Name, name)
			}
			if name == "--config.file" && !slices.ContainsFunc(i.Files, func(f ImageFile) bool { return f.As == value }) {
				t.Errorf("%s: there is no %s", r.Name, value)
			}
		}
		if !slices.ContainsFunc(i.Files, func(f ImageFile) bool { return f.Member == "web-config.yml" && f.As == "/web-config.yml" }) {
			t.Errorf("%s: web-config.yml is not beside %s, to which its paths are relative", r.Name, CredentialsDir)
		}
		for _, f := range i.Files {
			if f.Own == "" {
				continue
			}
			data, err := fs.ReadFile(r.Dir, f.Own)
			if found := secret.Find(data); err != nil || found != nil {
				t.Errorf("%s/%s holds %q, %v", r.Name, f.Own, found, err)
			}
		}
	}
}

// The image's configuration of prometheus is that of the archive, but for its
// head and where the credentials are.
func TestShippedImageConfiguration(t *testing.T) {
	body := func(name string) string {
		data, err := os.ReadFile(filepath.Join("prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		_, body, found := strings.Cut(string(data), "\n\n")
		if !found {
			t.Fatalf("%s has no head", name)
		}
		return body
	}
	if want := strings.ReplaceAll(body("prometheus.yml"), " credentials/", " "+CredentialsDir+"/"); body("prometheus.image.yml") != want {
		t.Errorf("prometheus.image.yml does not follow prometheus.yml; want below its head:\n%s", want)
	}
}

// What images set is what the patch reads.
func TestCredentialsEnv(t *testing.T) {
	found := 0
	patches, err := filepath.Glob("../patches/exporter-toolkit/*/*.patch")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range patches {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), `credentialsEnv = "`+CredentialsEnv+`"`) {
			found++
		}
	}
	if found == 0 {
		t.Errorf("no patch of exporter-toolkit reads %s", CredentialsEnv)
	}
}

package consumers

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What verify.sh has to see by itself shows with a cosign that accepts all: a
// release that is not as it should be is refused, and what cannot be done is
// status 2. TestStockCommands has it work with the real ones.
func TestScript(t *testing.T) {
	const a, b, c = "a b.tar.gz", "-b.tar.gz", "c.oci.tar"
	said := map[string]string{
		"dsse":    `{"dsseEnvelope": {}}`,
		"snake":   `{"dsse_envelope":{}}`,
		"escaped": "{\n\"d\\u0073seEnvelope\":{}}",
	}
	tests := []struct {
		name   string
		edit   map[string]string // files of the release; "" removes one
		args   []string
		lacks  string // a program
		status int
		says   string
	}{
		{name: "whole", says: "PASSED  2 artifacts"},
		{name: "one", args: []string{a}, says: "PASSED  1 artifacts"},
		{name: "one, twice", args: []string{a, a}, says: "PASSED  1 artifacts"},
		{name: "an image", edit: imageFiles(c), says: "PASS  " + c + "\nPASSED  3 artifacts"},
		{name: "an image alone", edit: imageFiles(c), args: []string{c}, says: "PASS  " + c + "\nPASSED  1 artifacts"},
		{name: "what registries carry with it", edit: with(imageFiles(c), "c.oci.d/x", "{}"), says: "PASS  " + c + "\nSKIP  c.oci.d: not verified here; "},
		{name: "another image", edit: with(imageFiles(c), c, "other"), status: 1, says: c + ": not the file that release.json names"},
		{name: "no image", edit: with(imageFiles(c), c, ""), status: 1, says: c + ": missing"},
		{name: "an image without provenance", edit: with(imageFiles(c), c+".provenance.sigstore.json", ""), status: 1, says: c + ".provenance.sigstore.json: missing"},
		{name: "a layer, asked for as an artifact", edit: imageFiles(c), args: []string{"base"}, status: 1, says: "does not name base"},
		{name: "of an identity", args: []string{"-i", "me", "-o", "them", "-r", "root.json"}, says: "PASSED  2 artifacts"},

		{name: "no bundle", edit: map[string]string{b + ".spdx.sigstore.json": ""}, status: 1, says: b + ".spdx.sigstore.json: missing"},
		{name: "no artifact", edit: map[string]string{a: ""}, status: 1, says: a + ": missing"},
		{name: "no index", edit: map[string]string{"release.json": ""}, status: 1, says: "release.json: missing"},
		{name: "another file", edit: map[string]string{b: "other"}, status: 1, says: b + ": not the file that release.json names"},
		{name: "a link", edit: map[string]string{b: "->publisher.pub"}, status: 1, says: b + ": missing, or not a file"},
		{name: "a statement for a signature", edit: map[string]string{a + ".sigstore.json": said["dsse"]}, status: 1, says: a + ".sigstore.json: not a signature of a file"},
		{name: "by its other name", edit: map[string]string{a + ".sigstore.json": said["snake"]}, status: 1, says: "not a signature of a file"},
		{name: "and escaped", edit: map[string]string{a + ".sigstore.json": said["escaped"]}, status: 1, says: "not a signature of a file"},
		{name: "a statement for the index's", edit: map[string]string{"release.json.sigstore.json": said["dsse"]}, status: 1, says: "release.json.sigstore.json: not a signature of a file"},

		{name: "asked for another", args: []string{a, "c.tar.gz"}, status: 1, says: "does not name c.tar.gz"},
		{name: "nothing in the index", edit: map[string]string{"release.json": "{}\n"}, status: 1, says: "names no artifact"},
		{name: "a name that leads out", edit: map[string]string{"release.json": entry("../x", "x")}, status: 1, says: "names an artifact ../x"},
		{name: "an escaped name", edit: map[string]string{"release.json": entry(`\u002e`, "x")}, status: 1, says: `names an artifact \u002e`},
		{name: "an empty name", edit: map[string]string{"release.json": entry("", "x")}, status: 1, says: "names an artifact "},
		{name: "a name without a digest", edit: map[string]string{"release.json": "      \"name\": \"x\",\n" + entry(a, a)}, status: 1, says: "has no digest of x"},
		{name: "the last without a digest", edit: map[string]string{"release.json": entry(a, a) + "      \"name\": \"x\",\n"}, status: 1, says: "has no digest of x"},
		{name: "a name twice", edit: map[string]string{"release.json": entry(a, a) + entry(a, a)}, args: []string{a, "c.tar.gz"}, status: 1, says: "names " + a + " twice"},

		{name: "no cosign", lacks: "cosign", status: 2, says: "there is no cosign on PATH"},
		{name: "no sha256sum", lacks: "sha256sum", status: 2, says: "there is no sha256sum on PATH"},
		{name: "no folder", args: []string{"-d", "nowhere"}, status: 2, says: "nowhere"},
		{name: "an empty folder's name", args: []string{"-d", ""}, status: 2, says: "usage: "},
		{name: "the folder before", args: []string{"-d", "-"}, status: 2, says: "usage: "},
		{name: "a path", args: []string{"dist/" + a}, status: 2, says: "is not the name of an artifact"},
		{name: "an option behind", args: []string{a, "-d"}, status: 2, says: "is not the name of an artifact"},
		{name: "nobody", args: []string{"-r", "root.json"}, status: 2, says: "usage: "},
		{name: "no issuer", args: []string{"-i", "me", "-r", "root.json"}, status: 2, says: "usage: "},
		{name: "no authorities", args: []string{"-i", "me", "-o", "them"}, status: 2, says: "usage: "},
		{name: "key and identity", args: []string{"-k", "publisher.pub", "-i", "me"}, status: 2, says: "usage: "},
	}
	for _, sh := range []string{"sh", "dash", "bash"} {
		sh, err := exec.LookPath(sh)
		if err != nil {
			continue // sh is everywhere, the others show that it need not be one of them
		}
		for _, tt := range tests {
			t.Run(filepath.Base(sh)+"/"+tt.name, func(t *testing.T) {
				files := map[string]string{"release.json": entry(a, a) + entry(b, b), "release.json.sigstore.json": "{}"}
				for _, name := range []string{a, b} {
					files[name] = name
					for _, kind := range []string{".sigstore.json", ".spdx.sigstore.json", ".provenance.sigstore.json"} {
						files[name+kind] = "{}"
					}
				}
				for name, text := range tt.edit {
					files[name] = text
				}
				args := tt.args
				if len(args) == 0 || !slices.Contains([]string{"-k", "-i", "-r"}, args[0]) {
					args = append([]string{"-k", "publisher.pub"}, args...)
				}
				out, status := runScript(t, sh, files, tt.lacks, args)
				if status != tt.status || !strings.Contains(out, tt.says) || status != 0 && strings.Contains(out, "PASSED") {
					t.Errorf("status %d, want %d and %q: %s", status, tt.status, tt.says, out)
				}
			})
		}
	}
}

// imageFiles is an image beside the artifacts of TestScript, in release.json as it
// has it: with names and digests in it that are not those of artifacts.
func imageFiles(name string) map[string]string {
	text := strings.TrimSuffix(entry("a b.tar.gz", "a b.tar.gz")+entry("-b.tar.gz", "-b.tar.gz"), ",\n") + "\n  ],\n  \"images\": [\n" +
		strings.TrimSuffix(entry(name, name), "\n    },\n") + fmt.Sprintf(`,
      "index": "sha256:%[1]x",
      "platforms": [
        {
          "manifest": "sha256:%[1]x",
          "layers": [
            {
              "name": "base",
              "digest": "sha256:%[1]x"
            }
          ]
        }
      ],
      "documents": [
        {
          "name": "%[2]s.spdx.json",
          "digest": "sha256:%[1]x"
        }
      ]
    }
`, sha256.Sum256(nil), name)
	return map[string]string{
		"release.json": text, name: name,
		name + ".sigstore.json": "{}", name + ".spdx.sigstore.json": "{}", name + ".provenance.sigstore.json": "{}",
	}
}

func with(files map[string]string, name, text string) map[string]string {
	files[name] = text
	return files
}

// entry is as much of an artifact in release.json as verify.sh reads.
func entry(name, content string) string {
	return fmt.Sprintf("    {\n      \"name\": \"%s\",\n      \"digest\": \"sha256:%x\",\n      \"size\": 1\n    },\n", name, sha256.Sum256([]byte(content)))
}

// runScript runs verify.sh on a release of these files, with nothing on PATH
// but sha256sum and a cosign that accepts all, however large that is.
func runScript(t *testing.T, sh string, files map[string]string, lacks string, args []string) (output string, status int) {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	sum, err := exec.LookPath("sha256sum")
	if err == nil {
		err = errors.Join(os.Symlink(sum, filepath.Join(bin, "sha256sum")), os.WriteFile(filepath.Join(bin, "cosign"), []byte("#!/bin/sh\n[ \"$COSIGN_MAX_ATTACHMENT_SIZE\" = 4GB ]\n"), 0o755), os.Mkdir(filepath.Join(dir, "dist"), 0o755))
	}
	if lacks != "" {
		err = errors.Join(err, os.Remove(filepath.Join(bin, lacks)))
	}
	for name, text := range files {
		name = filepath.Join(dir, "dist", name)
		if target, link := strings.CutPrefix(text, "->"); link {
			err = errors.Join(err, os.Symlink(target, name))
		} else if text != "" {
			err = errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644))
		}
	}
	script, absErr := filepath.Abs("../../scripts/verify.sh")
	if err := errors.Join(err, absErr); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), sh, append([]string{script}, args...)...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + bin}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

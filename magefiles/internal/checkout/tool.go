package checkout

import (
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"
)

// A Tool is what makes this program and everything that it reads: go.mod,
// go.sum and the regular files below magefiles, attestations, patches and
// recipes. Sum is the "h1:" hash of go.sum of these files, whose names begin
// with palisade@Version/. A checkout without go.mod is not the program's own:
// then the zero Tool says that nothing is known of it.
type Tool struct {
	Version string // a commit that the checkout is of exactly, or "devel"
	Sum     string
}

// Module is what the tool is called.
const Module = "palisade"

// Develop is the version of what is in no commit.
const Develop = "devel"

var (
	toolFiles   = []string{"go.mod", "go.sum"}
	toolFolders = []string{"attestations", "magefiles", "patches", "recipes"}
	// What the go command would take modules from in place of go.sum's.
	substitutes = []string{"go.work", "vendor"}
)

func ofTool(name string) bool {
	folder, _, _ := strings.Cut(name, "/")
	return slices.Contains(toolFiles, name) || folder != name && slices.Contains(toolFolders, folder)
}

func toolOf(root string, names []string, version string) (Tool, error) {
	prefix := Module + "@" + version + "/"
	var files []string
	for _, name := range names {
		if !ofTool(name) {
			continue
		}
		info, err := os.Lstat(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return Tool{}, err
		}
		if info.Mode().IsRegular() { // a module has no links either
			files = append(files, prefix+name)
		}
	}
	if !slices.Contains(files, prefix+"go.mod") {
		return Tool{}, nil
	}
	sum, err := dirhash.Hash1(files, func(name string) (io.ReadCloser, error) {
		return os.Open(filepath.Join(root, filepath.FromSlash(strings.TrimPrefix(name, prefix))))
	})
	return Tool{version, sum}, err
}

// walk names the files that make the tool, whether git knows of them or not,
// symbolic links among them.
func walk(root string) ([]string, error) {
	var names []string
	for _, top := range slices.Concat(toolFiles, toolFolders, substitutes) {
		err := filepath.WalkDir(filepath.Join(root, top), func(file string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && file == filepath.Join(root, top) {
				return nil
			}
			if err != nil || e.IsDir() {
				return err
			}
			rel, err := filepath.Rel(root, file)
			if name := filepath.ToSlash(rel); name != "magefiles/mage_output_file.go" { // mage writes it and removes it
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return names, nil
}

// address is the public address of a remote, without user and password.
func address(remote string) string {
	u, err := url.Parse(remote)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Opaque != "" || strings.ContainsAny(u.Path+u.RawQuery+u.Fragment, "@?#") || u.RawQuery != "" || u.Fragment != "" {
		return ""
	}
	return (&url.URL{Scheme: "git+https", Host: strings.ToLower(u.Host), Path: u.Path}).String()
}

package webui

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/sandbox"
)

// A hostLib is a file of the host that a program needs to start: the dynamic
// loader or a shared library.
type hostLib struct {
	path string // where programs look for it
	real string // the same without symbolic links
}

// triplets names, for each machine, the directory below /lib in which Debian
// and its kin keep their libraries.
var triplets = map[elf.Machine]string{
	elf.EM_X86_64:  "x86_64-linux-gnu",
	elf.EM_AARCH64: "aarch64-linux-gnu",
	elf.EM_ARM:     "arm-linux-gnueabihf",
	elf.EM_PPC64:   "powerpc64le-linux-gnu",
	elf.EM_S390:    "s390x-linux-gnu",
	elf.EM_RISCV:   "riscv64-linux-gnu",
}

// hostLibs is what program and addons need of the host: program's interpreter
// and, over and over, the libraries that a DT_NEEDED entry names, sorted by
// path. Addons for another machine than program's are left out. Libraries are
// looked for in the directories that the GNU loader knows without its cache,
// and nowhere else: DT_RUNPATH and ld.so.conf are not followed, and what is not
// found is an error. (ld.so(8))
func hostLibs(program string, addons []string) ([]hostLib, error) {
	main, err := readELF(program)
	if err != nil {
		return nil, err
	}
	triplet := triplets[main.machine]
	dirs := []string{"/lib/" + triplet, "/usr/lib/" + triplet, "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
	if triplet == "" {
		dirs = dirs[2:]
	}
	var libs []hostLib
	seen := map[string]bool{}
	add := func(file string) error {
		real, err := filepath.EvalSymlinks(file)
		libs = append(libs, hostLib{file, real})
		return err
	}
	if main.interp != "" {
		if err := add(main.interp); err != nil {
			return nil, fmt.Errorf("%s asks for the loader %s, which this machine lacks (it needs a system with the GNU C library): %w",
				program, main.interp, err)
		}
		seen[path.Base(main.interp)] = true
	}
	queue := append([]string{program}, addons...)
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		object, err := readELF(file)
		if err != nil {
			return nil, err
		}
		if object.machine != main.machine || object.class != main.class {
			continue
		}
		for _, name := range object.needed {
			if seen[name] {
				continue
			}
			seen[name] = true
			found, err := findLib(name, dirs, main)
			if err != nil {
				return nil, fmt.Errorf("%s needs it: %w", file, err)
			}
			if err := add(found); err != nil {
				return nil, err
			}
			queue = append(queue, found)
		}
	}
	slices.SortFunc(libs, func(a, b hostLib) int { return strings.Compare(a.path, b.path) })
	return libs, nil
}

func findLib(name string, dirs []string, like object) (string, error) {
	if name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("library %q is named by a path, which is not followed", name)
	}
	for _, dir := range dirs {
		file := path.Join(dir, name)
		if o, err := readELF(file); err == nil && o.machine == like.machine && o.class == like.class {
			return file, nil
		}
	}
	return "", fmt.Errorf("library %s is in none of %s: install it there", name, strings.Join(dirs, ", "))
}

// An object is what the loader reads of an ELF file.
type object struct {
	machine elf.Machine
	class   elf.Class
	interp  string
	needed  []string
}

func readELF(name string) (object, error) {
	f, err := elf.Open(name)
	if err != nil {
		return object{}, fmt.Errorf("reading %s: %w", name, err)
	}
	defer f.Close()
	o := object{machine: f.Machine, class: f.Class}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil {
			return object{}, fmt.Errorf("reading the interpreter of %s: %w", name, err)
		}
		o.interp = strings.TrimRight(string(text), "\x00")
	}
	if o.needed, err = f.ImportedLibraries(); err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return object{}, fmt.Errorf("reading the libraries of %s: %w", name, err)
	}
	return o, nil
}

// findAddons returns the ELF files below dir, by content, among those a
// program could load: native addons, shared libraries and executables.
func findAddons(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		base := d.Name()
		if info.Mode()&0o111 == 0 && path.Ext(base) != ".node" && !strings.HasSuffix(base, ".so") && !strings.Contains(base, ".so.") {
			return nil
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		var magic [4]byte
		if _, err := io.ReadFull(f, magic[:]); err == nil && string(magic[:]) == elf.ELFMAG {
			found = append(found, name)
		}
		return nil
	})
	return found, err
}

// mounts shows libs where programs look for them.
func mounts(libs []hostLib) []sandbox.Mount {
	var m []sandbox.Mount
	for _, l := range libs {
		m = append(m, sandbox.Mount{Source: l.real, Target: l.path})
	}
	return m
}

// hostFiles records libs.
func hostFiles(libs []hostLib) ([]artifact.File, error) {
	var files []artifact.File
	for _, l := range libs {
		f, err := describe(l.real, l.path)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

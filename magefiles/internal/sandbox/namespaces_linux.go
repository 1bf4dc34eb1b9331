package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// namespaces are those a command must not share with its caller. All but the
// last of them are demanded; older kernels have no cgroup namespace.
var namespaces = []struct {
	name string
	flag uintptr
}{
	{"ipc", unix.CLONE_NEWIPC},
	{"mnt", unix.CLONE_NEWNS},
	{"net", unix.CLONE_NEWNET},
	{"pid", unix.CLONE_NEWPID},
	{"user", unix.CLONE_NEWUSER},
	{"uts", unix.CLONE_NEWUTS},
	{"cgroup", unix.CLONE_NEWCGROUP},
}

// readNamespaces gives the identity of each namespace that this process is in.
func readNamespaces() (map[string]string, error) {
	ids := map[string]string{}
	for _, ns := range namespaces {
		id, err := os.Readlink("/proc/self/ns/" + ns.name)
		if errors.Is(err, os.ErrNotExist) && ns.name == "cgroup" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading namespaces: %w", err)
		}
		ids[ns.name] = id
	}
	return ids, nil
}

func cloneFlags(known map[string]string) uintptr {
	var flags uintptr
	for _, ns := range namespaces {
		if known[ns.name] != "" {
			flags |= ns.flag
		}
	}
	return flags
}

// entered lists the namespaces of this process that are not the parent's. It
// is an error if any is.
func entered(parent map[string]string) ([]string, error) {
	own, err := readNamespaces()
	if err != nil {
		return nil, err
	}
	var names, shared []string
	for name, id := range own {
		if parent[name] == "" || parent[name] == id {
			shared = append(shared, name)
		} else {
			names = append(names, name)
		}
	}
	if len(shared) > 0 {
		slices.Sort(shared)
		return nil, fmt.Errorf("entering namespaces: %s are still the caller's", strings.Join(shared, ", "))
	}
	slices.Sort(names)
	return names, nil
}

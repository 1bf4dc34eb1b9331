package surroundings

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A controller is the memory controller of control groups, by the names that
// their two interfaces have for what is read here. What a group keeps of files
// that nobody uses it can give back.
type controller struct{ most, used, stat, unused string }

var (
	version1 = controller{"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"}
	version2 = controller{"memory.max", "memory.current", "memory.stat", "inactive_file"}
)

// freeMemory is how many bytes are free, or would be if they were wanted:
// MemAvailable of proc_meminfo(5), and not above what is left to any of the
// control groups (cgroups(7)) that this process is in.
func freeMemory(proc, groups string) (int64, error) {
	free, err := field(filepath.Join(proc, "meminfo"), "MemAvailable:")
	if err != nil {
		return 0, err
	}
	free <<= 10 // kB
	if _, err := os.Stat(filepath.Join(proc, "self/cgroup")); errors.Is(err, fs.ErrNotExist) {
		return free, nil // a kernel without control groups
	}
	err = eachLine(filepath.Join(proc, "self/cgroup"), func(line string) error {
		of, root := version2, groups
		hierarchy, line, _ := strings.Cut(line, ":")
		controllers, group, _ := strings.Cut(line, ":")
		if slices.Contains(strings.Split(controllers, ","), "memory") {
			of, root = version1, filepath.Join(groups, "memory")
		} else if hierarchy != "0" {
			return nil
		}
		// In a container the group's own path may lead nowhere; then the root is it.
		for name := filepath.Join(root, filepath.Clean("/"+group)); ; name = filepath.Dir(name) {
			left, err := of.left(name)
			if err != nil {
				return err
			}
			free = min(free, left)
			if name == root {
				return nil
			}
		}
	})
	return free, err
}

// left is how many bytes a group has left. One that has no bound may leave out
// the file for it.
func (c controller) left(group string) (int64, error) {
	data, err := os.ReadFile(filepath.Join(group, c.most))
	bound := strings.TrimSpace(string(data))
	if errors.Is(err, fs.ErrNotExist) || bound == "max" {
		return math.MaxInt64, nil
	} else if err != nil {
		return 0, err
	}
	most, err := strconv.ParseInt(bound, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.most, err)
	}
	data, err = os.ReadFile(filepath.Join(group, c.used))
	if err != nil {
		return 0, err
	}
	used, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.used, err)
	}
	unused, err := field(filepath.Join(group, c.stat), c.unused)
	return most - used + min(unused, used), err
}

// field is the number behind a word at the beginning of a line.
func field(name, word string) (n int64, err error) {
	found := false
	err = eachLine(name, func(line string) (err error) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == word {
			found = true
			n, err = strconv.ParseInt(words[1], 10, 64)
		}
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%s has no %s", filepath.Base(name), word)
	}
	return n, err
}

func eachLine(name string, do func(string) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if err := do(lines.Text()); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	return lines.Err()
}

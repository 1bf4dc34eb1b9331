package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

var unitChecks = []Check{
	{ID: "unit.exposure", Rows: []int{23}, run: unitExposure,
		Doc: "the systemd unit restarts what failed, bounds its resources, and confines it: an exposure of 2.0 or less"},
}

const (
	analyze     = "/usr/bin/systemd-analyze" // where every distribution has it
	maxExposure = 2.0
	maxUnit     = 256 << 10 // bytes of a unit
)

// unitExposure looks at the unit in the archive that carries the binary.
func unitExposure(ctx context.Context, b *bench) (string, error) {
	if runtime.GOOS != "linux" {
		return "", skip("systemd units are for Linux")
	}
	if b.Archive == "" {
		return "", skip("the binary was given without an archive that could hold a unit: not an artifact of ours")
	}
	name := b.Component + ".service"
	unit, err := b.member(name)
	if err != nil {
		return "", err
	}
	if unit == "" && b.Variant == "hardened" {
		return "", fail("the archive holds no %s", name)
	}
	if unit == "" {
		return "", skip("the archive holds no %s", name)
	}
	if err := bounded(unit); err != nil {
		return "", err
	}
	if _, err := os.Stat(analyze); err != nil {
		return "", skip("systemd-analyze, which measures the exposure, is not on this machine as %s", analyze)
	}
	dir, err := b.temp()
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, analyze, "security", "--offline=true", "--no-pager", file)
	cmd.Dir, cmd.Env = dir, append(b.environment(dir), "LC_ALL=C", "TERM=dumb")
	out, err := cmd.CombinedOutput()
	exposure, is := readExposure(string(out))
	switch {
	case err != nil && strings.Contains(string(out), "unrecognized option"):
		return "", skip("this machine's systemd-analyze cannot look at a unit that is not loaded (--offline came with systemd 250)")
	case err != nil:
		return "", fmt.Errorf("systemd-analyze: %w: %s", err, lastLine(string(out)))
	case !is:
		return "", fmt.Errorf("systemd-analyze says no exposure: %s", lastLine(string(out)))
	case exposure > maxExposure:
		return "", fail("%s has an exposure of %.1f, more than %.1f", name, exposure, maxExposure)
	}
	return fmt.Sprintf("%s has an exposure of %.1f by systemd-analyze (at most %.1f), restarts what failed, and bounds memory and tasks", name, exposure, maxExposure), nil
}

var overall = regexp.MustCompile(`Overall exposure level for \S+: ([0-9]+\.[0-9]+)`)

// readExposure reads what systemd-analyze security prints, from 0 to 10.
func readExposure(out string) (exposure float64, is bool) {
	m := overall.FindStringSubmatch(out)
	if m == nil {
		return 0, false
	}
	exposure, err := strconv.ParseFloat(m[1], 64)
	return exposure, err == nil
}

// bounded holds a unit against what the exposure does not count.
func bounded(unit string) error {
	set := settings(unit)
	if r := set["Restart"]; r != "on-failure" && r != "always" {
		return fail("its unit does not start it again after a failure: Restart=%s", r)
	}
	for _, limit := range []string{"MemoryMax", "TasksMax"} {
		if v := set[limit]; v == "" || v == "infinity" {
			return fail("its unit sets no bound: %s=%s", limit, v)
		}
	}
	return nil
}

// settings are those of the section Service, the last of each name.
func settings(unit string) map[string]string {
	all, section := map[string]string{}, ""
	for _, line := range strings.Split(unit, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		name, value, is := strings.Cut(line, "=")
		if is && section == "[Service]" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			all[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return all
}

// errTwice is the error for an archive with two members of a name.
var errTwice = errors.New("the archive holds two of them")

// member is the content of the archive's file of that name, in whatever
// directory, "" if there is none.
func (b *bench) member(name string) (content string, err error) {
	_, err = b.members(func(member string, r io.Reader) error {
		if path.Base(member) != name {
			return nil
		}
		text, err := io.ReadAll(io.LimitReader(r, maxUnit+1))
		switch {
		case err != nil:
			return err
		case len(text) > maxUnit:
			return fmt.Errorf("it is larger than %d bytes", maxUnit)
		case content != "":
			return errTwice
		}
		content = string(text)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("reading %s from the archive: %w", name, err)
	}
	return content, nil
}

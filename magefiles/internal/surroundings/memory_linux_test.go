package surroundings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFreeMemory(t *testing.T) {
	const meminfo = "MemTotal:       24000000 kB\nMemFree:          100000 kB\nMemAvailable:   16777216 kB\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
		err   string
	}{
		{"no control groups", map[string]string{"proc/meminfo": meminfo}, 16 << 30, ""},
		{"a group without a bound", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "groups/a/b/memory.max": "max\n"}, 16 << 30, ""},
		{"its own bound", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "groups/a/memory.max": "max\n",
			"groups/a/b/memory.max": "1000\n", "groups/a/b/memory.current": "400\n", "groups/a/b/memory.stat": "anon 100\ninactive_file 50\n",
		}, 650, ""},
		{"the bound of the group around it", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"groups/a/b/memory.max": "2000\n", "groups/a/b/memory.current": "400\n", "groups/a/b/memory.stat": "inactive_file 0\n",
			"groups/a/memory.max": "1000\n", "groups/a/memory.current": "900\n", "groups/a/memory.stat": "inactive_file 0\n",
		}, 100, ""},
		{"in a container, whose group is the root", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"groups/memory.max": "1000\n", "groups/memory.current": "0\n", "groups/memory.stat": "inactive_file 0\n",
		}, 1000, ""},
		{"a group outside of what is seen", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../../x\n",
			"groups/memory.max": "1000\n", "groups/memory.current": "0\n", "groups/memory.stat": "inactive_file 0\n",
		}, 1000, ""},
		{"a bound above what is free", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"groups/memory.max": "99999999999999\n", "groups/memory.current": "0\n", "groups/memory.stat": "inactive_file 0\n",
		}, 16 << 30, ""},
		{"version 1 for others alone", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "3:cpu,cpuacct:/a\n0::/b\n"}, 16 << 30, ""},
		{"version 1", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/a\n1:name=systemd:/\n0::/\n",
			"groups/memory/a/memory.limit_in_bytes": "1000\n", "groups/memory/a/memory.usage_in_bytes": "300\n", "groups/memory/a/memory.stat": "inactive_file 7\ntotal_inactive_file 200\n",
			"groups/memory/memory.limit_in_bytes": "9223372036854771712\n", "groups/memory/memory.usage_in_bytes": "5000\n", "groups/memory/memory.stat": "total_inactive_file 4000\n",
		}, 900, ""},
		{"version 1 in a container, whose group is the root", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/docker/0123\n",
			"groups/memory/memory.limit_in_bytes": "1000\n", "groups/memory/memory.usage_in_bytes": "300\n", "groups/memory/memory.stat": "total_inactive_file 0\n",
		}, 700, ""},
		{"no number", map[string]string{"proc/meminfo": "MemAvailable: much kB\n"}, 0, "meminfo: strconv"},
		{"no line", map[string]string{"proc/meminfo": "MemFree: 1 kB\n"}, 0, "has no MemAvailable"},
		{"no bound", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "groups/memory.max": "some\n", "groups/memory.current": "0\n"}, 0, "memory.max: strconv"},
		{"no use", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "groups/memory.max": "1\n", "groups/memory.current": "0\n", "groups/memory.stat": "anon 1\n"}, 0, "has no inactive_file"},
		{"a bound and no use", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "groups/memory.max": "1\n"}, 0, "memory.current: no such file"},
		{"nothing", nil, 0, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range tt.files {
				name = filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := freeMemory(filepath.Join(dir, "proc"), filepath.Join(dir, "groups"))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %d, %v, want %d", got, err, tt.want)
			}
		})
	}
}

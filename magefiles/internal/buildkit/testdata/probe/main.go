// Probe is the command that the tests run on a worker. It prints what it sees
// and what it may do, and leaves in /out what its argument says.
package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

func main() {
	env := os.Environ()
	slices.Sort(env)
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	fmt.Println("env", strings.Join(env, " "))
	fmt.Println("as", os.Getuid(), os.Getgid(), "on", host, "in", dir)
	fmt.Println("root", list("/"))
	fmt.Println("input", list("/input"), read("/input/file"), "and", read("/etc/greeting"))
	var up []string
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
			up = append(up, i.Name)
		}
	}
	fmt.Println("network", up)
	for _, name := range []string{"/new", "/input/new", "/input/file", "/etc/greeting", "/probe/new"} {
		if os.WriteFile(name, nil, 0o666) == nil {
			fmt.Println("it could write", name)
		}
	}
	for _, name := range []string{"/tmp/new", "/scratch/new"} {
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			fmt.Println("error:", err)
		}
	}
	if err := leave(os.Args[1]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func leave(what string) error {
	switch what {
	case "file":
		// What it leaves elsewhere is nobody's, and is not kept.
		return join(os.WriteFile("/out/leaf", []byte("left"), 0o600), os.WriteFile("/scratch/much", make([]byte, 32<<20), 0o666))
	case "more":
		return join(leave("file"), os.WriteFile("/out/more", nil, 0o666))
	case "link":
		return os.Symlink("/etc/passwd", "/out/leaf")
	case "large":
		return join(leave("file"), os.Truncate("/out/leaf", 1<<31))
	case "nothing":
		return nil
	case "three":
		os.Exit(3)
	}
	return fmt.Errorf("no such thing as %s", what)
}

func join(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func list(dir string) []string {
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func read(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

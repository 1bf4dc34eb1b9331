// Probe is the command that the tests run in the sandbox. It does what its
// first argument says and prints what came of it.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

var probes = map[string]func(args []string) error{
	"args": func(args []string) error { fmt.Println(strings.Join(args, "\n")); return nil },
	"env": func([]string) error {
		fmt.Println(strings.Join(os.Environ(), "\n"))
		return nil
	},
	"exit": func(args []string) error {
		code, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		os.Exit(code)
		return nil
	},
	"get": func(args []string) error { // method, URL
		req, err := http.NewRequest(args[0], args[1], nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		fmt.Println(resp.StatusCode, resp.Header.Get("Content-Type"), strings.TrimSpace(string(body)))
		return err
	},
	"list": func(args []string) error {
		entries, err := os.ReadDir(args[0])
		for _, e := range entries {
			fmt.Println(e.Name())
		}
		return err
	},
	"read": func(args []string) error {
		for _, name := range args {
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			fmt.Println(string(data))
		}
		return nil
	},
	"write": func(args []string) error { return os.WriteFile(args[0], []byte("written"), 0o666) },
	"mode": func(args []string) error {
		info, err := os.Stat(args[0])
		if err == nil {
			fmt.Println(info.Mode())
		}
		return err
	},
	"chmod": func(args []string) error { return os.Chmod(args[0], 0o666) }, // as /dev/null is: a test that fails must not harm its host
	"dial": func(args []string) error { // network, address
		c, err := net.DialTimeout(args[0], args[1], 10*time.Second)
		if err == nil {
			c.Close()
			fmt.Println("connected")
		}
		return err
	},
	"resolve": func(args []string) error {
		addrs, err := net.LookupHost(args[0])
		if err == nil {
			fmt.Println(addrs)
		}
		return err
	},
	"interfaces": func([]string) error {
		all, err := net.Interfaces()
		for _, i := range all {
			fmt.Println(i.Name)
		}
		return err
	},
	"cwd": func([]string) error {
		dir, err := os.Getwd()
		fmt.Println(dir)
		return err
	},
	// spawn starts this program again with its arguments, says so when that
	// one has, and either waits for it or leaves it behind.
	"spawn": func(args []string) error {
		cmd := exec.Command(os.Args[0], args[1:]...)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		line := make([]byte, 64)
		n, err := out.Read(line)
		os.Stdout.Write(line[:n])
		if err != nil || args[0] == "leave" {
			return err
		}
		return cmd.Wait()
	},
}

func main() {
	probe, ok := probes[os.Args[1]]
	if !ok {
		names := []string{}
		for name := range probes {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Println("error: no such probe; there are", names)
		os.Exit(64)
	}
	if err := probe(os.Args[2:]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

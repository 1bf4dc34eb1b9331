package audit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// slack is how many bytes may stay beyond twice the level before.
const slack = 128 << 20

var panicked = regexp.MustCompile(`panic|fatal error:|goroutine \d+ \[`)

// malformed sends requests that no client would, and then asks again for what
// was there before.
func malformed(ctx context.Context, b *bench) (string, error) {
	s, err := b.start(ctx, options{})
	if err != nil {
		return "", err
	}
	before := map[string]int{}
	for _, page := range b.component.pages {
		r, err := s.get(ctx, page, right)
		if err != nil {
			return "", err
		}
		before[page] = r.status
	}
	level, measured := s.memory()
	var answered atomic.Int64
	err = parallel(ctx, b.load.storm, 16, func(ctx context.Context, i int) error {
		// The same storm for everybody.
		if s.misbehave(ctx, rand.New(rand.NewPCG(22, uint64(i))), i) {
			answered.Add(1)
		}
		return ctx.Err()
	})
	if err != nil {
		return "", err
	}
	s.client.close()
	if !s.running() {
		return "", fail("it ended: %v", s.exit())
	}
	for _, page := range b.component.pages {
		r, err := s.get(ctx, page, right)
		if err != nil || r.status != before[page] {
			return "", fail("after %d malformed requests %s, which had status %d, is answered with %s", b.load.storm, page, before[page], outcome(r, err))
		}
	}
	if line := panicked.FindString(s.readLog()); line != "" {
		return "", fail("the log speaks of %q", line)
	}
	seen := fmt.Sprintf("%d malformed requests, %d of them answered: no panic, every page as before", b.load.storm, answered.Load())
	if !measured {
		return seen + "; this system does not tell its memory", nil
	}
	after, err := s.settle(ctx, 2*level+slack)
	if err != nil {
		return "", err
	}
	if after > 2*level+slack {
		return "", fail("%d malformed requests leave it with %d MiB of memory, from %d MiB before", b.load.storm, after>>20, level>>20)
	}
	return fmt.Sprintf("%s, %d MiB of memory from %d MiB before", seen, after>>20, level>>20), nil
}

// settle waits for the memory to be at most limit, and returns what it is.
func (s *server) settle(ctx context.Context, limit int64) (int64, error) {
	for begun := time.Now(); ; {
		now, _ := s.memory()
		if now <= limit || time.Since(begun) > s.bench.load.settleTime {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// memory is what the server has resident, in bytes, where the system tells.
func (s *server) memory() (int64, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(s.pid) + "/status")
	if err != nil {
		return 0, false
	}
	for _, line := range strings.Split(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

// misbehave sends the i-th malformed request and reports whether anything came
// back.
func (s *server) misbehave(ctx context.Context, rnd *rand.Rand, i int) bool {
	pages := s.bench.component.pages
	page := pages[rnd.IntN(len(pages))]
	host := " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + s.authorization()
	switch i % 10 {
	case 0: // no TLS where TLS is spoken
		c, err := s.dial(ctx, "")
		return err == nil && exchange(c, junk(rnd, 1+rnd.IntN(4096)))
	case 1:
		return s.raw(ctx, junk(rnd, 1+rnd.IntN(4096)))
	case 2:
		method := []string{"TRACE", "CONNECT", "PROPFIND", "get", "G\x00T", "GET\tGET", strings.Repeat("A", 5000), "", "*"}[rnd.IntN(9)]
		return s.raw(ctx, []byte(method+" "+page+host+"\r\n"))
	case 3:
		target := []string{"*", "http://[::1", "//", "/%", "/%00", "/\x00", "/%2e%2e/%2e%2e/etc/passwd", "/../../etc/passwd", "\\", "?", "/" + strings.Repeat("a/", 20000), "/?" + strings.Repeat("a=b&", 10000)}[rnd.IntN(12)]
		return s.raw(ctx, []byte("GET "+target+host+"\r\n"))
	case 4: // chunks that are not what they say
		size := []string{"-1", "ffffffffffffffff", "zz", "10", "7fffffffffffffff", "0x10", ""}[rnd.IntN(7)]
		return s.raw(ctx, []byte("POST "+s.poster(rnd)+host+"Transfer-Encoding: chunked\r\n\r\n"+size+"\r\nabc\r\n0\r\n\r\n"))
	case 5: // lengths that contradict
		length := []string{"-1", "18446744073709551616", "5\r\nContent-Length: 6", "3\r\nTransfer-Encoding: chunked", "1e3", "1000"}[rnd.IntN(6)]
		return s.raw(ctx, []byte("POST "+s.poster(rnd)+host+"Content-Length: "+length+"\r\n\r\nabc"))
	case 6: // HTTP/2 frames of any type, length and stream
		return s.raw(ctx, append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), junk(rnd, 9+rnd.IntN(2048))...))
	case 7:
		extra := []string{"Host: again\r\n", ": none\r\n", "X\x00: y\r\n", " folded: x\r\n", "Range: bytes=-1,0-,5-3\r\n", "Accept-Encoding: " + strings.Repeat("gzip,", 3000) + "\r\n",
			"Expect: 200-ok\r\n", "Upgrade: websocket\r\n", "Accept: " + strings.Repeat("a/b;q=2,", 2000) + "\r\n"}[rnd.IntN(9)]
		return s.raw(ctx, []byte("GET "+page+host+extra+"\r\n"))
	default:
		return s.junkBody(ctx, rnd)
	}
}

// junkBody sends a well-formed request whose body is none.
func (s *server) junkBody(ctx context.Context, rnd *rand.Rand) bool {
	header := http.Header{
		"Content-Type":     {[]string{"application/x-protobuf", "application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"}[rnd.IntN(5)]},
		"Content-Encoding": {[]string{"snappy", "gzip", "zstd", "identity", "none"}[rnd.IntN(5)]},
	}
	body := junk(rnd, rnd.IntN(64<<10))
	if rnd.IntN(2) == 0 {
		body = []byte(strings.Repeat([]string{"[", "{\"a\":", "((((", "a{", "\xff"}[rnd.IntN(5)], rnd.IntN(10000)))
	}
	r, err := s.do(ctx, request{
		method: []string{"POST", "PUT", "PATCH", "DELETE"}[rnd.IntN(4)], path: s.poster(rnd), header: header, auth: right,
		body: bytes.NewReader(body), time: 10 * time.Second,
	})
	return err == nil && r.status > 0
}

func (s *server) poster(rnd *rand.Rand) string {
	paths := s.bench.component.post
	if len(paths) == 0 {
		paths = s.bench.component.pages
	}
	return paths[rnd.IntN(len(paths))]
}

// authorization is the header line that lets in, "" if none is known.
func (s *server) authorization() string {
	if s.user == "" {
		return ""
	}
	return "Authorization: " + basic(s.user, s.password).Get("Authorization") + "\r\n"
}

// raw sends bytes as the first of a connection.
func (s *server) raw(ctx context.Context, data []byte) bool {
	c, err := s.open(ctx, "")
	return err == nil && exchange(c, data)
}

// exchange writes data, says that it is all, and reads a little of what comes.
func exchange(c net.Conn, data []byte) bool {
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return false
	}
	_, _ = c.Write(data)
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	n, _ := io.Copy(io.Discard, io.LimitReader(c, 64<<10))
	return n > 0
}

func junk(rnd *rand.Rand, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	return data
}

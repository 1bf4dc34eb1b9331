package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A lab is a subject that sends requests, among traps that notice every one.
// Where the machine allows it, the subject is in a network of its own: nothing
// that it sends leaves the machine, and addresses such as those of metadata
// services can have a trap.
type lab struct {
	*server
	private bool
	port    string           // of all traps
	traps   map[string]*trap // by address, those that could be had
	names   *names           // nil where names are not the lab's
	sockets []io.Closer
}

// labAddresses get a trap. The first three are on every loopback interface of
// Linux; the others are for a network of the subject's own. 192.0.2.1 and
// 198.51.100.1 stand for all of the Internet (RFC 5737).
var labAddresses = []string{"127.0.0.1", "127.0.0.2", "::1", "169.254.169.254", "fd00:ec2::254", "192.0.2.1", "198.51.100.1"}

// noLab says why the subject could not have a network of its own.
type noLab string

func (n noLab) Error() string { return string(n) }

var nativeOrder = binary.NativeEndian

// lab starts the subject among traps.
func (b *bench) lab(ctx context.Context, o options) (*lab, error) {
	l, err := b.private(ctx, o)
	var without noLab
	if !errors.As(err, &without) {
		return l, err
	}
	return b.exposed(ctx, o)
}

// exposed starts the subject in the machine's own network: there are traps on
// loopback alone.
func (b *bench) exposed(ctx context.Context, o options) (*lab, error) {
	l := &lab{traps: map[string]*trap{}, port: "0"}
	for _, a := range labAddresses[:3] {
		tcp, err := net.Listen("tcp", net.JoinHostPort(a, l.port))
		if err != nil && a == labAddresses[0] {
			return nil, err
		} else if err != nil {
			continue // not every system has this address
		}
		_, l.port, _ = net.SplitHostPort(tcp.Addr().String())
		l.sockets = append(l.sockets, tcp)
		l.trap(a).serveHTTP(tcp)
		if udp, err := net.ListenPacket("udp", net.JoinHostPort(a, l.port)); err == nil {
			l.sockets = append(l.sockets, udp)
			l.trap(a).servePackets(udp)
		}
	}
	var err error
	if l.server, err = b.start(ctx, o); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// close ends the subject and the traps.
func (l *lab) close() {
	if l.server != nil {
		l.stop()
	}
	for _, s := range l.sockets {
		_ = s.Close()
	}
}

// at is the host and port of the trap at an address.
func (l *lab) at(host string) string { return net.JoinHostPort(host, l.port) }

func (l *lab) trap(address string) *trap {
	t := l.traps[address]
	if t == nil {
		t = &trap{}
		l.traps[address] = t
	}
	return t
}

// seen names an address where something has arrived, of those given or of all.
func (l *lab) seen(addresses ...string) string {
	if addresses == nil {
		addresses = labAddresses
	}
	for _, a := range addresses {
		if t := l.traps[a]; t != nil && t.text() != "" {
			return a
		}
	}
	return ""
}

// forget empties the traps.
func (l *lab) forget() {
	for _, t := range l.traps {
		t.mu.Lock()
		t.all.Reset()
		t.mu.Unlock()
	}
}

// A trap keeps what arrives at an address.
type trap struct {
	refuses bool // requests, with status 400

	mu  sync.Mutex
	all strings.Builder
}

// maxTrap bounds what one trap keeps, in bytes.
const maxTrap = 1 << 20

func (t *trap) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.String()
}

func (t *trap) add(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all.Len() < maxTrap {
		t.all.WriteString(text)
	}
}

// serveHTTP notices each connection and what comes over it, and answers
// requests: those for /redirect with a redirect to where the parameter "to"
// says.
func (t *trap) serveHTTP(l net.Listener) {
	s := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if to := r.URL.Query().Get("to"); r.URL.Path == "/redirect" && to != "" {
				http.Redirect(w, r, to, http.StatusFound)
				return
			}
			_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxTrap))
			http.Error(w, "trap", t.status())
		}),
	}
	go func() { _ = s.Serve(noticing{l, t}) }()
}

func (t *trap) status() int {
	if t.refuses {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// A noticing listener tells its trap of connections and what comes over them.
type noticing struct {
	net.Listener
	trap *trap
}

func (n noticing) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	n.trap.add("connection\n")
	return noticed{c, n.trap}, nil
}

type noticed struct {
	net.Conn
	trap *trap
}

func (n noticed) Read(b []byte) (int, error) {
	size, err := n.Conn.Read(b)
	n.trap.add(string(b[:size]))
	return size, err
}

func (t *trap) servePackets(c net.PacketConn) {
	go func() {
		packet := make([]byte, 64<<10)
		for {
			n, _, err := c.ReadFrom(packet)
			if err != nil {
				return
			}
			t.add("packet " + string(packet[:n]) + "\n")
		}
	}()
}

// names is a name server that changes its mind. It answers every question for
// an address with the one at the number of the question, or with the last.
type names struct {
	mu      sync.Mutex
	answers []string
	asked   int
}

const rebinding = "rebinding.example" // the one name that there is

func (n *names) set(answers ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answers, n.asked = answers, 0
}

func (n *names) questions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

func (n *names) serve(c net.PacketConn) {
	go func() {
		packet := make([]byte, 4096)
		for {
			size, from, err := c.ReadFrom(packet)
			if err != nil {
				return
			}
			if answer := n.answer(packet[:size]); answer != nil {
				_, _ = c.WriteTo(answer, from)
			}
		}
	}()
}

// answer is the reply to a query of RFC 1035 with one question: the address
// that is next for the name, with no time to live.
func (n *names) answer(query []byte) []byte {
	const header = 12
	end := header
	var name []string
	for end < len(query) && query[end] != 0 {
		next := end + 1 + int(query[end])
		if query[end] > 63 || next >= len(query) {
			return nil
		}
		name = append(name, string(query[end+1:next]))
		end = next
	}
	if end += 5; len(query) < end {
		return nil
	}
	reply := append([]byte{}, query[:end]...)
	copy(reply[2:header], []byte{0x84, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}) // an authoritative answer to one question
	if strings.ToLower(strings.Join(name, ".")) != rebinding {
		reply[3] |= 3 // there is no such name
		return reply
	}
	if binary.BigEndian.Uint16(query[end-4:]) != 1 {
		return reply // of other kinds than A there is nothing
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.answers) == 0 {
		return reply
	}
	address := net.ParseIP(n.answers[min(n.asked, len(n.answers)-1)]).To4()
	n.asked++
	reply[7] = 1
	reply = append(reply, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
	return append(reply, address...)
}

// probe asks the subject to send a request. It is over when the answer is
// here, so that what it sends has arrived.
func (l *lab) probe(ctx context.Context, module, target string) (*response, error) {
	values := url.Values{"target": {target}, "module": {module}}
	path := "/probe?"
	if l.bench.Component == "snmp_exporter" {
		// A module of these configurations is the name of an auth.
		values.Set("auth", module)
		values.Set("module", "short")
		path = "/snmp?"
	}
	return l.do(ctx, request{path: path + values.Encode(), auth: right, time: probeTime})
}

// probeTime bounds one probe, whose modules give up after two seconds.
const probeTime = 10 * time.Second

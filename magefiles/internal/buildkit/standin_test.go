package buildkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	control "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/buildkit/api/types"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"palisade/magefiles/internal/sandbox"
)

// A standIn speaks as buildkitd does, and says what its test wants. It never
// asks for an input and never sends an output.
type standIn struct {
	control.UnimplementedControlServer
	workers []*types.WorkerRecord
	solve   func(context.Context) error
}

func (s *standIn) ListWorkers(context.Context, *control.ListWorkersRequest) (*control.ListWorkersResponse, error) {
	return &control.ListWorkersResponse{Record: s.workers}, nil
}

func (s *standIn) Solve(ctx context.Context, _ *control.SolveRequest) (*control.SolveResponse, error) {
	return &control.SolveResponse{}, s.solve(ctx)
}

func (s *standIn) Session(stream grpc.BidiStreamingServer[control.BytesMessage, control.BytesMessage]) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return nil
		}
	}
}

func (s *standIn) Status(*control.StatusRequest, grpc.ServerStreamingServer[control.StatusResponse]) error {
	return nil
}

// of is a worker of that name.
func of(id string, platforms ...string) *types.WorkerRecord {
	w := &types.WorkerRecord{ID: id}
	for _, p := range platforms {
		os, arch, _ := strings.Cut(p, "/")
		w.Platforms = append(w.Platforms, &pb.Platform{OS: os, Architecture: arch})
	}
	return w
}

// serve is the address on loopback where s listens until the test ends.
func (s *standIn) serve(t *testing.T, options ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	control.RegisterControlServer(server, s)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return "tcp://" + l.Addr().String()
}

func poolAt(t *testing.T, address string, certificates TLS) *Pool {
	t.Helper()
	p, err := New(Options{Addresses: []string{address}, TLS: certificates, Platform: linux, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// ping is what comes of asking who listens at address.
func ping(t *testing.T, address string, certificates TLS) (string, error) {
	t.Helper()
	p := poolAt(t, address, certificates)
	d, err := p.dial(t.Context(), address)
	if err != nil {
		return "", err
	}
	defer d.close()
	return p.ask(t.Context(), d)
}

// A worker that calls itself something strange, or that is none for these
// programs, is refused.
func TestWorker(t *testing.T) {
	for _, tt := range []struct {
		name    string
		workers []*types.WorkerRecord
		want    string
	}{
		{"one", []*types.WorkerRecord{of("me", "linux/arm64", "linux/amd64")}, ""},
		{"two, of which the daemon takes the first", []*types.WorkerRecord{of("me", "linux/amd64"), of("other", "linux/arm64")}, ""},
		{"two, of which the daemon takes the wrong one", []*types.WorkerRecord{of("other", "linux/arm64"), of("me", "linux/amd64")}, "runs no programs for linux/amd64"},
		{"none", nil, "the daemon has no worker"},
		{"for nothing", []*types.WorkerRecord{of("me")}, "runs no programs"},
		{"for another system", []*types.WorkerRecord{of("me", "windows/amd64")}, "runs no programs"},
		{"without a name", []*types.WorkerRecord{of("", "linux/amd64")}, `calls itself ""`},
		{"with a long name", []*types.WorkerRecord{of(strings.Repeat("m", maxID+1), "linux/amd64")}, `calls itself "mmm`},
		{"with a name that is not printed", []*types.WorkerRecord{of("me\n", "linux/amd64")}, `calls itself "me\n"`},
	} {
		id, err := ping(t, (&standIn{workers: tt.workers}).serve(t), TLS{})
		if tt.want == "" && (err != nil || id != "me") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, id, err, tt.want)
		}
	}
}

// A worker that does not do what it is asked for is refused, whatever it says.
func TestSolveRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		solve func(context.Context) error
		want  string
	}{
		{"it says it is done", func(context.Context) error { return nil }, "did not come back"},
		{"it fails", func(context.Context) error { return status.Error(codes.Internal, "no \x1b[2Jroom") }, "no [2Jroom"},
		{"it talks", func(context.Context) error { return status.Error(codes.Internal, strings.Repeat("x", 64<<10)) }, "xxx"},
		{"it never ends", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "it did not end within"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := compilation(t)
			p := poolAt(t, (&standIn{workers: []*types.WorkerRecord{of("me", "linux/amd64")}, solve: tt.solve}).serve(t), TLS{})
			if strings.Contains(tt.want, "within") {
				p.longest = 1
			}
			_, err := p.Run(t.Context(), spec)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 8*maxReason {
				t.Errorf("got %.2000v, want %s", err, tt.want)
			}
			for _, m := range spec.Mounts[3:] {
				if entries, err := os.ReadDir(m.Source); err != nil || len(entries) != 0 {
					t.Errorf("%s holds %v, %v", m.Target, entries, err)
				}
			}
		})
	}
}

// What came of a command that failed in the end is not kept: whoever is asked
// next has to find nothing.
func TestOutcome(t *testing.T) {
	gone, other := errors.New("the connection is gone"), errors.New("not asked for")
	for _, tt := range []struct {
		name     string
		err, got error
		want     string
		code     int // of the command
	}{
		{"well", nil, nil, "", 0},
		{"nothing came", nil, other, "not asked for", 0},
		{"all came, and then it failed", gone, nil, "the connection is gone", 0},
		{"it failed", gone, gone, "the connection is gone", 0},
		{"it failed for what came", gone, other, "the connection is gone\n\tnot asked for", 0},
		{"the command failed", fmt.Errorf("exec: %w", &gateway.ExitError{ExitCode: 3}), nil, "", 3},
		{"the command was killed", &gateway.ExitError{ExitCode: 137}, nil, "exit code: 137", 0},
	} {
		j := &job{out: t.TempDir(), leaves: []string{"a", "b"}}
		if tt.got == nil {
			for _, name := range j.leaves {
				if err := os.WriteFile(filepath.Join(j.out, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		err := j.outcome(tt.err, tt.got)
		var exit *sandbox.ExitError
		if tt.code != 0 && (!errors.As(err, &exit) || exit.Code != tt.code) || tt.code == 0 && errors.As(err, &exit) {
			t.Errorf("%s: got %v, want exit status %d", tt.name, err, tt.code)
		} else if tt.code == 0 && (err == nil) != (tt.want == "") || tt.want != "" && err.Error() != tt.want {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if left, _ := os.ReadDir(j.out); (len(left) == 0) != (err != nil) {
			t.Errorf("%s: %v is left", tt.name, left)
		}
	}
}

func TestTLS(t *testing.T) {
	c := certify(t)
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.server, "cert.pem"), filepath.Join(c.server, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(c.server, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(ca)
	s := &standIn{workers: []*types.WorkerRecord{of("me", "linux/amd64")}}
	c.hold(t, s.serve(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: known, ClientAuth: tls.RequireAndVerifyClientCert,
	}))))
}

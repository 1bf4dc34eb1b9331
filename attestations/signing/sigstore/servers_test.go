//go:build linux

package sigstore_test

import (
	"flag"
	"testing"

	"palisade/attestations/signing/sigstoretest"
)

// The servers are the tools of .ci/sigstore; .ci/run builds them there:
//
//	go build -C .ci/sigstore -o DIR tool
//	go test ./attestations/signing/sigstore -servers DIR
var (
	serversDir = flag.String("servers", "", "`directory` of the built servers of .ci/sigstore")
	cosigns    = flag.String("cosign", "", "comma-separated `programs` of cosign that have to agree")
)

const email = sigstoretest.Address

// A stack vouches for one person.
type stack struct{ *sigstoretest.Stack }

func start(t *testing.T) stack {
	t.Helper()
	return stack{sigstoretest.Start(t, sigstoretest.Options{Servers: *serversDir})}
}

// token is one of the person's.
func (s stack) token(t *testing.T, audience any) string {
	t.Helper()
	claims := s.Claims(sigstoretest.Job{})
	claims["aud"] = audience
	return s.Token(t, claims)
}

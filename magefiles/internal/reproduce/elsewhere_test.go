package reproduce

import (
	"slices"
	"testing"
)

func TestKeepOfEnvironment(t *testing.T) {
	got := keep([]string{
		"PATH=/bin", "HOME=/h", "GOPROXY=p", "GOSUMDB=s", "https_proxy=x", "NO_PROXY=n", "SSL_CERT_FILE=f",
		"npm_config_registry=r", "TZ=UTC", "USER=u", "PALISADE_CACHE=c", "TERM=xterm", "GOFLAGS=-x",
		"BUILDKIT_HOST=tcp://127.0.0.1:1", "PALISADE_KEY=k", "COSIGN_PASSWORD=hush",
	})
	want := []string{"PATH=/bin", "GOPROXY=p", "GOSUMDB=s", "https_proxy=x", "NO_PROXY=n", "SSL_CERT_FILE=f"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

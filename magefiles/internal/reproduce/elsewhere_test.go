package reproduce

import (
	"slices"
	"testing"
	"time"

	"palisade/attestations/rebuild"
	"palisade/magefiles/internal/surroundings"
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

// Every component has a checkout of its own, and so its attestation another
// directory; reasons name no place either.
func TestRunTellsDirectory(t *testing.T) {
	o := Options{Elsewhere: Elsewhere{Dir: "/home/somebody/x"}, Now: time.Now}
	run := o.run(time.Now(), []surroundings.Variation{
		{Name: surroundings.Directory, Value: o.Elsewhere.Checkout(0)}, {Name: "user", Value: "4242"},
		{Name: "host name", Why: "mkdir /home/somebody/x/cache/order: no such file"},
	})
	first, second := o.at(run, o.Elsewhere.Checkout(0)), o.at(run, o.Elsewhere.Checkout(1))
	for _, tt := range []struct {
		run  rebuild.Run
		want string
	}{
		{first, ".../another directory/of some length"}, {second, ".../another directory/of some length 1"}, {run, ".../another directory/of some length"},
	} {
		if !slices.Contains(tt.run.Varied, rebuild.Variation{Name: surroundings.Directory, Value: tt.want}) || len(tt.run.Varied) != 3 {
			t.Errorf("got %+v, want %s", tt.run.Varied, tt.want)
		}
		if tt.run.NotVaried[0].Why != "mkdir .../cache/order: no such file" {
			t.Errorf("got %+v", tt.run.NotVaried)
		}
	}
}

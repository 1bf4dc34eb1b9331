package provenance

import "testing"

// That results were taken from elsewhere is said and read; another word is not.
func TestCache(t *testing.T) {
	for _, c := range []Cache{Shared, Fresh, Registry} {
		with := run()
		with.Cache = c
		if said := parsed(t, sample(), builder(), with); said.BuildDefinition.InternalParameters.Cache != c {
			t.Errorf("%s is read as %s", c, said.BuildDefinition.InternalParameters.Cache)
		}
	}
	for _, c := range []Cache{"", "Registry", "registry ", "warm"} {
		with := run()
		with.Cache = c
		if _, err := Statement(sample(), builder(), with); err == nil {
			t.Errorf("%q is written", c)
		}
	}
}

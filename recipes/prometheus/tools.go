//go:build tools

// Package prometheus names the commands this recipe builds, so that its go.mod locks
// all they link. It is never compiled.
package prometheus

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)

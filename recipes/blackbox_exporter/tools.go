//go:build tools

// Package blackbox_exporter names the commands this recipe builds, so that its go.mod locks
// all they link. It is never compiled.
package blackbox_exporter

import (
	_ "github.com/prometheus/blackbox_exporter"
)

//go:build tools

// Package node_exporter names the commands this recipe builds, so that its go.mod locks
// all they link. It is never compiled.
package node_exporter

import (
	_ "github.com/prometheus/node_exporter"
)

//go:build tools

// Package snmp_exporter names the commands this recipe builds, so that its go.mod locks
// all they link. It is never compiled.
package snmp_exporter

import (
	_ "github.com/prometheus/snmp_exporter"
)

//go:build tools

// Package pushgateway names the commands this recipe builds, so that its go.mod locks
// all they link. It is never compiled.
package pushgateway

import (
	_ "github.com/prometheus/pushgateway"
)

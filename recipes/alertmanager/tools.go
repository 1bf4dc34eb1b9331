//go:build tools

// Package alertmanager names the commands this recipe builds, so that its go.mod locks
// all they link. It is never compiled.
package alertmanager

import (
	_ "github.com/prometheus/alertmanager/cmd/alertmanager"
	_ "github.com/prometheus/alertmanager/cmd/amtool"
)

//go:build mage

package main

import "palisade/magefiles/internal/command"

// Lint names what is unsafe in your own prometheus.yml, alertmanager.yml,
// web-config.yml, blackbox.yml or snmp.yml. Several files are separated by
// commas; kind says what a file is where its keys do not.
func Lint(file, kind *string) error {
	return exit(command.Lint(value(file), value(kind)))
}

// Package child runs a command that does not outlive the process that started
// it, where the system has a way to see to that.
package child

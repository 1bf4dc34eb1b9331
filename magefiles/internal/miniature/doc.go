// Package miniature runs the jobs of a CI's file in machines-in-miniature, for tests:
// each has a folder of its own, an environment of exactly what the file and the
// platform give it, and a network of its own in which nobody is but the services that
// it is given.
//
// # What a machine is
//
// A process in new user, mount and network namespaces. Its network is a loopback
// interface, on which a service that it may reach has the address that it has
// outside; what connects there is passed on by the process that made the machine,
// which sees who was called. Every other address refuses. Of the machines' common
// folder it sees its own alone. All else of the file system, and who the user is,
// is as it was outside: this is for telling what commands need, not for keeping
// those that mean harm.
//
// A program that starts machines is started again, as the first process of each:
// whoever links this package has that in its init. It is for Linux alone, and no
// package imports it but tests.
//
// # What a run is
//
// The jobs of a workflow of GitHub Actions, or of a pipeline of GitLab's CI, one after
// the other, by the commands that the file has, as the file has them. Of what the two
// platforms can do there is what the files of this repository use: checkout, artifacts,
// outputs, a matrix of machines, tokens. What is not known is refused (ErrFile), so
// that no test passes because it left something out. Artifacts lie in a folder that
// the test can change between two jobs; a machine can be switched off while it works.
package miniature

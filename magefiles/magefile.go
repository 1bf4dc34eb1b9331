//go:build mage

// Palisade builds a hardened distribution of Prometheus and its companions
// from source, and proves what it built.
package main

import (
	"context"
	"errors"

	"github.com/magefile/mage/mg"

	"palisade/magefiles/internal/command"
)

// Build builds components into dist/ and signs them. Lists are separated by
// commas; the default is every component, hardened, for this machine. With cache,
// REGISTRY/REPOSITORY, machines share what takes long; of what is there, that
// counts whose signature the policy believes.
func Build(ctx context.Context, component, platform, variant, cache, policy, key *string, hermetic, sign *bool) error {
	req, err := command.NewBuildRequest(selection(component, platform, variant), cache, policy, key, hermetic, sign)
	if err != nil {
		return exit(err)
	}
	return exit(command.Build(ctx, req))
}

// Lock recomputes a component's patched.sum and shows what changed.
func Lock(ctx context.Context, component string) error {
	return exit(command.Lock(ctx, component))
}

// Toolchain shows what is pinned for this machine, and what is unpacked.
func Toolchain(ctx context.Context) error {
	return exit(command.Toolchain(ctx))
}

// Test runs the tests.
func Test(ctx context.Context) error {
	return exit(command.Test(ctx))
}

// Bench compares a cold build with the same go build commands run by hand, and
// times licences and documents, and a build that has nothing to do.
func Bench(ctx context.Context, component *string) error {
	return exit(command.Bench(ctx, value(component)))
}

func selection(component, platform, variant *string) command.Selection {
	return command.Selection{Component: value(component), Platform: value(platform), Variant: value(variant)}
}

func value[T any](p *T) T {
	if p == nil {
		var none T
		return none
	}
	return *p
}

// exit gives an error the status that design and README promise: 2 for wrong
// usage, 3 for something refused, 1 for any other.
func exit(err error) error {
	var s interface{ Status() int }
	if errors.As(err, &s) {
		return mg.Fatal(s.Status(), err)
	}
	return err
}

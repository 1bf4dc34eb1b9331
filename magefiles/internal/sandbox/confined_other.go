//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"runtime"
)

func available(bool) error {
	return errors.New("namespaces are a thing of Linux, and this is " + runtime.GOOS)
}

func confined(context.Context, plan) (Result, error) {
	return Result{}, errors.ErrUnsupported
}

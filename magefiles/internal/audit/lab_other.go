//go:build !linux

package audit

import "context"

func (b *bench) private(context.Context, options) (*lab, error) {
	return nil, noLab("only Linux can give a process a network of its own")
}

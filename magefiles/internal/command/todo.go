package command

import "context"

func Bench(ctx context.Context, component string) error { return nil }

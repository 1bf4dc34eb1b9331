package command

import "context"

func Bench(ctx context.Context, component string) error            { return nil }
func Reproducible(ctx context.Context, sel Selection) error { return nil }

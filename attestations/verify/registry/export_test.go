package registry

import "time"

// Within are options by which an answer has to come faster.
func (o Options) Within(d time.Duration) Options {
	o.within = d
	return o
}

// Inside is inside.
var Inside = inside

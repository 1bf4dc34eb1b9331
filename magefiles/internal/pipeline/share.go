package pipeline

import (
	"context"
	"time"

	"palisade/attestations/provenance"
	"palisade/magefiles/internal/store"
)

// Share has the steps that take long asked of r before they are made, and offered
// to it. It is called before Run, if at all.
func (p *Pipeline) Share(r store.Remote) { p.store.Remote = r }

// Builder is who builds in this run, as provenance has it: of a checkout that
// changed since the run began no version is named.
func (p *Pipeline) Builder(ctx context.Context) (provenance.Builder, error) {
	seen, err := p.witness.look(ctx)
	if err != nil {
		return provenance.Builder{}, err
	}
	builder, _, err := p.ended(ctx, seen, time.Time{})
	return builder, err
}

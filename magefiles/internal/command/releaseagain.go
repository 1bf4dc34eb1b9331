package command

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"palisade/attestations/releases"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/handover"
)

// rehearsalLife is how long the index of releases of a rehearsal holds: it is signed
// as any is, and says of a release that it is the newest which nobody publishes.
const rehearsalLife = releases.MinLife

// lifeOfNext is how long the next index holds.
func (r *signatory) lifeOfNext(text string) (time.Duration, error) {
	life, err := lifeOf(text)
	if err == nil && r.plan.Tag == "" {
		if text != "" && life != rehearsalLife {
			return 0, fmt.Errorf("%w: -life=%.40s: the plan is of a rehearsal, whose index holds for %s: leave it out", config.ErrUsage, text, rehearsalLife)
		}
		life = rehearsalLife
	}
	return life, err
}

// signedIndex is the index of releases that release:sign handed over here, of that
// plan; nil if there is none.
func (s *step) signedIndex(ctx context.Context) []byte {
	at := *s
	at.name = handover.Sign
	f, err := handover.Open(ctx, at.file(), handover.Want{Step: handover.Sign, Plan: s.digest})
	if err != nil {
		return nil
	}
	defer f.Close()
	index, _, err := beside(f)
	if err != nil {
		return nil
	}
	return index
}

// lapsed reports whether what was signed here has an index that nobody accepts any
// more: then it is no work that was done.
func (s *step) lapsed(ctx context.Context) bool {
	data := s.signedIndex(ctx)
	if data == nil {
		return false
	}
	index, err := releases.Parse(data)
	return err == nil && !time.Now().Before(index.Expires)
}

// published reports whether the index that a release would follow is the one that
// was signed here, of this checkout: then a run before this one came that far, and
// what is left is to end it. Whatever cannot be told is for the plan to refuse.
// first is whether that release was the first.
func (req ReleaseRequest) published(ctx context.Context) (is, first bool) {
	s, err := openStep(ctx, StepRequest{}, handover.Publish, "")
	if err != nil || s.plan.Tag == "" {
		return false, false
	}
	signed := s.signedIndex(ctx)
	if signed == nil {
		return false, false
	}
	var there []byte
	switch at := req.plan(); {
	case at.Registry != "":
		place, err := consume.InRegistry(ctx, at.Registry, registry.Options{Keychain: credentials})
		if err != nil {
			return false, false
		}
		if there, _, err = place.Index(ctx); err != nil {
			return false, false
		}
	case at.Index != "":
		if there, err = readSmall(at.Index, releases.MaxSize); err != nil {
			return false, false
		}
	}
	if !bytes.Equal(there, signed) {
		return false, false
	}
	fmt.Fprintf(os.Stderr, "release: %s is published already, as %s has it: nothing is planned, built or signed\n", s.plan.Release, s.config.Release)
	return true, s.plan.Previous == nil
}

package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/resultcache"
	"palisade/magefiles/internal/sign"
)

// A BuildRequest says what to build. Cache is REGISTRY/REPOSITORY, where results
// of long steps are shared with other machines; of what is there, that counts
// whose signature Policy believes, by default "workstation" with this user's own
// key; Key is a file with a public key in PEM in place of that one.
type BuildRequest struct {
	Selection
	Cache, Policy, Key string
	Hermetic, Sign     bool
}

// NewBuildRequest takes flags, as NewVerifyRequest does.
func NewBuildRequest(sel Selection, cache, policy, key *string, hermetic, sign *bool) (req BuildRequest, err error) {
	err = take(flag{"cache", cache, &req.Cache}, flag{"policy", policy, &req.Policy}, flag{"key", key, &req.Key})
	if err == nil && req.Cache == "" && req.Policy+req.Key != "" {
		err = outcome(fmt.Errorf("%w: -policy and -key say whom to believe of what is in a cache: name it with -cache=REGISTRY/REPOSITORY", config.ErrUsage))
	}
	req.Selection, req.Hermetic, req.Sign = sel, hermetic != nil && *hermetic, sign == nil || *sign
	return req, err
}

// Build builds the selection, signs it if it is told to, and prints a table of
// what it made.
func Build(ctx context.Context, req BuildRequest) error {
	var hand sign.Hand
	var shared resultcache.Options
	s, err := open(req.Selection, req.Hermetic, func(cfg *config.Config) (err error) {
		if req.Sign {
			if hand, err = handForBuild(ctx, cfg); err != nil {
				return err
			}
		}
		if req.Cache != "" {
			shared, err = shareThrough(ctx, req, &hand)
		}
		return err
	})
	if err != nil {
		return outcome(err)
	}
	defer s.console.Close()
	wait, err := s.share(shared)
	if err != nil {
		return outcome(err)
	}
	for _, why := range s.plan.LeftOut {
		s.console.Notef("left out: %s", why)
	}
	begun := time.Now()
	records, err := s.pipeline.Run(ctx)
	waiting, giveUp := ending(ctx, err)
	wait(waiting)
	giveUp()
	s.console.Close()
	if err != nil {
		return outcome(err)
	}
	s.admit(records)
	if err := s.sign(ctx, hand, req.Sign); err != nil {
		return outcome(err)
	}
	s.console.Notef("%d artifacts in %s, %s", len(records), s.config.Dist, time.Since(begun).Round(time.Millisecond))
	return s.console.Table([]string{"ARTIFACT", "SIZE", "DIGEST", "TIME"}, rows(records))
}

// lastWords is how long a build that failed goes on sending what it made.
const lastWords = 5 * time.Second

// ending is for how long is waited for what a build still does at its end.
func ending(ctx context.Context, failed error) (context.Context, context.CancelFunc) {
	if failed == nil {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, lastWords)
}

// shareThrough says who is believed of what is in the cache, and who signs what
// is put there: hand, which is opened now, while it can still ask for a password.
func shareThrough(ctx context.Context, req BuildRequest, hand *sign.Hand) (resultcache.Options, error) {
	o := resultcache.Options{Repository: req.Cache, Keychain: credentials, Now: time.Now}
	cfg, err := config.LoadVerifying()
	if err != nil {
		return o, err
	}
	if o.Policy, _, err = choosePolicy(req.Policy); err != nil {
		return o, err
	}
	if o.Trust, err = chooseTrust(cfg, o.Policy, req.Key, ""); err != nil {
		return o, err
	}
	if hand.Open != nil {
		if o.Signer, err = hand.Open(ctx); err != nil {
			return o, err
		}
		hand.Open = func(context.Context) (signing.Signer, error) { return o.Signer, nil }
	}
	return o, nil
}

// share connects the steps of s with the cache, if there is one. What it returns
// waits for what is being sent there.
func (s *session) share(o resultcache.Options) (wait func(context.Context), err error) {
	if o.Repository == "" {
		return func(context.Context) {}, nil
	}
	o.Builder, o.Note = s.pipeline.Builder, s.console.Notef
	cache, err := resultcache.Open(o)
	if errors.Is(err, registry.ErrReference) || errors.Is(err, bundle.ErrTrust) {
		err = fmt.Errorf("%w: -cache: %w", config.ErrUsage, err)
	}
	if err != nil {
		return nil, err
	}
	s.pipeline.Share(cache)
	if o.Signer == nil {
		s.console.Notef("cache %s: what is made here is not handed on: with -sign=false nobody signs it", o.Repository)
	}
	return func(ctx context.Context) {
		t := cache.Wait(ctx)
		s.console.Notef("cache %s: %d results taken, %d sent, %d refused", o.Repository, t.Taken, t.Sent, t.Refused)
	}, nil
}

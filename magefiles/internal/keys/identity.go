package keys

import (
	"context"
	"fmt"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/signing/sigstore"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/sign"
)

// ErrToken is what the refusal of a token wraps.
var ErrToken = sigstore.ErrToken

// An Identity is who signs by a token, of which more is known before anything is
// signed than Hand tells.
type Identity struct {
	// Claims are those of a token. Nobody has confirmed them.
	Claims sigstore.Claims

	options sigstore.Options
	holder  *sigstore.Holder
}

// IdentityOf is the identity that s signs as; nil if it signs with a key. The
// token is asked for, and shown to nobody. One that has expired is refused.
func IdentityOf(ctx context.Context, s config.Signing, now func() time.Time) (*Identity, error) {
	if s.Config == "" || s.KeyChosen {
		return nil, nil
	}
	o, err := optionsOf(s, now)
	if err != nil {
		return nil, err
	}
	ask, err := tokenOf(s)
	if err != nil {
		return nil, err
	}
	token, err := ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("signing as an identity: %w", err)
	}
	i := &Identity{options: o}
	if i.Claims, err = sigstore.ReadClaims(token); err != nil {
		return nil, fmt.Errorf("signing as an identity: %w", err)
	}
	if left := i.Claims.Expires.Sub(now()); left <= 0 {
		return nil, fmt.Errorf("signing as an identity: %w: it has expired on %s: take a new one, and begin this step again", sigstore.ErrToken, i.Claims.Expires.Format(time.RFC3339))
	}
	// The certificate is had for a token of its own: until then this one may end.
	if i.holder, err = sigstore.Keyless(o, ask); err != nil {
		return nil, err
	}
	return i, nil
}

// Hand has a certificate issued, and is who signs with it; who that is, the
// certificate says. What the same identity has signed before need not be signed
// again. The certificate serves until it ends, then another has to say the same.
func (i *Identity) Hand(ctx context.Context) (sign.Hand, sigstore.Who, error) {
	fail := func(err error) (sign.Hand, sigstore.Who, error) { return sign.Hand{}, sigstore.Who{}, err }
	who, err := i.holder.Who(ctx)
	if err != nil {
		return fail(err)
	}
	trust := &bundle.Trust{Identities: []bundle.Identity{{Issuer: who.Signer.Issuer, Subject: who.Signer.Subject}}, RequireTimestamp: true}
	if trust.Root, err = bundle.ParseRoot(i.options.Root); err != nil {
		return fail(fmt.Errorf("%w: reading PALISADE_TRUSTED_ROOT: %w", config.ErrUsage, err))
	}
	if trust.RequireLog, err = i.options.Logs(); err != nil {
		return fail(fmt.Errorf("%w: PALISADE_SIGNING_CONFIG: %w", config.ErrUsage, err))
	}
	return sign.Hand{
		Root: i.options.Root, Trust: trust,
		Open: func(context.Context) (signing.Signer, error) { return i.holder, nil },
	}, who, nil
}

// optionsOf are the services that s names.
func optionsOf(s config.Signing, now func() time.Time) (sigstore.Options, error) {
	o := sigstore.Options{Now: now}
	var err error
	if o.Config, err = readSmall(s.Config); err != nil {
		return o, fmt.Errorf("%w: reading PALISADE_SIGNING_CONFIG: %w", config.ErrUsage, err)
	}
	if s.Root == "" {
		return o, fmt.Errorf("%w: PALISADE_SIGNING_CONFIG names services: say with PALISADE_TRUSTED_ROOT which of them are believed", config.ErrUsage)
	}
	if o.Root, err = readRoot(s.Root); err != nil {
		return o, fmt.Errorf("%w: reading PALISADE_TRUSTED_ROOT: %w", config.ErrUsage, err)
	}
	return o, nil
}

package command

import (
	"errors"
	"fmt"
	"os"

	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/config"
)

// A BelieveRequest says by what an index of releases is believed that the next one
// follows: Policy, by default "release", Key, TrustedRoot and Seen are those of a
// ReleaseVerifyRequest.
type BelieveRequest struct{ Policy, Key, TrustedRoot, Seen string }

func (r *BelieveRequest) flags(policy, key, trustedRoot, seen *string) []flag {
	return []flag{{"policy", policy, &r.Policy}, {"key", key, &r.Key}, {"trustedRoot", trustedRoot, &r.TrustedRoot}, {"seen", seen, &r.Seen}}
}

// stranger is who believes it, or not.
func (r BelieveRequest) stranger() (*stranger, error) {
	cfg, err := config.LoadVerifying()
	if err != nil {
		return nil, err
	}
	return newStranger(cfg, ReleaseVerifyRequest{Policy: r.Policy, Key: r.Key, TrustedRoot: r.TrustedRoot, Seen: r.Seen})
}

// open opens an index that the policy believes, however old it is.
func (s *stranger) open(f verify.Freshness) (releases.Index, error) {
	t := s.trust
	t.Fresh = &f
	return t.Releases(s.policy)
}

// follows opens an index that the next one may follow: of a distribution, of any if
// that is "", and with a number no lower than one that was seen. One that is from the
// future is refused, for none could be issued after it. One that has expired is
// believed, and said to be so: it tells nobody any longer what is newest, but it is
// still what was last said, and a publisher has to be able to go on.
func (s *stranger) follows(f verify.Freshness, distribution string) (releases.Index, error) {
	i, err := s.open(f)
	if err != nil {
		return releases.Index{}, err
	}
	if distribution != "" && i.Distribution != distribution {
		return releases.Index{}, fmt.Errorf("%w: of %s, not of %s", verify.ErrForeign, i.Distribution, distribution)
	}
	err = i.Check(s.seen, s.trust.Now)
	if errors.Is(err, releases.ErrExpired) {
		fmt.Fprintf(os.Stderr, "index of releases number %d is followed, though it has expired: if there may be a newer one, say with -seen=N which you have seen\n", i.Number)
		err = nil
	}
	if err != nil {
		return releases.Index{}, err
	}
	return i, nil
}

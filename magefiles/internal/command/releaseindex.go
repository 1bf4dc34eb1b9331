package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/releases"
	"palisade/attestations/signing"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/config"
)

// A ReleaseIndexRequest says which index of releases to follow: Index is the file
// as it was published, with its bundle beside it, which has to be believed under
// Policy, Key and TrustedRoot as a VerifyRequest has them, and to have a number no
// lower than Seen. Folder is where the next one is written, by default the folder
// index of PALISADE_RELEASE. Withdraw is the version of a release that must not be
// used any longer, and Why the reason; Life how long the index holds, as 2160h.
type ReleaseIndexRequest struct {
	Index, Policy, Key, TrustedRoot, Seen, Folder, Withdraw, Why, Life string
}

// NewReleaseIndexRequest takes flags, as NewVerifyRequest does.
func NewReleaseIndexRequest(index, policy, key, trustedRoot, seen, output, withdraw, why, life *string) (req ReleaseIndexRequest, err error) {
	err = take(
		flag{"index", index, &req.Index}, flag{"policy", policy, &req.Policy}, flag{"key", key, &req.Key}, flag{"trustedRoot", trustedRoot, &req.TrustedRoot},
		flag{"seen", seen, &req.Seen}, flag{"output", output, &req.Folder}, flag{"withdraw", withdraw, &req.Withdraw}, flag{"why", why, &req.Why}, flag{"life", life, &req.Life},
	)
	return req, err
}

// ReleaseIndex signs the index of releases anew, though nothing is released, so that
// it does not expire, or because a release is withdrawn. What nobody believes is not
// signed anew but refused, with status 3; one that has expired is believed. It says
// where the next index is, with its number, its digest and its end.
func ReleaseIndex(ctx context.Context, req ReleaseIndexRequest) error {
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	verifying, err := config.LoadVerifying()
	if err != nil {
		return outcome(err)
	}
	if req.Folder == "" {
		req.Folder = filepath.Join(cfg.Release, "index")
	}
	r, err := prepareRenewal(verifying, req)
	if err != nil {
		return outcome(err)
	}
	next, data, done, err := r.made()
	if err == nil && !done {
		next, data, err = r.make(ctx, cfg.Signing)
	}
	if err != nil {
		return outcome(err)
	}
	if done {
		fmt.Fprintf(os.Stderr, "%s follows that index already\n", r.file)
	}
	_, err = fmt.Printf("%s  number %d  %s  expires %s\n", r.file, next.Number, artifact.DigestBytes(data), next.Expires.Format(time.RFC3339))
	return err
}

// A renewal is an index of releases that is yet to be signed anew.
type renewal struct {
	*stranger // who believes it
	last      releases.Index
	digest    artifact.Digest // of last
	withdrawn []releases.Withdrawal
	life      time.Duration
	file      string // of the next
}

func prepareRenewal(cfg *config.Verifying, req ReleaseIndexRequest) (r renewal, err error) {
	switch {
	case req.Index == "":
		return r, fmt.Errorf("%w: say which index is published: -index=FILE, with %s beside it", config.ErrUsage, releases.BundleName)
	case (req.Withdraw == "") != (req.Why == ""):
		return r, fmt.Errorf("%w: -withdraw=VERSION and -why=TEXT go together", config.ErrUsage)
	case within(req.Index, req.Folder):
		return r, fmt.Errorf("%w: -index=%s lies in the folder that the next one is written to: name another, -output=DIR", config.ErrUsage, req.Index)
	}
	if req.Withdraw != "" {
		r.withdrawn = []releases.Withdrawal{{Version: req.Withdraw, Why: req.Why}}
	}
	if r.life, err = lifeOf(req.Life); err != nil {
		return r, err
	}
	r.file = filepath.Join(req.Folder, releases.FileName)
	if req.Policy == "" {
		req.Policy = defaultPolicy
	}
	if r.stranger, err = newStranger(cfg, ReleaseVerifyRequest{Policy: req.Policy, Key: req.Key, TrustedRoot: req.TrustedRoot, Seen: req.Seen}); err != nil {
		return r, err
	}
	var f verify.Freshness
	if err := readReleases(&f, req.Index); err != nil {
		return r, err
	}
	if r.last, err = r.follows(f, ""); err != nil {
		return r, refusedUnlessUsage(fmt.Errorf("opening %s: %w", req.Index, err))
	}
	r.digest = artifact.DigestBytes(f.Index)
	return r, nil
}

// lifeOf is how long an index holds.
func lifeOf(text string) (time.Duration, error) {
	if text == "" {
		return releases.DefaultLife, nil
	}
	life, err := time.ParseDuration(text)
	if err != nil || life < releases.MinLife || life > releases.MaxLife {
		return 0, fmt.Errorf("%w: -life=%.40s is no time from %s to %s, as 2160h", config.ErrUsage, text, releases.MinLife, releases.MaxLife)
	}
	return life, nil
}

// refusedUnlessUsage gives err the status of what is refused, unless it is a policy
// under which nothing could be believed.
func refusedUnlessUsage(err error) error {
	if errors.Is(err, bundle.ErrTrust) {
		return fmt.Errorf("%w: %w", config.ErrUsage, err)
	}
	return failure{err, statusRefused}
}

// made reads the next index, if a run before this one has written it. What is there
// may be the last one, which is published by now.
func (r renewal) made() (next releases.Index, data []byte, done bool, err error) {
	var f verify.Freshness
	if err := readReleases(&f, r.file); errors.Is(err, fs.ErrNotExist) {
		return next, nil, false, nil
	} else if err != nil {
		return next, nil, false, err
	}
	if artifact.DigestBytes(f.Index) == r.digest {
		return next, nil, false, nil
	}
	if next, err = r.open(f); err == nil {
		err = errors.Join(next.Follows(r.last), next.Check(0, r.trust.Now))
	}
	for _, w := range r.withdrawn {
		if err == nil && !slices.ContainsFunc(next.Releases, func(r releases.Release) bool { return r.Version == w.Version && r.Withdrawn == w.Why }) {
			err = fmt.Errorf("it does not withdraw %s", w.Version)
		}
	}
	if err != nil {
		return next, nil, false, fmt.Errorf("%w: %s is there, and not what is asked for: remove it, or name another folder, -output=DIR: %w", config.ErrUsage, r.file, err)
	}
	return next, f.Index, true, nil
}

// make makes the next index. Nobody can find it before it has been opened as a
// consumer would.
func (r renewal) make(ctx context.Context, s config.Signing) (next releases.Index, data []byte, err error) {
	next, err = r.last.Renew(r.digest, r.trust.Now, r.life, r.withdrawn...)
	if errors.Is(err, releases.ErrNotReleased) || errors.Is(err, releases.ErrWithdrawn) || errors.Is(err, releases.ErrMalformed) {
		err = fmt.Errorf("%w: %w", config.ErrUsage, err)
	}
	if err == nil {
		data, err = next.Encode()
	}
	if err != nil {
		return next, nil, err
	}
	signature, err := signIndex(ctx, s, data)
	if err != nil {
		return next, nil, err
	}
	if _, err := r.open(verify.Freshness{Index: data, Bundle: signature}); err != nil {
		return next, nil, fmt.Errorf("%w: whoever signs here is believed by nobody who follows policy %s: %w", config.ErrUsage, r.policy.Name(), err)
	}
	return next, data, writeReleases(filepath.Dir(r.file), data, signature)
}

func signIndex(ctx context.Context, s config.Signing, data []byte) ([]byte, error) {
	signer, _, err := openSigner(ctx, s, "an index of releases")
	if err != nil {
		return nil, err
	}
	content, err := signing.File(artifact.DigestBytes(data))
	if err != nil {
		return nil, err
	}
	signature, err := signer.Sign(ctx, content)
	if err != nil {
		return nil, fmt.Errorf("signing an index of releases: %w", err)
	}
	return signature, nil
}

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/signing"
	"palisade/attestations/verify"
	"palisade/attestations/vsa"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/keys"
	"palisade/magefiles/internal/store"
)

// verifierID is who a summary is by: a person on his own machine.
const verifierID = "https://palisade.example/verifiers/workstation/v1"

// A summary is a Verification Summary Attestation that is still to be written.
type summary struct {
	file   string
	signer signing.Signer
	trust  *bundle.Trust // opens what the signer signs; nil if nobody can tell before
}

// openSummary opens the key first: what it needs is asked for before anything
// is verified. release is the folder that is verified, if it is one.
func openSummary(ctx context.Context, cfg *config.Verifying, file, release string) (*summary, error) {
	if release != "" && within(file, release) {
		return nil, fmt.Errorf("%w: -vsa=%s lies in the release, where every file that release.json does not list is refused: write it elsewhere", config.ErrUsage, file)
	}
	signer, trust, err := openSigner(ctx, cfg.Signing, "a summary")
	if err != nil {
		return nil, err
	}
	return &summary{file, signer, trust}, nil
}

// openSigner opens what this user signs with, and says who opens what it signs;
// nil if nobody can tell before. what is to be signed, for people.
func openSigner(ctx context.Context, s config.Signing, what string) (signing.Signer, *bundle.Trust, error) {
	hand, err := keys.Hand(ctx, s, time.Now, asker())
	if errors.Is(err, keys.ErrNone) {
		err = fmt.Errorf("%w: signing %s: %w", config.ErrUsage, what, err)
	}
	if err != nil {
		return nil, nil, err
	}
	signer, err := hand.Open(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("signing %s: %w", what, err)
	}
	return signer, hand.Trust, nil
}

// write sums up what passed and signs that. Nobody can find it before it has
// been read as a consumer would.
func (s *summary) write(ctx context.Context, report verify.Report, policyURI string) error {
	st, err := report.Summary(verifierID, policyURI)
	if err != nil {
		return err
	}
	payload, err := intoto.Marshal(st)
	if err != nil {
		return err
	}
	data, err := s.signer.Sign(ctx, signing.Statement(payload))
	if err != nil {
		return fmt.Errorf("signing a summary: %w", err)
	}
	if err := s.readBack(data, st, report); err != nil {
		return fmt.Errorf("reading the summary back: %w", err)
	}
	if err := store.WriteFile(s.file, 0o644, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}); err != nil {
		return fmt.Errorf("writing a summary: %w", err)
	}
	fmt.Fprintf(os.Stderr, "%s: summary by %s, %s\n", s.file, s.signer.Identity(), report.Level())
	return nil
}

func (s *summary) readBack(data []byte, st intoto.Statement, report verify.Report) error {
	if s.trust == nil {
		return nil
	}
	for _, sub := range st.Subject {
		digest, err := artifact.ParseDigest("sha256:" + sub.Digest["sha256"])
		if err != nil {
			return err
		}
		if _, err := vsa.Open(data, vsa.Want{
			Trust: *s.trust, Verifier: verifierID, Subject: digest,
			ResourceURI: report.Resource(), Policy: report.PolicyDigest, Level: report.Level(),
		}); err != nil {
			return err
		}
	}
	return nil
}

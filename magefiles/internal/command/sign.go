package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/keys"
	"palisade/magefiles/internal/sign"
	"palisade/magefiles/internal/store"
)

// Sign signs what was built, wherever that was.
func Sign(ctx context.Context) error {
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	hand, err := keys.Hand(ctx, cfg.Signing, time.Now, asker())
	if err != nil {
		return outcome(err)
	}
	result, err := signDist(ctx, cfg, hand, false)
	if err != nil {
		return outcome(err)
	}
	_, err = fmt.Fprintln(os.Stdout, tally(result))
	return err
}

// GenerateKey makes a key pair for this user.
func GenerateKey(ctx context.Context) error {
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	made, err := keys.Generate(ctx, cfg.Signing, asker())
	if err != nil {
		return outcome(err)
	}
	fmt.Fprintf(os.Stderr, "the private key is %s, %s\n", made.Private, protection(made))
	_, err = fmt.Fprintf(os.Stdout, "%s %s\n", made.Public, made.ID)
	return err
}

// handForBuild is who signs a build, made if there is nobody yet.
func handForBuild(ctx context.Context, cfg *config.Config) (sign.Hand, error) {
	hand, err := keys.Hand(ctx, cfg.Signing, time.Now, asker())
	if !errors.Is(err, keys.ErrNone) || cfg.Signing.KeyChosen || cfg.Signing.Config != "" || cfg.Signing.Key == "" {
		return hand, err
	}
	made, err := keys.Generate(ctx, cfg.Signing, asker())
	if errors.Is(err, keys.ErrExists) { // another run was first
		return keys.Hand(ctx, cfg.Signing, time.Now, asker())
	}
	if err != nil {
		return sign.Hand{}, err
	}
	fmt.Fprintf(os.Stderr, "there was no key to sign with, so one was made for this user: %s, %s.\n"+
		"What it signs says that it was built on a workstation. Others verify it with %s, key %s\n", made.Private, protection(made), made.Public, made.ID)
	return keys.Hand(ctx, cfg.Signing, time.Now, asker())
}

func protection(made keys.Made) string {
	if made.Protected {
		return "protected by its password"
	}
	return "without a password: the mode of the file is all that protects it"
}

// signDist signs while nobody publishes. What a build remembers as signed is
// looked at all the same if somebody asks for that alone.
func signDist(ctx context.Context, cfg *config.Config, hand sign.Hand, remembering bool) (sign.Result, error) {
	s, err := store.Open(cfg.Cache)
	if err != nil {
		return sign.Result{}, err
	}
	unlock, err := dist.Lock(ctx, s, cfg.Dist)
	if err != nil {
		return sign.Result{}, err
	}
	defer unlock()
	if !remembering {
		return sign.Release(ctx, cfg.Dist, hand)
	}
	return sign.Remembering(ctx, cfg.Dist, hand, s.Dir("signed-"+artifact.DigestBytes([]byte(cfg.Dist)).Hex()[:16]+".json"))
}

func tally(r sign.Result) string {
	if r.Signed == 0 {
		return fmt.Sprintf("%d files are signed already", r.Kept)
	}
	return fmt.Sprintf("%d files signed by %s, %d were signed already", r.Signed, r.By, r.Kept)
}

// asker asks for passwords on the terminal, if there is one.
func asker() keys.Ask {
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) || !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	return func(ctx context.Context, prompt string) ([]byte, error) {
		before, err := term.GetState(in)
		if err != nil {
			return nil, err
		}
		fmt.Fprint(os.Stderr, prompt)
		type answer struct {
			password []byte
			err      error
		}
		answered := make(chan answer, 1)
		go func() {
			password, err := term.ReadPassword(in)
			answered <- answer{password, err}
		}()
		defer fmt.Fprintln(os.Stderr)
		select {
		case a := <-answered:
			return a.password, a.err
		case <-ctx.Done(): // what is typed later has to be seen again
			return nil, errors.Join(ctx.Err(), term.Restore(in, before))
		}
	}
}

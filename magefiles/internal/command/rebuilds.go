package command

import (
	"context"
	"fmt"
	"os"

	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/console"
	"palisade/magefiles/internal/publish"
)

// A RebuildsRequest says which image in a registry was built again, and in which
// folder it lies who attests that. Policy, Key and TrustedRoot say who has to have
// signed its provenance, as those of a VerifyRequest.
type RebuildsRequest struct{ Image, Path, Policy, Key, TrustedRoot string }

// NewRebuildsRequest takes flags, as NewVerifyRequest does.
func NewRebuildsRequest(image, path, policy, key, trustedRoot *string) (req RebuildsRequest, err error) {
	err = take(
		flag{"image", image, &req.Image}, flag{"path", path, &req.Path}, flag{"policy", policy, &req.Policy},
		flag{"key", key, &req.Key}, flag{"trustedRoot", trustedRoot, &req.TrustedRoot},
	)
	return req, err
}

// PublishRebuilds attaches to an image in a registry what others attest who built
// it again, and prints of each who he is. It needs no release, and no key.
func PublishRebuilds(ctx context.Context, req RebuildsRequest) error {
	if req.Image == "" || req.Path == "" {
		return outcome(fmt.Errorf("%w: say of which image, -image=HOST/REPOSITORY:TAG, and where it lies who built it again, -path=DIR, which was the -output of mage reproduce", config.ErrUsage))
	}
	if info, err := os.Stat(req.Path); err != nil || !info.IsDir() {
		return outcome(fmt.Errorf("%w: there is no folder %s: name the one that was the -output of mage reproduce", config.ErrUsage, req.Path))
	}
	cfg, err := config.LoadVerifying()
	if err != nil {
		return outcome(err)
	}
	signers, rebuilders, err := trusted(cfg, req.Policy, req.Key, req.TrustedRoot)
	if err != nil {
		return outcome(err)
	}
	con := console.New(os.Stdout, os.Stderr, console.Plain(true))
	defer con.Close()
	done, err := publish.Rebuilds(ctx, publish.Options{Trust: signers, Rebuilders: rebuilders, Keychain: credentials, Note: con.Notef}, req.Image, req.Path)
	if err != nil {
		return published(err)
	}
	var rows [][]string
	for _, b := range done.Bundles {
		state, signature := "attached", "verified"
		if b.There {
			state = "was there"
		}
		if !b.Known {
			signature = "of nobody whom the policy names"
		}
		rows = append(rows, []string{fmt.Sprintf("%s@%s", done.Repository, b.Of), state, b.By.String(), signature})
	}
	return con.Table([]string{"REBUILT", "STATE", "BY", "SIGNATURE"}, rows)
}

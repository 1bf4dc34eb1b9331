package command

import (
	"context"

	"github.com/google/go-containerregistry/pkg/authn"

	"palisade/magefiles/internal/config"
)

// credentials are this user's for registries: those of docker's configuration,
// or of the programs that it names.
var credentials authn.Keychain = discreet{authn.DefaultKeychain}

// A discreet keychain starts no program that sees what is signed with: it has
// the environment of this process.
type discreet struct{ inner authn.Keychain }

// ResolveContext and Resolve are those of the keychain.
func (d discreet) ResolveContext(ctx context.Context, of authn.Resource) (authn.Authenticator, error) {
	defer config.HideSecrets()()
	return authn.Resolve(ctx, d.inner, of)
}

func (d discreet) Resolve(of authn.Resource) (authn.Authenticator, error) {
	return d.ResolveContext(context.Background(), of)
}

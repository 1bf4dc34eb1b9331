package command

import (
	"context"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"

	"palisade/magefiles/internal/config"
)

// credentials are this user's for registries: those of docker's configuration,
// or of the programs that it names.
var credentials authn.Keychain = discreet{authn.NewMultiKeychain(variable{}, authn.DefaultKeychain)}

// A variable is DOCKER_AUTH_CONFIG, which docker reads whether or not there is a
// file of its configuration, and the other keychain only if there is one.
type variable struct{}

// Resolve is that of the keychain.
func (variable) Resolve(of authn.Resource) (authn.Authenticator, error) {
	c, err := configfile.New("").GetAuthConfig(of.RegistryStr())
	c.ServerAddress = "" // which is always said
	if err != nil || c == (types.AuthConfig{}) {
		return authn.Anonymous, err
	}
	return authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password, Auth: c.Auth, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken}), nil
}

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

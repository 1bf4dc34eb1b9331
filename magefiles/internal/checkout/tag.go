package checkout

import (
	"context"
	"fmt"
	"strings"
)

// Tagged is the commit that a tag of the checkout at root names, as Observe says
// one. A tag that is not there is an error.
func Tagged(ctx context.Context, root, git, tag string) (commit string, err error) {
	g := repository{root, git}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := g.there(); err != nil {
		return "", err
	}
	said, err := g.ask(ctx, "rev-parse", "--verify", "refs/tags/"+tag+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("looking for tag %q: %w", tag, err)
	}
	return strings.TrimSpace(said), nil
}

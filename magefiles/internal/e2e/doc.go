// Package e2e uses what dist/ holds the way a person would who downloaded it,
// and refuses a release in which an archive, a binary or a web interface does
// not do what the recipe says of it. It is tests alone, behind the build tag
// e2e, because they need built components and a browser:
//
//	go tool mage build
//	go tool mage image -component=node_exporter,prometheus
//	go test -tags e2e ./magefiles/internal/e2e
//
// The archives of this machine's platform are unpacked, each component is
// started from its archive with the configuration that came with it, and the
// web interfaces are loaded in headless Chromium, which has to be in PATH as
// chromium, chromium-browser or google-chrome. A component that was not built,
// or a browser that is not there, is a failure that says what to do: it is
// never skipped, but for what only root can do: the images are run as their user,
// in their own root; and for container engines, which nobody starts unasked. What
// the index says is checked of every platform.
//
// Everything listens on 127.0.0.1 alone, on ports that were free a moment
// before, and is bounded in time.
//
// # Flags
//
//	-dist DIR         the results (default: dist/ of the checkout). A relative
//	                  DIR is relative to this package's folder.
//	-engines LIST     run the images in these container engines too, of docker
//	                  and podman, as root; dockerd, docker, containerd, podman,
//	                  conmon and runc have to be in PATH
//	-screenshots DIR  keep a picture of every page there (default: of a page
//	                  that fails, in a new temporary directory)
package e2e

package ocilayout

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"palisade/attestations/artifact"
)

// DockerName is the file of a layout that says the same again to Docker where
// that keeps images in its own store: there it loads no image index, but the
// archives that "docker save" once wrote (manifest.json of the Docker image
// specification v1.2).
const DockerName = "manifest.json"

// Ref is what the layout of a component's image calls it: the name that podman
// and Docker give to what they load. It begins with the host on which it was
// loaded. Without one, podman would add that, while Docker takes the name for
// one of Docker Hub: where that keeps images in containerd's store it would not
// find what it has just loaded, and fetch what somebody called so there.
func Ref(component, version string) string { return "localhost/" + component + ":" + version }

// refForm is a path in the form that registries and Docker take, and a tag: less
// than the grammar of RefName allows (annotations.md).
var refForm = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*:[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$`)

// maxTag is how long a tag may be, in bytes.
const maxTag = 128

// DockerManifest is the content of DockerName in the layout of an image that is
// called ref. Docker has one platform under a name, so that each is called after
// its own, as in localhost/prometheus:3.15.0-palisade.1-linux-arm-v7; the one of an image
// that has no other is called ref. Of platforms nothing but the platform and the
// digests of configuration and layers is looked at.
func DockerManifest(ref string, platforms []artifact.PlatformImage) ([]byte, error) {
	type image struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	images := []image{}
	for _, p := range platforms {
		tag := ref
		if len(platforms) > 1 {
			tag += "-" + strings.ReplaceAll(p.Platform.String(), "/", "-")
		}
		if _, version, _ := strings.Cut(tag, ":"); !refForm.MatchString(tag) || len(version) > maxTag {
			return nil, fmt.Errorf("%w: %.300q is not of the form name:tag, in which registries and container engines call an image", ErrLayout, tag)
		}
		made := image{Config: blobName(p.Config), RepoTags: []string{tag}, Layers: []string{}}
		for _, l := range p.Layers {
			made.Layers = append(made.Layers, blobName(l.Digest))
		}
		images = append(images, made)
	}
	return json.Marshal(images)
}

func blobName(d artifact.Digest) string { return hashFolder + "/" + d.Hex() }

// dockerManifest is what l has to hold as DockerName.
func (l *Layout) dockerManifest() ([]byte, error) {
	var platforms []artifact.PlatformImage
	for _, i := range l.Images {
		p := artifact.PlatformImage{Platform: i.Platform, Config: i.Config.Digest}
		for _, layer := range i.Layers {
			p.Layers = append(p.Layers, artifact.Layer{Digest: layer.Digest})
		}
		platforms = append(platforms, p)
	}
	return DockerManifest(l.Ref, platforms)
}

package artifact

// RebuildsSuffix ends the name of the folder beside an artifact or an image that
// holds what others attest who built it again.
const RebuildsSuffix = ".rebuilds"

// RebuildsDir is that folder of the file called name:
// prometheus-3.15.0-palisade.1.linux-amd64.tar.gz.rebuilds.
func RebuildsDir(name string) string { return name + RebuildsSuffix }

package upstream

// A Reason is why ours differs from upstream's in one thing.
type Reason string

// The reasons, as Reasons has them.
const (
	Variant     Reason = "variant"
	Packing     Reason = "packing"
	Licences    Reason = "licences"
	Toolchain   Reason = "toolchain"
	Checkout    Reason = "checkout"
	Sealed      Reason = "sealed"
	Raised      Reason = "raised"
	Trimpath    Reason = "trimpath"
	Ldflags     Reason = "ldflags"
	Netgo       Reason = "netgo"
	Timezones   Reason = "timezones"
	Language    Reason = "language"
	Stamp       Reason = "stamp"
	Revision    Reason = "revision"
	Taken       Reason = "taken"
	OldUI       Reason = "old-ui"
	Compressed  Reason = "compressed"
	Unexplained Reason = "unexplained"
)

// Reasons are all of them, and what each says. No finding has another.
var Reasons = []struct {
	Reason Reason
	Says   string
}{
	{Variant, "what has no patches of ours is called so, in names and by --version"},
	{Packing, "promu has tar take times, owners, modes and their order from the machine it runs on; here they are the same on every machine"},
	{Licences, "ours carries the licence texts of all that is linked, in THIRD_PARTY_LICENSES"},
	{Toolchain, "upstream compiles with the Go of the version that its .promu.yml asks for, as its image of that day holds it; this distribution pins one by its hash. Another Go has other packages of its own"},
	{Checkout, "upstream builds in a clone of its repository, of which Go and promu write down the state; here the source is a module, of which Go writes down version and hash"},
	{Sealed, "the module is upstream's with the built interface in it, and what that needs: it is sealed under a version of its own, whose hash the program holds"},
	{Raised, "the recipe's lock selects a newer version of the module than upstream's go.mod does, each with the hash that is there, or a module that only one of the two needs"},
	{Trimpath, "-trimpath keeps the paths of the machine out of the program"},
	{Ldflags, "with -trimpath Go does not write down what the linker was told. Upstream's tells it what to stamp, which is compared by itself, and -extldflags '-static', which means nothing without cgo"},
	{Netgo, "without cgo there is no other resolver than Go's: the tag changes nothing"},
	{Timezones, "Go's copy of the time zones is linked in, for where the machine has none: our images have no base image"},
	{Language, "a recipe's lock is a module of its own, whose go line is that of the newest module in it: from the go line of the main module Go derives the defaults of GODEBUG"},
	{Stamp, "promu stamps the branch, who built, where and when; here the release, the distribution and the time of the upstream release"},
	{Revision, "the recipe knows no commit, and stamps the hash of the source"},
	{Taken, "upstream builds this interface from source that only its own servers have; ours is taken, built, from the last release whose source carries it"},
	{OldUI, "the old interface of Prometheus, which is not maintained, is not built here"},
	{Compressed, "the file is the same; gzip compressed it there, another compressor here"},
	{Unexplained, "there is no known cause: do not take the one for the other"},
}

// Package provenance makes and reads the SLSA v1 provenance of an artifact: an
// in-toto Statement that says, of one artifact, what it was built from, how and
// by whom. It is made of what was observed (artifact.Record) and of who
// observed it (Builder, Run), of nothing else. Two builds of the same artifact
// by one builder from the same commit differ in invocationId, startedOn,
// finishedOn and the workflow alone; Differs tells any other difference.
//
// The build type that it speaks of, field by field and with an example, is
// attestations/predicates/build.md. That of a container image, which is made of
// archives, is attestations/predicates/image.md: ImageStatement, ParseImage and
// Image.Check stand beside Statement, Parse and Provenance.Check, and refuse the
// same. Section names are those of the SLSA v1.1
// provenance specification (https://slsa.dev/spec/v1.1/provenance).
//
// # Subjects
//
// A statement has one subject for the archive and one for each binary in it,
// under the name that the archive has it by. So whoever holds only a binary can
// verify it with the archive's bundle. They are exactly those that the record
// names, in its order: Check refuses one more and one less.
//
// # Refusals
//
// Statement refuses a record that would make a provenance say less than it has
// to: a module without a hash, a module that has two, a binary that is not in
// the archive, an interface that was built by nobody knows whom (ErrInput).
// Parse refuses another predicate (ErrPredicateType), another build type
// (ErrBuildType) and whatever Statement would not write, byte for byte but for
// indentation (ErrProvenance); SLSA lets a reader ignore unknown fields, and
// here there are none to ignore. Check refuses other subjects than those of a
// record (ErrSubject) and any other field that the record does not give
// (ErrMismatch).
package provenance

import (
	"errors"
	"fmt"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// PredicateType identifies SLSA provenance, of any version 1.x.
const PredicateType = "https://slsa.dev/provenance/v1"

// BuildType identifies how "mage build" makes an artifact, and what the
// parameters and dependencies mean: attestations/predicates/build.md. It
// names what is done, whoever publishes the result.
const BuildType = "https://palisade.example/predicates/build/v1"

// Why something is refused, each its own.
var (
	ErrInput         = errors.New("what was observed does not make a provenance")
	ErrPredicateType = errors.New("it is no SLSA provenance")
	ErrProvenance    = errors.New("malformed provenance")
	ErrBuildType     = errors.New("it is of another build type")
	ErrSubject       = errors.New("its subjects are not those of the record")
	ErrMismatch      = errors.New("it does not say what the record says")
)

// A Provenance is what Parse read: a predicate and the subjects that it is
// about. Fields are in the order of their keys, in which they are written.
type Provenance struct {
	Subject         []intoto.Subject `json:"-"`
	BuildDefinition BuildDefinition  `json:"buildDefinition"`
	RunDetails      RunDetails       `json:"runDetails"`
}

// A BuildDefinition is the input to the build (BuildDefinition).
type BuildDefinition struct {
	BuildType            string            `json:"buildType"`
	ExternalParameters   External          `json:"externalParameters"`
	InternalParameters   Internal          `json:"internalParameters"`
	ResolvedDependencies []intoto.Resource `json:"resolvedDependencies"` // sorted by URI, then by name
}

// External is what a user may choose, and nothing else.
type External struct {
	Component    string            `json:"component"`
	Distribution artifact.Digest   `json:"distribution"` // of recipes/distribution.yaml
	Platform     artifact.Platform `json:"platform"`
	Recipe       artifact.Digest   `json:"recipe"` // of every file of the recipe, as the record has it
	Variant      string            `json:"variant"`
	Version      string            `json:"version"` // ours: 3.15.0-palisade.1
}

// Internal is what the builder set.
type Internal struct {
	Cache           Cache              `json:"cache"`
	Command         []string           `json:"command"`     // of the compiler
	Environment     map[string]string  `json:"environment"` // of the compiler, all of it
	Hermetic        bool               `json:"hermetic"`    // every sandbox was
	Sandboxes       map[string]Sandbox `json:"sandboxes"`   // by what ran in it: compiler, interface
	SourceDateEpoch int64              `json:"sourceDateEpoch"`
	Workflow        *Workflow          `json:"workflow,omitempty"` // that vouches for this; none on a workstation
}

// A Sandbox is what the sandbox said of itself, see artifact.Sandbox.
type Sandbox struct {
	Executor   string   `json:"executor,omitempty"`
	Hermetic   bool     `json:"hermetic"`
	Namespaces []string `json:"namespaces,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Worker     string   `json:"worker,omitempty"`
}

// buildKit is the only executor that is known: artifact.Sandbox.Executor.
const buildKit = "buildkit"

// What runs in a sandbox.
const (
	compiler = "compiler"
	ui       = "interface"
)

// Cache says whether an earlier build could have left something in the caches
// that this one read: the results of its steps, which are held against their
// digests, and the compiler's own, which is not. What was found there is not
// said: it would differ from one build to the next.
type Cache string

// The states of the caches.
const (
	Shared Cache = "shared" // they outlive a build, as a user's do
	Fresh  Cache = "fresh"  // they were empty when the run began, and nobody else wrote them

	// Registry is Shared, and results that others signed were taken into them
	// from a registry.
	Registry Cache = "registry"
)

func (c Cache) validate() error {
	if c != Shared && c != Fresh && c != Registry {
		return fmt.Errorf("internalParameters.cache is %.40q, neither %s nor %s nor %s", string(c), Shared, Fresh, Registry)
	}
	return nil
}

// RunDetails is what belongs to this execution of the build (RunDetails).
type RunDetails struct {
	Builder    Builder           `json:"builder"`
	Byproducts []intoto.Resource `json:"byproducts"` // SPDX documents, sorted by name
	Metadata   Metadata          `json:"metadata"`
}

// A Builder is who really built (Builder). ID says which trust it takes to
// believe the rest, so a workstation and a workflow of a build service never
// share one.
type Builder struct {
	Dependencies []intoto.Resource `json:"builderDependencies"` // this tool by its module hash; each with a digest, sorted by URI, then by name
	ID           string            `json:"id"`                  // an absolute URI
	Version      map[string]string `json:"version"`             // of this tool and what else the builder consists of
}

// Metadata holds what may differ between two builds of the same artifact, beside
// the workflow (BuildMetadata). Times are UTC, in whole seconds.
type Metadata struct {
	FinishedOn   time.Time `json:"finishedOn"`
	InvocationID string    `json:"invocationId"`
	StartedOn    time.Time `json:"startedOn"`
}

// A Run is what a record does not hold of the execution that it is about.
type Run struct {
	InvocationID      string // unique to the run; of a workflow, its address
	Started, Finished time.Time
	Repository        Repository      // of this distribution
	Distribution      artifact.Digest // of recipes/distribution.yaml
	Cache             Cache
	Workflow          *Workflow // that vouches for what is said; nil if none does
}

// A Repository is the state of the sources of this distribution. The zero
// Repository is that of a checkout without version control: then the
// provenance names none, which a policy that wants a clean one refuses.
type Repository struct {
	URI    string // git+https://…, without a revision; "" if it has no public address
	Commit string // lower-case hexadecimal digits
	Clean  bool   // nothing in the checkout differs from the commit
}

//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"

	"palisade/magefiles/internal/command"
)

// Release does all steps of a release on this machine, one after the other, and
// passes over what is done already. dry does everything but publish: it needs neither
// tag nor index of releases, signs with your key, verifies, and shows what would be
// published, and as what; the index that it signs then holds for an hour. The index
// that it follows has to be believed under policy, and to have a number no lower than
// seen.
func Release(ctx context.Context, component, variant, tag, index, registry, directory, policy, key, trustedRoot, seen, database, since *string, first, dry *bool) error {
	req, err := command.NewReleaseRequest(component, variant, tag, index, registry, directory, policy, key, trustedRoot, seen, database, since, first, dry)
	if err == nil {
		err = command.Release(ctx, req)
	}
	return exit(err)
}

// RELEASE cuts a release in steps, each on a machine of its own if it is to be:
// what a step hands over is one file, and the next takes no other. Its Go name
// differs from the target's above, though for mage both are "release".
type RELEASE mg.Namespace

// Index signs the index of releases anew, though nothing is released, before it
// expires, or because a release is withdrawn: withdraw is its version, and why the
// reason. index is the one that is published, which has to be believed under the
// policy and to have a number no lower than seen; the next goes into output.
func (RELEASE) Index(ctx context.Context, index, policy, key, trustedRoot, seen, output, withdraw, why, life *string) error {
	req, err := command.NewReleaseIndexRequest(index, policy, key, trustedRoot, seen, output, withdraw, why, life)
	if err == nil {
		err = command.ReleaseIndex(ctx, req)
	}
	return exit(err)
}

// Notes prints the release notes of the results in path, by default dist: what
// changed since the release before, whose folder or release.json since is, with the
// SPDX documents beside it; first says that there is none before.
func (RELEASE) Notes(ctx context.Context, path, since *string, first *bool) error {
	req, err := command.NewNotesRequest(path, since, first)
	if err == nil {
		err = command.Notes(ctx, req)
	}
	return exit(err)
}

// Plan says what the next release consists of, and who builds what: plan.json, and
// with output=matrix what a CI makes its jobs of. The checkout has to be as
// committed, and the tag at its commit. registry, or the file index, has the index
// of releases that this one follows, which has to be believed under policy, by default
// release, and to have a number no lower than seen; first says that there is none. A
// rehearsal needs neither tag nor index, and nobody publishes it.
func (RELEASE) Plan(ctx context.Context, component, variant, shards, tag, index, registry, policy, key, trustedRoot, seen, output *string, first, rehearsal *bool) error {
	req, err := command.NewReleasePlanRequest(component, variant, shards, tag, index, registry, policy, key, trustedRoot, seen, output, first, rehearsal)
	if err == nil {
		err = command.ReleasePlan(ctx, req)
	}
	return exit(err)
}

// Build builds a part of the release, shard=1/2, hermetically, and hands it over in
// one file; with output=env only KEY=DIGEST of that is printed. With digests, such
// KEY=DIGEST with commas between, each file that a step takes is the one of its own
// key, the plan's of plan, and nothing that lies here counts as done.
func (RELEASE) Build(ctx context.Context, shard, plan, digests, output *string) error {
	req, err := command.NewReleaseShardRequest(shard, plan, nil, digests, output)
	if err == nil {
		err = command.ReleaseBuild(ctx, req)
	}
	return exit(err)
}

// Audit audits what was built of a part of the release, shard=1/2, and hands over
// the results alone. It refuses with status 3.
func (RELEASE) Audit(ctx context.Context, shard, plan, from, digests, output *string) error {
	req, err := command.NewReleaseShardRequest(shard, plan, from, digests, output)
	if err == nil {
		err = command.ReleaseAudit(ctx, req)
	}
	return exit(err)
}

// Assemble puts together what was built and audited of every part of the release,
// with images, notes, and the vulnerabilities known by database, a folder or an
// address. What is missing, there twice or foreign is refused with status 3. since
// is the release before, for the notes.
func (RELEASE) Assemble(ctx context.Context, plan, from, digests, output, database, since *string) error {
	req, err := command.NewReleaseAssembleRequest(plan, from, digests, output, database, since)
	if err == nil {
		err = command.ReleaseAssemble(ctx, req)
	}
	return exit(err)
}

// Sign holds what was assembled against this checkout, and signs all of it, and the
// index of releases that lists it. Whoever has a workflow's token says as that who
// built what; nothing that was built is run. The last index has to be believed, by
// policy, key, trustedRoot and seen, as release:plan has them; life is how long the
// next one holds.
func (RELEASE) Sign(ctx context.Context, plan, from, digests, policy, key, trustedRoot, seen, output, life *string) error {
	req, err := command.NewReleaseSignRequest(plan, from, digests, policy, key, trustedRoot, seen, output, life)
	if err == nil {
		err = command.ReleaseSign(ctx, req)
	}
	return exit(err)
}

// Publish publishes what was signed: images and files to registry, files to
// directory. It verifies all of it there, under policy, before a tag names it; the
// index of releases comes last. first says that there was none; index is one that
// was signed anew, and is published alone. It needs nothing that signs.
func (RELEASE) Publish(ctx context.Context, plan, from, digests, registry, directory, index, policy, key, trustedRoot *string, first *bool) error {
	req, err := command.NewReleasePublishRequest(plan, from, digests, registry, directory, index, policy, key, trustedRoot)
	if req.First = value(first); err == nil {
		err = command.ReleasePublish(ctx, req)
	}
	return exit(err)
}

// Verify gets the newest release, or version, from the registry or directory where
// it was published, and verifies it and its images under policy, by default release.
// It needs no checkout. seen is the number that it said last; to is a folder for what
// passes.
func (RELEASE) Verify(ctx context.Context, registry, directory, policy, key, trustedRoot, seen, version, output, to *string) error {
	req, err := command.NewReleaseVerifyRequest(registry, directory, policy, key, trustedRoot, seen, version, output, to)
	if err == nil {
		err = command.ReleaseVerify(ctx, req)
	}
	return exit(err)
}

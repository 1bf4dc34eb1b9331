package verify

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
)

// maxRebuild bounds the bundle of a rebuilder, in bytes.
const maxRebuild = 8 << 20

// digest is that of the statement of an attestation, as it was signed.
func (s signed) digest() artifact.Digest { return artifact.DigestBytes(s.payload) }

// rebuilds are the names of the bundles in the folder of those who built again
// what lies in the file of that name. There need be none, and nothing else may
// be there.
func (d directory) rebuilds(name string) ([]string, error) {
	folder := artifact.RebuildsDir(name)
	info, err := d.root.Lstat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%w: %s is no folder", ErrNotFile, folder)
	}
	f, err := d.root.Open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return nil, errors.Join(err, fmt.Errorf("%w: %s was replaced while it was read", ErrNotFile, folder))
	}
	entries, err := f.ReadDir(rebuild.MaxBundles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > rebuild.MaxBundles {
		return nil, fmt.Errorf("%w: %s holds more than %d files", ErrTooLarge, folder, rebuild.MaxBundles)
	}
	var all []string
	for _, e := range entries {
		one := path.Join(folder, e.Name())
		if !rebuild.IsBundleName(e.Name()) {
			return nil, fmt.Errorf("%w: %.300q is not called as the bundle of a rebuilder: remove it", ErrUnlisted, one)
		}
		if !e.Type().IsRegular() {
			return nil, fmt.Errorf("%w: %s", ErrNotFile, one)
		}
		all = append(all, one)
	}
	slices.Sort(all)
	return all, nil
}

// listRebuilds adds what rebuilders attest of these files to a listing.
func (v *verifier) listRebuilds(all map[string]bool, names []string) error {
	for _, name := range names {
		found, err := v.dir.rebuilds(name)
		if err != nil {
			return err
		}
		for _, one := range found {
			all[one] = false
		}
	}
	return nil
}

// rebuilt makes the check of those who built again what lies in the file of that
// name, from the provenance that is given.
func (v *verifier) rebuilt(s *subject, name string, given func() (rebuild.Given, error)) {
	if v.policy.Rebuilders().Count == 0 {
		if v.dir.has(artifact.RebuildsDir(name)) {
			s.skip(Rebuilt, "the policy demands no rebuilders, and so names none")
		}
		return
	}
	s.check(Rebuilt, []Check{Record}, func() (string, error) {
		g, err := given()
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrProvenance, err)
		}
		found, err := v.rebuilders(name, g)
		if err != nil {
			return "", err
		}
		return found.String(), found.judged(v.policy.JudgeRebuilders)
	})
}

// rebuilders opens what lies in the folder. An attestation that is believed has
// to be of what is given.
func (v *verifier) rebuilders(name string, g rebuild.Given) (found rebuilders, err error) {
	bundles, err := v.dir.rebuilds(name)
	if err != nil {
		return found, err
	}
	for _, one := range bundles {
		data, err := v.dir.read(one, maxRebuild)
		if err != nil {
			return found, err
		}
		got, err := v.open.rebuild(data)
		if err == nil {
			err = v.policy.JudgeTime(got.at, v.now)
		}
		if err != nil {
			found.pass(fmt.Errorf("%s: %w", one, err))
			continue
		}
		statement, err := intoto.Parse(got.payload)
		if err == nil {
			err = isRebuild(statement, g)
		}
		if err != nil {
			return found, fmt.Errorf("%w: %s: %w: remove it, and have it built again from this provenance", ErrRebuild, one, err)
		}
		v.believe(one, data)
		found.by = append(found.by, got)
	}
	return found, nil
}

// isRebuild refuses a statement that is no attestation of a rebuild of what is
// given.
func isRebuild(s intoto.Statement, g rebuild.Given) error {
	r, err := rebuild.Parse(s)
	if err != nil {
		return err
	}
	return r.Check(g)
}

// rebuilders are those who built something again, and why others do not count.
type rebuilders struct {
	by     []signed
	others []error
}

func (r *rebuilders) pass(why error) { r.others = append(r.others, why) }

// judged is the refusal of a policy, with why others do not count.
func (r rebuilders) judged(judge func([]policy.Rebuilder) error) error {
	var who []policy.Rebuilder
	for _, s := range r.by {
		who = append(who, policy.Rebuilder{Signer: s.by, Key: s.key})
	}
	err := judge(who)
	if err != nil && len(r.others) > 0 {
		err = fmt.Errorf("%w; %d do not count: %w", err, len(r.others), errors.Join(r.others[:min(len(r.others), 4)]...))
	}
	return err
}

// String is who rebuilt, and how much was passed over.
func (r rebuilders) String() string {
	var all []string
	for _, s := range r.by {
		if who := s.String(); !slices.Contains(all, who) {
			all = append(all, who)
		}
	}
	if n := len(r.others); n > 0 {
		all = append(all, fmt.Sprintf("%d bundles of others passed over", n))
	}
	return strings.Join(all, "; ")
}

// openedRebuild opens a bundle that is attached to an image, if it is a
// rebuilder's. The error says why one of theirs does not count.
func (v *imageVerifier) openedRebuild(data []byte) (one stated, is bool, err error) {
	if v.policy.Rebuilders().Count == 0 || len(data) > maxRebuild {
		return stated{}, false, nil
	}
	got, err := v.open.rebuild(data)
	if err != nil {
		return stated{}, false, nil
	}
	statement, err := intoto.Parse(got.payload)
	if err != nil || statement.PredicateType != rebuild.PredicateType {
		return stated{}, false, nil // whoever rebuilds may have signed as well
	}
	if err := v.policy.JudgeTime(got.at, v.now); err != nil {
		return stated{}, false, err
	}
	return stated{got, statement, artifact.DigestBytes(data)}, true, nil
}

// rebuilt makes the check of those who built again what has this digest, from
// any provenance that is attached to it. The index has to have as many as the
// policy demands: it names the manifests by their digests. What does not count is
// passed over, whoever signed it: anybody may attach here what a rebuilder whom
// the policy names once attested of another provenance.
func (v *imageVerifier) rebuilt(s *subject, said statements, demanded bool) {
	if v.policy.Rebuilders().Count == 0 || !demanded && len(said.rebuilt) == 0 {
		return
	}
	var provenances [][]byte
	for _, one := range said.of(provenance.PredicateType) {
		provenances = append(provenances, one.payload)
	}
	var found rebuilders
	var believed []artifact.Digest
	for _, one := range said.rebuilt {
		r, err := rebuild.Parse(one.statement)
		if err == nil {
			err = r.CheckCarried(provenances...)
		}
		if err != nil {
			found.pass(fmt.Errorf("%w: one %s: %w", ErrRebuild, one.signed, err))
			continue
		}
		found.by = append(found.by, one.signed)
		believed = append(believed, one.bundle)
	}
	found.others = append(found.others, said.others...)
	if !demanded && len(found.by) == 0 {
		s.skip(Rebuilt, "none that is attached is of this, and the policy demands them of the index")
		return
	}
	s.check(Rebuilt, []Check{Record}, func() (string, error) {
		for _, d := range believed {
			v.inputs[d] = said.subject.String()
		}
		if !demanded {
			return found.String(), nil
		}
		return found.String(), found.judged(v.policy.JudgeRebuilders)
	})
}

package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/release"
)

// takes says which steps hand something over to a step, beside the plan.
var takes = map[string][]string{
	handover.Build: {}, handover.Audit: {handover.Build}, handover.Assemble: {handover.Build, handover.Audit},
	handover.Sign: {handover.Assemble}, handover.Publish: {handover.Sign},
}

// shardsOf are those of an earlier step of which this one takes something: its own
// alone, or all of the plan. The zero Shard is of a step that has none.
func (s *step) shardsOf(of string) []handover.Shard {
	switch {
	case of != handover.Build && of != handover.Audit:
		return []handover.Shard{{}}
	case s.shard != (handover.Shard{}):
		return []handover.Shard{s.shard}
	}
	return s.everyShard()
}

func (s *step) everyShard() (all []handover.Shard) {
	for n := range s.plan.Shards {
		all = append(all, handover.Shard{Number: n + 1, Of: s.plan.Shards})
	}
	return all
}

// knowsKeys refuses digests of what this step does not take, and those that lack
// something that it does take. Of the other shards they may be told to each.
func (s *step) knowsKeys() error {
	if s.digests == nil {
		return nil
	}
	known := map[string]bool{handover.PlanKey: true}
	for _, of := range takes[s.name] {
		shards := s.shardsOf(of)
		for _, shard := range shards {
			key := handover.Key(of, shard)
			if _, ok := s.digests[key]; !ok {
				return fmt.Errorf("%w: -digests lack %s, which release:%s takes: say %[2]s=sha256:…, as release:%s printed it", config.ErrUsage, key, s, of)
			}
		}
		if shards[0] != (handover.Shard{}) {
			shards = s.everyShard()
		}
		for _, shard := range shards {
			known[handover.Key(of, shard)] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.digests)) {
		if !known[key] {
			return fmt.Errorf("%w: -digests name %s, and release:%s takes nothing of that name: leave it out", config.ErrUsage, key, s)
		}
	}
	return nil
}

// inputs opens what an earlier step handed over: the file that -from names, or all
// of that step's in the folder. Whoever calls closes them.
func (s *step) inputs(ctx context.Context, of string) (files []*handover.File, err error) {
	names, err := s.found(of)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeAll(files)
		}
	}()
	for _, name := range names {
		f, err := handover.Open(ctx, name, handover.Want{Step: of, Plan: s.digest, Digests: s.digests})
		if errors.Is(err, handover.ErrMalformed) {
			err = fmt.Errorf("%w; hand it over again, or remove it", err)
		}
		if err != nil {
			return files, err
		}
		files = append(files, f)
		if h := f.Header(); h.Commit != s.plan.Commit || h.Tool != s.plan.Tool {
			return files, fmt.Errorf("%w: %s was made of commit %s by the tool %s, and the plan is of %s and %s", release.ErrForeign, name, h.Commit, h.Tool, s.plan.Commit, s.plan.Tool)
		}
	}
	if s.digests == nil {
		fmt.Fprintf(os.Stderr, "release:%s takes what release:%s left here as it is: on another machine, say its digest with -digests\n", s, of)
	}
	return files, nil
}

// found are the files that inputs opens. Where digests are told each has its own
// name, and has to be there; what else lies there is nobody's.
func (s *step) found(of string) ([]string, error) {
	from := s.request.From
	if from == "" {
		from = filepath.Join(s.config.Release, "out")
	}
	info, err := os.Stat(from)
	switch {
	case err == nil && !info.IsDir():
		return []string{from}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if s.digests != nil {
		return s.named(of, from)
	}
	pattern := of + ".tar"
	if of == handover.Build || of == handover.Audit {
		pattern = of + "-*.tar"
		if s.shard != (handover.Shard{}) {
			pattern = handover.Name(of, s.shard)
		}
	}
	names, err := fs.Glob(os.DirFS(from), pattern) // not of a folder whose own name is a pattern
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%w: there is no %s in %s: run mage release:%s, or name what it handed over with -from=FILE|DIR", config.ErrUsage, pattern, from, of)
	}
	for i := range names {
		names[i] = filepath.Join(from, names[i])
	}
	return names, err
}

// named are the files in a folder of which the digests are told.
func (s *step) named(of, from string) (names []string, err error) {
	for _, shard := range s.shardsOf(of) {
		name := filepath.Join(from, handover.Name(of, shard))
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: -digests name %s, and there is no %s: fetch what release:%s handed over, or name it with -from=FILE|DIR", handover.ErrDigest, handover.Key(of, shard), name, of)
		} else if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

func closeAll(files []*handover.File) {
	for _, f := range files {
		f.Close()
	}
}

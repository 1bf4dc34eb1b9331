package artifact

// filled is m with a list wherever it has none, so that "nothing" has one
// encoding: [] and never null. It shares with m what it does not change.
func filled(m Manifest) Manifest {
	m.Artifacts = each(m.Artifacts, func(r *Record) {
		r.Patched = each(r.Patched, func(p *Patched) {
			p.Patches = each(p.Patches, nil)
			p.Added = each(p.Added, nil)
		})
		if r.UI != nil {
			ui := *r.UI
			ui.Packages = each(ui.Packages, nil)
			r.UI = &ui
		}
		r.Embedded = each(r.Embedded, func(e *Embedded) {
			e.Files = each(e.Files, nil)
			e.Requires = each(e.Requires, nil)
		})
		r.Toolchains = each(r.Toolchains, nil)
		r.Build.Args = each(r.Build.Args, nil)
		r.Build.Env = each(r.Build.Env, nil)
		r.Binaries = each(r.Binaries, func(b *Binary) {
			b.Modules = each(b.Modules, nil)
			b.Settings = each(b.Settings, nil)
		})
		r.Members = each(r.Members, nil)
		r.Documents = each(r.Documents, nil)
	})
	if len(m.Images) == 0 {
		m.Images = nil // and not written, so that a release without images has the form it always had
		return m
	}
	m.Images = each(m.Images, func(i *Image) {
		i.Platforms = each(i.Platforms, func(p *PlatformImage) {
			p.Layers = each(p.Layers, func(l *Layer) { l.Members = each(l.Members, nil) })
		})
		i.Documents = each(i.Documents, nil)
	})
	return m
}

// each is a copy of list, never nil, with change made to every element.
func each[T any](list []T, change func(*T)) []T {
	made := make([]T, len(list))
	copy(made, list)
	if change != nil {
		for i := range made {
			change(&made[i])
		}
	}
	return made
}

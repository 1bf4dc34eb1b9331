package image

import (
	"fmt"
	"strings"

	"palisade/recipes"
)

// notice is what the Mozilla Public License 2.0 wants to be said with what was
// made from files under it (3.2): where these are to be had.
const notice = `The certificate authorities in /etc/ssl/certs/ca-certificates.crt are of
Mozilla's list, lib/ckfw/builtins/certdata.txt of Network Security Services.
That file is subject to the terms of the Mozilla Public License, v. 2.0, which
can be obtained at https://mozilla.org/MPL/2.0/. Its source is to be had at
https://hg.mozilla.org/projects/nss.

They were taken from a Go module that was made of that list, whose licence is
in the file LICENSE beside this one.
`

// baseEntries is the lowest layer. Nothing in it may depend on component,
// platform or variant, for all images share it.
func baseEntries(roots Roots) []entry {
	all := []entry{
		folder("tmp", 0o1777, 0),
		text("etc/nsswitch.conf", []byte("hosts: files dns\n")),
		text("etc/ssl/certs/ca-certificates.crt", roots.PEM),
	}
	if len(roots.Licence) > 0 {
		all = append(all, text("usr/share/licenses/ca-certificates/LICENSE", roots.Licence), text("usr/share/licenses/ca-certificates/NOTICE", []byte(notice)))
	}
	var passwd, group strings.Builder
	for _, u := range []struct {
		name string
		id   int
	}{{"root", 0}, {"nonroot", recipes.User}, {"nobody", 65534}} {
		fmt.Fprintf(&passwd, "%s:x:%d:%d:%s:/:/nonexistent\n", u.name, u.id, u.id, u.name) // passwd(5): no shell is there
		fmt.Fprintf(&group, "%s:x:%d:\n", u.name, u.id)
	}
	return append(all, text("etc/passwd", []byte(passwd.String())), text("etc/group", []byte(group.String())))
}

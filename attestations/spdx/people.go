package spdx

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"golang.org/x/mod/module"
)

// codeHosts give every owner a folder of his own, so that a module path below
// them names who answers for the module.
var codeHosts = map[string]bool{
	"github.com": true, "gitlab.com": true, "bitbucket.org": true, "codeberg.org": true,
	"gitee.com": true, "gitea.com": true, "git.sr.ht": true,
}

// registries are where packages come from that are no Go modules, by the type
// of their package URL: owners are the folders of its site.
var registries = map[string]string{
	packageurl.TypeNPM: "npmjs.com", packageurl.TypeElm: "package.elm-lang.org", packageurl.TypeGithub: "github.com",
}

// organization is somebody in SPDX's words (7.5), with an address where SPDX
// has room for one in parentheses: of its home page, as BSI TR-03183-2 (5.2.2)
// asks for where no e-mail address is known.
func organization(name, address string) *common.Supplier {
	return &common.Supplier{SupplierType: "Organization", Supplier: plainName(name) + " (" + address + ")"}
}

// plainName takes away what would be read as the end of a name: parentheses,
// and the quotes and backslashes that readers of SPDX take for JSON's.
func plainName(name string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if strings.ContainsRune(`()"\`, r) || r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(name, " "))), " ")
}

// goSupplier is who owns the namespace that a module path is in: below a code
// host the owner, otherwise the host.
func goSupplier(path string) *common.Supplier {
	host, rest, _ := strings.Cut(path, "/")
	if owner, _, _ := strings.Cut(rest, "/"); codeHosts[host] && owner != "" {
		host += "/" + owner
	}
	return organization(host, "https://"+host)
}

// packageSupplier is who a package's metadata names, or else who owns its
// namespace: its scope, or the package itself where it has none.
func packageSupplier(purl packageurl.PackageURL, stated string) (*common.Supplier, error) {
	owner := purl.Name
	if purl.Namespace != "" {
		owner = purl.Namespace
	}
	name := purl.Type + "/" + owner
	if registry := registries[purl.Type]; registry != "" {
		name = registry + "/" + owner
	}
	home := packageHome(purl)
	switch {
	case stated == "" && home == "":
		return nil, fmt.Errorf("nobody is known to supply it: name it by a package URL of a registry (%s)", strings.Join(slices.Sorted(maps.Keys(registries)), ", "))
	case stated == "":
		return organization(name, home), nil
	}
	kind, who, ok := strings.Cut(stated, ":")
	if !ok || kind != "Person" && kind != "Organization" {
		return nil, fmt.Errorf("supplier %q is neither a Person nor an Organization", stated)
	}
	who, address, _ := strings.Cut(who, "(")
	address, _, _ = strings.Cut(address, ")")
	if address = cmp.Or(plainName(address), home); address == "" {
		return nil, fmt.Errorf("supplier %q has no address, and its registry is not known", stated)
	}
	if who = plainName(who); who == "" {
		who = name
	}
	return &common.Supplier{SupplierType: kind, Supplier: who + " (" + address + ")"}, nil
}

// packageHome is the page of a package that is no Go module, empty where its
// registry is not known.
func packageHome(purl packageurl.PackageURL) string {
	full := strings.TrimPrefix(purl.Namespace+"/"+purl.Name, "/")
	switch purl.Type {
	case packageurl.TypeNPM:
		return "https://www.npmjs.com/package/" + full + "/v/" + url.PathEscape(purl.Version)
	case packageurl.TypeElm:
		return "https://package.elm-lang.org/packages/" + full + "/" + url.PathEscape(purl.Version) + "/"
	case packageurl.TypeGithub:
		return "https://github.com/" + full
	}
	return ""
}

// webAddress reports whether s can stand where SPDX wants an address.
func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && !strings.ContainsAny(s, " \"<>\\^`{|}")
}

// goHome is the page of a module version.
func goHome(path, version string) string { return "https://pkg.go.dev/" + path + "@" + version }

// goZip is where the zip file of a module version is had, and its name.
func goZip(path, version string) (address, name string, err error) {
	escaped, err := module.EscapePath(path)
	if err != nil {
		return "", "", err
	}
	v, err := module.EscapeVersion(version)
	return "https://proxy.golang.org/" + escaped + "/@v/" + v + ".zip", v + ".zip", err
}

// npmTarball is where the tarball of an npm package is had, and its name.
func npmTarball(fullName, version string) (address, name string) {
	_, last := split(fullName)
	name = last + "-" + version + ".tgz"
	return "https://registry.npmjs.org/" + fullName + "/-/" + name, name
}

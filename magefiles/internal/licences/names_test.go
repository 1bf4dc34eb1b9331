package licences

import "testing"

func TestKinds(t *testing.T) {
	for want, names := range map[kind][]string{
		licence: {
			"LICENSE", "license", "LICENSE.md", "sub/LICENCE.txt", "LICENSE-MIT", "LICENSE.MPL-2.0", "LICENSE.libyaml", "LICENSE_list", "license-cc0",
			"MIT.LICENSE", "jquery-license", "UNLICENSE", "COPYING", "COPYING.LESSER", "COPYRIGHT", "LICENSES", "LICENSES/MIT.txt", "licenses/bell", "MIT.txt", "GPL-3",
		},
		notice: {"NOTICE", "notice.txt", "NOTICES.txt", "PATENTS", "CopyrightNotice.txt", "THIRD_PARTY_LICENSES.txt", "ThirdPartyNoticeText.txt", "third-party-licenses"},
		people: {"AUTHORS", "authors.md", "CONTRIBUTORS"},
		source: {"license.go", "copyright.js", "LICENSES/x.h", "licence.elm"},
		other:  {"copyright.svg", "license.json", "check-license.sh", ".license", "README.md", "LICENSES/README.md", "bsd-example", "mitten", "noticeboard", "authorsfile", "relicense", "license_test.prototext", "CONTRIBUTORS.yml"},
	} {
		for _, name := range names {
			if got := kindOf(name); got != want {
				t.Errorf("%s is of kind %d, want %d", name, got, want)
			}
		}
	}
}

func TestFolder(t *testing.T) {
	for name, want := range map[string]string{
		"LICENSE": "", "a/LICENSE": "a", "a/b/NOTICE": "a/b", "LICENSES/MIT.txt": "", "a/licenses/MIT.txt": "a",
		"(README, on the licence)": "",
	} {
		if got := folder(name); got != want {
			t.Errorf("%s speaks for %q, want %q", name, got, want)
		}
	}
}

package lint

import (
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// shapes are the forms that credentials have which their issuers made to be
// recognised.
var shapes = []struct {
	name string
	form *regexp.Regexp
}{
	{"an AWS access key", regexp.MustCompile(`\b(AKIA|ASIA)[0-9A-Z]{16}\b`)},
	{"a GitHub token", regexp.MustCompile(`\b(gh[pousr]_[0-9A-Za-z]{30,}|github_pat_[0-9A-Za-z_]{30,})`)},
	{"a GitLab token", regexp.MustCompile(`\bgl(pat|dt|rt|ptt)-[0-9A-Za-z_-]{20,}`)},
	{"a Slack token", regexp.MustCompile(`\bxox[abeoprs]-[0-9A-Za-z-]{10,}|\bxapp-[0-9A-Za-z-]{10,}`)},
	{"a Slack webhook", regexp.MustCompile(`hooks\.slack\.com/(services|workflows|triggers)/[0-9A-Za-z/_-]{15,}`)},
	{"a Google API key", regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}`)},
	{"a Stripe key", regexp.MustCompile(`\b[rs]k_live_[0-9A-Za-z]{20,}`)},
	{"a Vault token", regexp.MustCompile(`\bhv[sbr]\.[0-9A-Za-z_-]{20,}`)},
	{"a SendGrid key", regexp.MustCompile(`\bSG\.[0-9A-Za-z_-]{20,}\.[0-9A-Za-z_-]{20,}`)},
	{"a Grafana token", regexp.MustCompile(`\bgl(c|sa)_[0-9A-Za-z+/=_]{30,}`)},
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY`)},
	{"a JSON web token", regexp.MustCompile(`\beyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.`)},
	{"a password hash", regexp.MustCompile(`\$2[abxy]\$[0-9]{2}\$[./0-9A-Za-z]{40,}`)},
	{"HTTP credentials", regexp.MustCompile(`(?i)^(basic|bearer|token) +[0-9a-z+/=._~-]{8,}$`)},
}

// secretShape names the credential that text looks like, or is "".
func secretShape(text string) string {
	for _, s := range shapes {
		if s.form.MatchString(text) {
			return s.name
		}
	}
	return ""
}

var (
	// secretName fits keys, parameters and labels that are for secrets.
	secretName = regexp.MustCompile(`(?i)(^|[_-])(password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|credentials?|signature)$`)
	// secretHeader fits what is sent to authenticate.
	secretHeader = regexp.MustCompile(`(?i)^(proxy-)?authorization$|^cookie$|(^|[_-])(auth|token|secret|password|passwd|(api|access|auth)[_-]?key)$`)
	// template fits what is filled in later: it is no secret itself.
	template = regexp.MustCompile(`\{\{|\$\{|^<.*>$`)
	userinfo = regexp.MustCompile(`://[^/@\s:]*:([^/@\s]+)@`)
	opaque   = regexp.MustCompile(`^[0-9A-Za-z+/_-]{24,}={0,2}$`)
)

// random says whether text looks drawn at random: long, of letters of both
// cases and digits, none much oftener than others, in no order: a name made of
// words changes between them less often.
func random(text string) bool {
	if !opaque.MatchString(text) || len(text) > 4096 {
		return false
	}
	var changes int
	var last rune
	classes, counts := map[rune]int{}, map[rune]float64{}
	for _, r := range text {
		class := '/'
		switch {
		case r >= 'a' && r <= 'z':
			class = 'a'
		case r >= 'A' && r <= 'Z':
			class = 'A'
		case r >= '0' && r <= '9':
			class = '0'
		}
		if class != last {
			changes++
		}
		last = class
		classes[class]++
		counts[r]++
	}
	var bits float64
	for _, n := range counts {
		p := n / float64(len(text))
		bits -= p * math.Log2(p)
	}
	return classes['a'] > 0 && classes['A'] > 0 && classes['0'] > 1 && changes*20 >= len(text)*9 && bits >= 3.8
}

// secret is about a field that upstream marks as secret.
func (d *document) secret(p place) {
	if p.text == "" || d.kind == SNMP && template.MatchString(p.text) {
		return
	}
	if p.key == "community" {
		return // it has its own rule
	}
	d.holdsSecret = true
	if d.kind == Web && p.parent.key == "basic_auth_users" {
		return // a hash belongs there
	}
	instead := "nothing: upstream has no file for it, so keep this file to its owner (chmod 600)"
	keys := upstreamSchema().structs[p.parent.typ]
	switch {
	case keys[p.key+"_file"] != "":
		instead = p.key + "_file: and the name of a file that only the service can read"
	case keys["files"] != "":
		instead = "files: and the names of files that only the service can read"
	case d.kind == SNMP && p.key != "":
		instead = p.key + ": ${NAME}, and start snmp_exporter with --config.expand-environment-variables"
	}
	d.found(p, Warning, "inline-secret", "a secret stands in the file itself", instead)
}

// plain is about a field that upstream shows to everybody who may read its
// configuration.
func (d *document) plain(p place) {
	if p.text == "" {
		return
	}
	d.tls(p)
	d.named(p)
	if m := userinfo.FindStringSubmatch(p.text); m != nil && !template.MatchString(m[1]) {
		d.leak(p, "a password in a URL", "the URL without it, and basic_auth with password_file")
		return
	}
	name := p.key
	switch shape := secretShape(p.text); {
	case shape == "" || name == "access_key" && strings.HasPrefix(shape, "an AWS"):
	default:
		d.leak(p, "this looks like "+shape, d.instead(p))
		return
	}
	if template.MatchString(p.text) {
		return
	}
	header := headers(p)
	switch {
	case p.key == "files":
	case header != "" && secretHeader.MatchString(header):
		d.leak(p, "a header that authenticates, where upstream shows it", d.instead(p))
	case p.free && header == "" && secretName.MatchString(name) && len(p.text) >= 4:
		d.leak(p, "by its name this is a secret, and upstream shows it", d.instead(p))
	case p.free && random(p.text):
		d.leak(p, "this looks like a random secret, and upstream shows it", d.instead(p))
	case strings.Contains(p.text, "://") && strings.Contains(p.text, "?"):
		u, err := url.Parse(p.text)
		if err != nil {
			return
		}
		for name, values := range u.Query() {
			if secretName.MatchString(name) && strings.Join(values, "") != "" {
				d.leak(p, "a secret among the URL's parameters", d.instead(p))
				return
			}
		}
	}
}

func (d *document) leak(p place, what, instead string) {
	d.holdsSecret = true
	d.found(p, Error, "secret-in-plain-field", what, instead)
}

// headers is the name of the header whose value p is, or "".
func headers(p place) string {
	for q := p.parent; q != nil; q = q.parent {
		if q.key == "headers" || q.key == "metadata" {
			return p.key
		}
		if q.key == "http_headers" {
			// http_headers: NAME: values: [VALUE]
			parts := strings.Split(strings.TrimPrefix(p.path, q.path+"."), ".")
			return parts[0]
		}
	}
	return ""
}

// instead is where a secret of p's kind belongs.
func (d *document) instead(p place) string {
	switch {
	case headers(p) != "":
		return "authorization with credentials_file, or http_headers with files"
	case d.kind == Rules || strings.Contains(p.path, "label") || strings.Contains(p.path, "annotation"):
		return "no secret: labels and annotations go to everybody who can query"
	}
	return "a key that upstream marks as secret (authorization, basic_auth, oauth2, http_headers) with its _file"
}

// named is about a file that holds a credential: only its presence and its
// mode are looked at.
func (d *document) named(p place) {
	base, ok := strings.CutSuffix(p.key, "_file")
	keys := upstreamSchema().structs[structOf(p)]
	switch {
	case ok && keys[base] == "secret", p.key == "files" && keys["secrets"] != "":
	case (p.key == "cert_file" || p.key == "ca_file" || p.key == "client_ca_file") && keys["key_file"] != "":
		base = ""
	default:
		return
	}
	name := p.text
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.dir, name)
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		d.found(p, Warning, "missing-file", "there is no such file on this host, or it cannot be looked at", "the name of a file that is there when the service starts")
	case base != "" && othersRead(info.Mode()):
		severity := Warning
		if d.kind == Web {
			severity = Error // the hardened build does not start with it
		}
		d.found(p, severity, "file-mode", "others can read this file", "mode 0600: chmod o-rwx "+shown(p.text))
	}
}

// structOf is the struct that p, or the list it is in, is a field of.
func structOf(p place) string {
	for q := p.parent; q != nil; q = q.parent {
		if upstreamSchema().structs[q.typ] != nil {
			return q.typ
		}
	}
	return ""
}

// othersRead says whether everybody on the host can open a file of this mode.
func othersRead(mode fs.FileMode) bool {
	return runtime.GOOS != "windows" && mode.Perm()&0o007 != 0
}

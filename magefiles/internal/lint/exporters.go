package lint

import (
	"strconv"
	"strings"
)

// blackbox is about probes: whoever may ask for one names its target.
func (d *document) blackbox() {
	top := d.top()
	for _, p := range top.places("config.HTTPProbe") {
		c := credentials(p)
		if len(c) == 0 {
			continue
		}
		said := strings.Join(c, ", ")
		d.found(p, Warning, "probe-credentials", "it sends "+said+" to every target that is asked for, over plain HTTP too", "a module of its own for these targets, and start blackbox_exporter with --probe.allow-network= their network")
		if !p.get("follow_redirects").is(false) && !p.get("no_follow_redirects").is(true) {
			d.found(p, Warning, "credentials-redirected", "it sends "+said+" and follows redirects: the target chooses who is asked next", "follow_redirects: false")
		}
	}
	for _, p := range top.places("config.QueryResponse") {
		if send, ok := p.at("send"); ok && strings.HasPrefix(strings.ToUpper(strings.TrimSpace(send.text)), "PASS ") {
			d.leak(send, "a password that is sent", "a check that needs no login")
		}
	}
}

// snmp is about the ways to log in to a device.
func (d *document) snmp() {
	top := d.top()
	for _, p := range top.places("config.Auth") {
		version := 2 // upstream's default
		if v, ok := p.at("version"); ok {
			version, _ = strconv.Atoi(v.text)
		}
		if version < 3 {
			d.found(p, Warning, "snmp-cleartext", "SNMP version "+strconv.Itoa(version)+" sends the community and every answer in the clear", "version: 3 with security_level: authPriv")
		}
		if c, ok := p.at("community"); ok && c.text != "public" && c.text != "" {
			d.holdsSecret = true
			d.found(c, Warning, "inline-secret", "a community is a password, and stands in the file itself", "version: 3; upstream has no file for a community, so keep this file to its owner (chmod 600)")
		}
		if version == 3 {
			d.userSecurity(p)
		}
	}
}

func (d *document) userSecurity(p place) {
	value := func(key, byDefault string) (place, string) {
		at, ok := p.at(key)
		if !ok {
			at.path = p.path
			return at, byDefault
		}
		return at, at.text
	}
	at, level := value("security_level", "noAuthNoPriv")
	switch level {
	case "noAuthNoPriv":
		d.found(at, Warning, "snmp-level", "noAuthNoPriv: no password, and nothing is encrypted", "security_level: authPriv")
		return
	case "authNoPriv":
		d.found(at, Warning, "snmp-level", "authNoPriv: every answer is sent in the clear", "security_level: authPriv")
	}
	if at, protocol := value("auth_protocol", "MD5"); protocol == "MD5" {
		d.found(at, Warning, "snmp-protocol", "the password is proved with MD5", "auth_protocol: SHA256")
	}
	if at, protocol := value("priv_protocol", "DES"); level == "authPriv" && protocol == "DES" {
		d.found(at, Warning, "snmp-protocol", "answers are encrypted with DES", "priv_protocol: AES")
	}
}

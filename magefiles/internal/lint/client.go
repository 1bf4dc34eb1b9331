package lint

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// tls is about the keys of a TLS configuration, wherever it is.
func (d *document) tls(p place) {
	switch p.key {
	case "insecure_skip_verify":
		if p.is(true) {
			d.found(p, Error, "insecure-skip-verify", "any certificate is accepted, so whoever is on the way can read and answer", "ca_file: and the certificate of the authority, or of the server itself")
		}
	case "min_version", "max_version":
		if p.text == "TLS10" || p.text == "TLS11" {
			d.found(p, Error, "tls-version", p.text+" is broken", p.key+": TLS13, or TLS12 for what knows no better")
		}
	}
}

// addressed is the keys by which a client's configuration names its server.
var addressed = []string{"url", "api_url", "webhook_url", "server", "host", "endpoint", "api_server", "servers", "token_url"}

// client is about a structure that configures an HTTP client: credentials have
// no business on a connection that anybody can read.
func (d *document) client(p place) {
	keys := upstreamSchema().structs[p.typ]
	if strings.HasSuffix(p.typ, "/config.OAuth2") {
		if t, ok := p.at("token_url"); ok && plaintext(t.text) {
			d.found(t, Error, "cleartext-credentials", "the client's secret goes to the token URL over plain HTTP", "token_url: https://…")
		}
		return
	}
	if keys["basic_auth"] == "" || keys["authorization"] == "" {
		return
	}
	switch {
	case strings.HasSuffix(p.typ, ".ScrapeConfig"), strings.HasSuffix(p.typ, ".AlertmanagerConfig"):
		d.scheme(p, credentials(p))
	case strings.HasSuffix(p.typ, "/config.HTTPClientConfig"):
		if d.kind != Alertmanager || strings.HasSuffix(p.parent.typ, ".WebhookOutputConfig") {
			d.address(*p.parent, p)
		}
	default:
		d.address(p, p)
	}
}

// address compares the server that p names with the credentials that the
// others hold.
func (d *document) address(p place, with ...place) {
	var c []string
	var tls bool
	for _, w := range with {
		c, tls = append(c, credentials(w)...), tls || w.has("tls_config")
	}
	for _, key := range addressed {
		server, ok := p.at(key)
		if !ok {
			continue
		}
		if consul := strings.HasSuffix(p.typ, "/consul.SDConfig"); consul {
			if scheme := p.get("scheme"); scheme.text != "https" && !strings.Contains(server.text, "://") {
				server.text = "http://" + server.text
			}
		}
		if !slices.ContainsFunc(server.texts(), plaintext) {
			continue
		}
		if userinfo.MatchString(server.text) {
			c = append(c, "the URL's password")
		}
		if len(c) > 0 {
			d.found(server, Error, "cleartext-credentials", strings.Join(c, ", ")+" over plain HTTP", key+": https://…")
		} else if tls {
			d.found(server, Warning, "unused-tls", "tls_config protects nothing over plain HTTP", key+": https://…")
		}
	}
}

// scheme is address for what takes its server from discovery.
func (d *document) scheme(p place, c []string) {
	scheme, ok := p.at("scheme")
	if !ok {
		scheme.path, scheme.text = p.path, "http"
	}
	if scheme.text != "http" || relabelled(p, "__scheme__") == "https" || p.local() {
		return
	}
	said := "scheme is http"
	if !ok {
		said += " by default"
	}
	switch {
	case len(c) > 0:
		d.found(scheme, Error, "cleartext-credentials", strings.Join(c, ", ")+" over plain HTTP: "+said, "scheme: https")
	case p.has("tls_config"):
		d.found(scheme, Warning, "unused-tls", "tls_config protects nothing over plain HTTP: "+said, "scheme: https")
	}
}

// relabelled is what a rule without a condition sets a label to, or "".
func relabelled(p place, label string) string {
	for _, r := range p.get("relabel_configs").items {
		if r.get("target_label").text == label && !r.has("source_labels") && !r.has("regex") {
			return r.get("replacement").text
		}
	}
	return ""
}

// local says whether every target stands in the file, and is this host.
func (p place) local() bool {
	targets := 0
	for _, f := range p.fields {
		if strings.HasSuffix(f.key, "_sd_configs") || f.key == "relabel_configs" && relabels(f.value, "__address__") {
			return false
		}
	}
	for _, group := range p.get("static_configs").items {
		for _, t := range group.get("targets").texts() {
			targets++
			if !loopback(t) {
				return false
			}
		}
	}
	return targets > 0
}

func relabels(rules value, label string) bool {
	return slices.ContainsFunc(rules.items, func(r value) bool { return r.get("target_label").text == label })
}

// credentials names what a client configuration, or a discovery's, logs in
// with.
func credentials(p place) (found []string) {
	keys := upstreamSchema().structs[p.typ]
	for _, f := range p.fields {
		if f.value.kind == null || f.value.kind == scalar && f.value.text == "" {
			continue
		}
		base := strings.TrimSuffix(f.key, "_file")
		switch {
		case slices.Contains([]string{"basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file", "sigv4", "azuread", "google_iam"}, f.key):
			found = append(found, f.key)
		case f.key == "url", f.key == "api_url", f.key == "webhook_url":
			// Marked as secret, and the address itself.
		case keys[f.key] == "secret" || base != f.key && keys[base] == "secret":
			found = append(found, f.key)
		case f.key == "http_headers":
			for _, h := range f.value.fields {
				if h.value.has("secrets") || h.value.has("files") || secretHeader.MatchString(h.key) {
					found = append(found, "http_headers")
					break
				}
			}
		case f.key == "headers":
			if slices.ContainsFunc(f.value.fields, func(h field) bool { return secretHeader.MatchString(h.key) }) {
				found = append(found, "headers")
			}
		}
	}
	return found
}

// plaintext says whether a URL is of plain HTTP, to another host.
func plaintext(text string) bool {
	if len(text) < 7 || !strings.EqualFold(text[:7], "http://") {
		return false
	}
	u, err := url.Parse(text)
	return err != nil || !loopback(u.Host)
}

// loopback says whether a host, with or without its port, is this one.
func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	a, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && a.Unmap().IsLoopback()
}

package audit

import (
	"encoding/base64"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// uncovered are the secret fields without a canary, as a part of a field's
// name, and why.
var uncovered = map[string]string{
	"client_certificate_key":                           "of a grant type that wants a key of its own; upstream's type is that of client_secret",
	"prometheus/discovery/aws.":                        "all are made by the same code as EC2, which has one",
	"prometheus/discovery/azure.":                      "asks a fixed server that is not on this machine",
	"prometheus/discovery/digitalocean.":               "asks a fixed server that is not on this machine",
	"prometheus/discovery/eureka.":                     "no secret but those of every HTTP client",
	"prometheus/discovery/hetzner.":                    "asks a fixed server that is not on this machine",
	"prometheus/discovery/ionos.":                      "asks a fixed server that is not on this machine",
	"prometheus/discovery/kubernetes.":                 "no secret but those of every HTTP client",
	"prometheus/discovery/linode.":                     "asks a fixed server that is not on this machine",
	"prometheus/discovery/moby.":                       "no secret but those of every HTTP client",
	"prometheus/discovery/nomad.":                      "no secret but those of every HTTP client",
	"prometheus/discovery/oci.":                        "asks a fixed server that is not on this machine",
	"prometheus/discovery/outscale.":                   "asks a fixed server that is not on this machine",
	"prometheus/discovery/ovhcloud.":                   "asks a fixed server that is not on this machine",
	"prometheus/discovery/puppetdb.":                   "no secret but those of every HTTP client",
	"prometheus/discovery/stackit.":                    "wants a private key of its own",
	"prometheus/discovery/vultr.":                      "asks a fixed server that is not on this machine",
	"prometheus/discovery/xds.":                        "no secret but those of every HTTP client",
	"discovery/consul.SDConfig bearer":                 "that of every HTTP client: http_sd_configs has one",
	"discovery/consul.SDConfig proxy":                  "that of every HTTP client: http_sd_configs has one",
	"discovery/marathon.SDConfig bearer":               "that of every HTTP client: http_sd_configs has one",
	"discovery/marathon.SDConfig proxy":                "that of every HTTP client: http_sd_configs has one",
	"discovery/scaleway.SDConfig bearer":               "that of every HTTP client: http_sd_configs has one",
	"discovery/scaleway.SDConfig proxy":                "that of every HTTP client: http_sd_configs has one",
	"discovery/uyuni.SDConfig bearer":                  "that of every HTTP client: http_sd_configs has one",
	"discovery/uyuni.SDConfig proxy":                   "that of every HTTP client: http_sd_configs has one",
	"common/config.HTTPClientConfig":                   "a part of other structures, each with a canary of its own",
	"azuread.":                                         "asks a fixed server that is not on this machine",
	"alertmanager/config.GlobalConfig slack_app_token": "excludes slack_api_url, which has one; the receiver's own has one",
	"eventrecorder.WebhookOutputConfig url":            "of a feature that has to be turned on",
}

// Every secret field that upstream declares has a canary or a reason.
func TestCanariesCoverFields(t *testing.T) {
	text, err := os.ReadFile("../lint/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	roots, structs, structure := map[string]string{}, map[string]map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		switch f := strings.Fields(line); {
		case f[0] == "root":
			roots[f[1]] = f[2]
		case f[0] == "struct":
			structure = f[1]
			structs[structure] = map[string]string{}
		case structure != "" && len(f) == 2:
			structs[structure][f[0]] = f[1]
		}
	}
	covered, used := map[string]bool{}, map[string]bool{}
	var walk func(n *yaml.Node, typ, field string)
	walk = func(n *yaml.Node, typ, field string) {
		typ = strings.TrimPrefix(typ, "[]")
		switch {
		case n.Kind == yaml.SequenceNode:
			for _, e := range n.Content {
				walk(e, typ, field)
			}
		case n.Kind == yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				key := n.Content[i].Value
				if of, is := strings.CutPrefix(typ, "{}"); is {
					walk(n.Content[i+1], of, field)
				} else if of, is := structs[typ][key]; is {
					walk(n.Content[i+1], of, typ+" "+key)
				} else {
					walk(n.Content[i+1], structs[typ]["*"], typ+" *")
				}
			}
		case strings.Contains(n.Value, "secret}") || n.Value == "{key-pem}":
			if typ != "secret" {
				t.Errorf("line %d: %s is no secret field", n.Line, field)
			}
			covered[field] = true
		}
	}
	for kind, component := range map[string]string{"prometheus": "prometheus", "alertmanager": "alertmanager", "blackbox": "blackbox_exporter", "snmp": "snmp_exporter"} {
		data, err := canaryFiles.ReadFile("canary/" + component + ".yml")
		if err != nil {
			t.Fatal(err)
		}
		var n yaml.Node
		if err := yaml.Unmarshal(data, &n); err != nil {
			t.Fatalf("%s: %v", component, err)
		}
		walk(n.Content[0], roots[kind], component)
	}
	for _, structure := range slices.Sorted(maps.Keys(structs)) {
		if strings.HasPrefix(structure, "exporter-toolkit/web.") || strings.Contains(structure, "common/config.ProxyConfig") {
			continue // the web's are made by the check; the proxy's are in HTTPClientConfig
		}
		for _, key := range slices.Sorted(maps.Keys(structs[structure])) {
			field := structure + " " + key
			if !strings.HasSuffix(structs[structure][key], "secret") || covered[field] {
				continue
			}
			reason := ""
			for part, why := range uncovered {
				if strings.Contains(field, part) {
					used[part], reason = true, why
				}
			}
			if reason == "" {
				t.Errorf("%s has no canary", field)
			}
		}
	}
	for part := range uncovered {
		if !used[part] {
			t.Errorf("nothing is left out that is called %q", part)
		}
	}
}

func TestPlant(t *testing.T) {
	own, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{own: own}
	config, all := b.plant("# {secret}\na: {b: \"{secret}\", url: http://x/{secret}}\nkey: \"{key-pem}\"\n")
	if len(all) != 3 || all[0].field != "b of line 2" || all[1].field != "url of line 2" || all[0].text == all[1].text {
		t.Errorf("%q", all)
	}
	for _, p := range all {
		if strings.Count(config, p.text) != 1 {
			t.Errorf("%s: %d times in\n%s", p.field, strings.Count(config, p.text), config)
		}
	}
}

func TestHolds(t *testing.T) {
	const secret = "canary-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, text := range []string{
		"x" + secret + "x", base64.StdEncoding.EncodeToString([]byte("u:" + secret)), base64.StdEncoding.EncodeToString([]byte("us:" + secret + "more")),
		base64.URLEncoding.EncodeToString([]byte("use:" + secret)),
	} {
		if holds(text, secret) == "" {
			t.Errorf("not found in %q", text)
		}
	}
	if how := holds("?a="+url.QueryEscape("a b/"+secret+"&"), "a b/"+secret+"&"); how != "escaped for a URL" {
		t.Error(how)
	}
	if how := holds(secret[:len(secret)-1]+base64.StdEncoding.EncodeToString([]byte(secret[9:])), secret); how != "" {
		t.Error(how)
	}
}

// The name server says each answer once, and the last for good.
func TestNames(t *testing.T) {
	query := []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09rebinding\x07example\x00\x00\x01\x00\x01")
	n := &names{}
	n.set("127.0.0.2", "127.0.0.1")
	for _, want := range []byte{2, 1, 1} {
		if a := n.answer(query); len(a) < 4 || a[len(a)-1] != want || a[0] != 0x12 || a[7] != 1 {
			t.Errorf("%x, want the last byte %d", a, want)
		}
	}
	if other := n.answer([]byte(strings.Replace(string(query), "rebind", "behind", 1))); other[3]&15 != 3 {
		t.Errorf("another name: %x", other)
	}
	for cut := range query {
		_ = n.answer(query[:cut])
	}
	if n.questions() != 3 {
		t.Error(n.questions())
	}
}

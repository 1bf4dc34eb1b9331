package lint

import (
	"strings"
)

// destinations is where a receiver sends to, and as whom: the keys of each kind
// of receiver, as upstream's notifiers use them. A test holds that upstream
// still declares them.
var destinations = map[string][]string{
	"discord_configs":    {"webhook_url"},
	"email_configs":      {"to", "smarthost"},
	"incidentio_configs": {"url", "alert_source_token"},
	"jira_configs":       {"api_url", "project"},
	"mattermost_configs": {"webhook_url", "channel"},
	"msteams_configs":    {"webhook_url"},
	"msteamsv2_configs":  {"webhook_url"},
	"opsgenie_configs":   {"api_url", "api_key"},
	"pagerduty_configs":  {"url", "routing_key", "service_key"},
	"pushover_configs":   {"user_key", "token", "device"},
	"rocketchat_configs": {"api_url", "channel", "token", "token_id"},
	"slack_configs":      {"api_url", "app_url", "app_token", "channel"},
	"sns_configs":        {"api_url", "topic_arn", "target_arn", "phone_number"},
	"telegram_configs":   {"api_url", "bot_token", "chat_id", "message_thread_id"},
	"victorops_configs":  {"api_url", "api_key", "routing_key"},
	"webex_configs":      {"api_url", "room_id"},
	"webhook_configs":    {"url"},
	"wechat_configs":     {"api_url", "api_secret", "corp_id", "agent_id", "to_user", "to_party", "to_tag"},
}

// alertmanager is about where notifications go (row 17), and how.
func (d *document) alertmanager() {
	top := d.top()
	t := d.templates(top)
	global, _ := top.at("global")
	for _, receiver := range top.places("alertmanager/config.Receiver") {
		for _, f := range receiver.fields {
			keys, ok := destinations[f.key]
			if !ok || f.value.kind != sequence {
				continue
			}
			list, _ := receiver.at(f.key)
			for i := range list.items {
				c := list.item(i, strings.TrimPrefix(list.typ, "[]"))
				for _, key := range keys {
					if at, ok := c.at(key); ok {
						d.destination(at, t)
					}
				}
				d.responders(c, t)
				d.reached(c, global)
				if f.key == "email_configs" {
					d.mail(c, global)
				}
			}
		}
	}
	if r, ok := global.at("smtp_require_tls"); ok && r.is(false) && !implicit(global.get("smtp_force_implicit_tls"), global.get("smtp_smarthost")) {
		d.found(r, Error, "mail-without-tls", "mail, and the password, go over the network in the clear", "smtp_require_tls: true")
	}
}

// destination is about one key that says where a notification goes.
func (d *document) destination(p place, t *templates) {
	if p.kind != scalar || !strings.Contains(p.text, "{{") {
		return
	}
	switch v, why := t.judge(p.text); v {
	case taken:
		d.found(p, Error, "destination-from-alert", "an alert chooses where its notification goes: "+why, "a fixed value, and a route with matchers for each destination")
	case chosen:
		d.found(p, Warning, "destination-from-alert", "an alert chooses among these destinations: "+why, "a receiver for each, and a route with matchers")
	}
}

// responders is who opsgenie calls.
func (d *document) responders(c place, t *templates) {
	list, _ := c.at("responders")
	for i := range list.items {
		r := list.item(i, strings.TrimPrefix(list.typ, "[]"))
		for _, key := range []string{"id", "name", "username"} {
			if at, ok := r.at(key); ok {
				d.destination(at, t)
			}
		}
	}
}

// reached is about how a receiver is reached: without an http_config of its
// own it has global's.
func (d *document) reached(c, global place) {
	h, ok := c.at("http_config")
	if !ok {
		h, _ = global.at("http_config")
	}
	d.address(c, c, h)
}

func (d *document) mail(c, global place) {
	r, ok := c.at("require_tls")
	smarthost, force := c.get("smarthost"), c.get("force_implicit_tls")
	if smarthost.kind == null {
		smarthost = global.get("smtp_smarthost")
	}
	if force.kind == null {
		force = global.get("smtp_force_implicit_tls")
	}
	if ok && r.is(false) && !implicit(force, smarthost) {
		d.found(r, Error, "mail-without-tls", "mail, and the password, go over the network in the clear", "require_tls: true")
	}
}

// implicit says whether mail goes over TLS from its first byte, or no further
// than this host.
func implicit(force, smarthost value) bool {
	if loopback(smarthost.text) {
		return true
	}
	return force.is(true) || !force.is(false) && strings.HasSuffix(smarthost.text, ":465")
}

package lint

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// prometheus is about prometheus.yml and what it includes: a target must not be
// able to pass for another (row 13).
func (d *document) prometheus() {
	top := d.top()
	for _, p := range top.places("config.ScrapeConfig") {
		d.honorLabels(p)
		d.relabelling(p)
		d.identity(p)
	}
	for _, p := range top.places("config.AlertmanagerConfig") {
		d.relabelling(p)
	}
	for _, p := range top.places("config.TracingConfig") {
		if h, ok := p.at("headers"); ok && p.get("insecure").is(true) && slices.ContainsFunc(h.fields, func(f field) bool { return secretHeader.MatchString(f.key) }) {
			d.found(h, Error, "cleartext-credentials", "headers that authenticate, with insecure: true", "insecure: false")
		}
	}
	d.includes("scrape_config_files", Scrape)
	d.includes("rule_files", Rules)
}

// federation is where a server's or a gateway's own labels are the point.
var federation = regexp.MustCompile(`(?i)pushgateway|push-gateway|:9091\b`)

func (d *document) honorLabels(p place) {
	h, ok := p.at("honor_labels")
	if !ok || !h.is(true) {
		return
	}
	what := "a target's own labels win over job and instance, so it can pass for any other target"
	said := p.get("job_name").text
	for _, group := range p.get("static_configs").items {
		said += " " + strings.Join(group.get("targets").texts(), " ")
	}
	if strings.HasSuffix(p.get("metrics_path").text, "/federate") || federation.MatchString(said) {
		d.found(h, Warning, "honor-labels", what+"; federation and a pushgateway need it", "metric_relabel_configs that keep only the labels you expect, and targets that you trust")
		return
	}
	d.found(h, Error, "honor-labels", what, "honor_labels: false; the target's label is then exported_job, exported_instance")
}

// operators is metadata that names the operator's own files and URLs.
var operators = []string{"__meta_filepath", "__meta_url"}

// digits fits the part of a regex that lets nothing through but a number.
var digits = regexp.MustCompile(`^\(?(\\d|\[0-9\])(\+|\*|\{[0-9,]+\})\)?\$?$`)

// portOnly says whether a rule adds no more than a port to the address that
// discovery gave: the annotation that many pods carry.
func portOnly(rule place, sources []string) bool {
	regex := rule.get("regex").text
	return len(sources) == 2 && sources[0] == "__address__" && digits.MatchString(regex[strings.LastIndex(regex, ";")+1:])
}

// relabelling follows labels of discovery through a job's rules, in order, to
// those that say what is scraped.
func (d *document) relabelling(p place) {
	rules, ok := p.at("relabel_configs")
	if !ok {
		return
	}
	tainted := map[string]bool{}
	foreign := func(label string) bool {
		return tainted[label] || strings.HasPrefix(label, "__meta_") && !slices.Contains(operators, label)
	}
	for i := range rules.items {
		rule := rules.item(i, strings.TrimPrefix(rules.typ, "[]"))
		sources, from := rule.get("source_labels").texts(), ""
		for _, s := range sources {
			if foreign(s) {
				from = s
				break
			}
		}
		target := rule.get("target_label").text
		switch action := strings.ToLower(rule.get("action").text); action {
		case "labelmap":
			d.labelmap(rule)
			continue
		case "", "replace", "lowercase", "uppercase", "hashmod":
		default:
			continue
		}
		if from == "" {
			if target != "" && (action(rule) != "replace" || rule.get("regex").text == "") {
				delete(tainted, target)
			}
			continue
		}
		tainted[target] = true
		d.impersonation(rule, target, from, sources)
	}
}

func action(rule place) string {
	if a := rule.get("action").text; a != "" {
		return strings.ToLower(a)
	}
	return "replace"
}

func (d *document) impersonation(rule place, target, from string, sources []string) {
	at, ok := rule.at("target_label")
	if !ok {
		return
	}
	from = shown(from)
	switch {
	case target == "__address__" && portOnly(rule, sources):
		d.found(at, Warning, "address-from-metadata", "the port that is scraped comes from "+from+", so a target can point at another port of its host", "a fixed port, or a keep rule for the ports you expect")
	case target == "__address__":
		d.found(at, Error, "address-from-metadata", "the address that is scraped comes from "+from+", so whoever writes it can name any host and receive what the job sends", "the address that discovery gives, or a fixed one")
	case target == "__scheme__", target == "__metrics_path__", strings.HasPrefix(target, "__param_"):
		d.found(at, Warning, "target-from-metadata", target+" comes from "+from+", so whoever writes it chooses what is asked", "a fixed value, or a regex that lists the values you expect")
	case strings.Contains(target, "$"):
		d.found(at, Warning, "label-from-metadata", "the label's name comes from "+from+": it may be job, instance or __address__", "a fixed target_label")
	}
}

func (d *document) labelmap(rule place) {
	r := rule.get("replacement").text
	if pattern, ok := rule.at("regex"); ok && strings.Contains(pattern.text, "__meta_") && (r == "" || strings.HasPrefix(r, "$")) {
		d.found(pattern, Warning, "label-from-metadata", "each label of the target becomes one of its series; it may be job or instance", "replacement: with a prefix of its own, such as label_$1")
	}
}

// identity is about rules after the scrape that do what honor_labels does.
func (d *document) identity(p place) {
	rules, ok := p.at("metric_relabel_configs")
	if !ok {
		return
	}
	for i := range rules.items {
		rule := rules.item(i, strings.TrimPrefix(rules.typ, "[]"))
		at, ok := rule.at("target_label")
		if ok && action(rule) == "replace" && (at.text == "job" || at.text == "instance") && rule.has("source_labels") {
			d.found(at, Warning, "identity-from-metrics", at.text+" is made of what the target sends, so it can pass for another", "another target_label")
		}
	}
}

// includes lints the files that the patterns of a key name, as upstream finds
// them: relative to this one's directory.
func (d *document) includes(key string, kind Kind) {
	top := d.top()
	patterns, ok := top.at(key)
	if !ok {
		return
	}
	for i := range patterns.items {
		p := patterns.item(i, "scalar")
		pattern := p.text
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(d.dir, pattern)
		}
		names, err := filepath.Glob(pattern)
		if err != nil {
			d.found(p, Error, "bad-pattern", "this is no pattern of file names", "one as of a shell, such as rules/*.yml")
			continue
		}
		if len(names) == 0 {
			d.found(p, Warning, "missing-file", "no file has such a name on this host, so nothing of it was judged", "the name of a file that is there, or nothing")
		}
		for _, name := range names {
			if err := d.file(name, kind); err != nil {
				d.errs = append(d.errs, fmt.Errorf("%s:%d: %s: %w", d.name, p.line, key, err))
			}
		}
	}
}

//go:build e2e && unix

package e2e

import (
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A person logs in to prometheus, which scrapes itself as the configuration in
// its archive says, but more often and on another port, runs a query, and sees
// its row, then its graph.
func TestPrometheusUI(t *testing.T) {
	r := openRelease(t)
	_, rec := r.component(t, "prometheus")
	folder, address := r.unpack(t, rec), freeAddress(t)
	shipped, err := os.ReadFile(filepath.Join(folder, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("localhost:9090", address, "scrape_interval: 15s", "scrape_interval: 1s").Replace(string(shipped))
	if err := os.WriteFile(filepath.Join(folder, "self.yml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	d := startComponent(t, folder, address, "prometheus", "--config.file=self.yml")
	d.awaitTrue(t, "count_over_time(up[1m]) >= bool 3") // enough to draw
	b := openBrowser(t, d)
	b.visit(t, "/query?g0.expr=up&g0.tab=table&g0.range_input=10s")
	b.click(t, `//button[normalize-space(.)="Execute"]`)
	b.see(t, "the row of up", fmt.Sprintf(`[...document.querySelectorAll("tbody tr")].some(row => {
		const cells = [...row.cells].map(c => c.innerText.trim());
		return cells.length === 2 && cells[0] === 'up{instance="%s", job="prometheus"}' && cells[1] === "1";
	})`, address))
	b.click(t, `//button[normalize-space(.)="Graph"]`)
	b.see(t, "the graph of up", `document.querySelector(".uplot canvas")`)
}

// awaitTrue waits until prometheus answers 1 to a query.
func (d *daemon) awaitTrue(t *testing.T, query string) {
	t.Helper()
	for deadline := time.Now().Add(startBound); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if answer, err := d.get(t, "/api/v1/query?query="+url.QueryEscape(query)); err == nil && strings.Contains(answer, `,"1"]`) {
			return
		}
	}
	t.Fatalf("%s did not find %s within %v", d.name, query, startBound)
}

// A person logs in to alertmanager, sees an alert that fires, and silences it.
func TestAlertmanagerUI(t *testing.T) {
	r := openRelease(t)
	_, rec := r.component(t, "alertmanager")
	d := startComponent(t, r.unpack(t, rec), freeAddress(t), "alertmanager")
	alert := `[{"labels": {"alertname": "GateLeftOpen", "severity": "page"}, "annotations": {"summary": "The gate is open."}}]`
	if _, err := d.do(t, http.MethodPost, "/api/v2/alerts", "application/json", alert); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t, d)
	b.visit(t, "/#/alerts")
	b.see(t, "the alert", `document.body.innerText.includes("GateLeftOpen")`)
	b.visit(t, `/#/silences/new?filter=%7Balertname%3D%22GateLeftOpen%22%7D`)
	b.see(t, "the form", `document.querySelector("textarea")`)
	b.write(t, `//label[contains(., "Creator")]/following::input[1]`, "the guard")
	b.write(t, `//textarea`, "we know about the gate")
	b.click(t, `//button[normalize-space(.)="Create"]`)
	b.see(t, "the silence", `location.hash.startsWith("#/silences/") && document.body.innerText.includes("we know about the gate")`)
	silences, err := d.get(t, "/api/v2/silences")
	if err != nil || !strings.Contains(silences, "we know about the gate") || !strings.Contains(silences, "the guard") {
		t.Errorf("alertmanager does not hold the silence (%v): %s", err, silences)
	}
}

// A person logs in to pushgateway, sees what was pushed, and deletes it.
func TestPushgatewayUI(t *testing.T) {
	r := openRelease(t)
	_, rec := r.component(t, "pushgateway")
	d := startComponent(t, r.unpack(t, rec), freeAddress(t), "pushgateway")
	if _, err := d.do(t, http.MethodPut, "/metrics/job/backup", "", "backup_files 42\n"); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t, d)
	b.visit(t, "/")
	b.click(t, `//button[contains(., 'job="backup"')]`)
	b.see(t, "the group", `[...document.querySelectorAll("#job-accordion button")].some(b => b.innerText.includes("backup_files") && b.offsetParent)`)
	b.see(t, "the group at rest", `!document.querySelector(".collapsing")`)
	b.click(t, `//button[contains(., 'job="backup"')]/following-sibling::button[contains(., "Delete Group")]`)
	b.see(t, "the question", `document.getElementById("del-modal").classList.contains("show") && getComputedStyle(document.getElementById("del-modal")).opacity === "1"`)
	b.click(t, `//button[@id="del-confirm"]`)
	b.see(t, "no group", `document.querySelectorAll("#job-accordion > .card").length === 0`)
	if metrics, err := d.get(t, "/metrics"); err != nil || strings.Contains(metrics, "backup_files") {
		t.Errorf("pushgateway holds the group still (%v)", err)
	}
}

// The interfaces' policy holds: a script that somebody brought into a page does
// not run.
func TestInjectedScriptDoesNotRun(t *testing.T) {
	r := openRelease(t)
	for _, name := range []string{"prometheus", "alertmanager", "pushgateway", "node_exporter"} {
		t.Run(name, func(t *testing.T) {
			_, rec := r.component(t, name)
			d := startComponent(t, r.unpack(t, rec), freeAddress(t), name)
			b := launchFor(t, d)
			b.visit(t, "/")
			b.see(t, "its text", `document.body.innerText.trim()`)
			b.see(t, "that a script does not run", `(() => {
				const script = document.createElement("script");
				script.textContent = "window.injected = true";
				document.body.append(script);
				return !window.injected;
			})()`)
			for range 50 {
				if strings.Contains(strings.Join(b.noticed(), " "), "Content Security Policy") {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
			t.Errorf("the browser did not say that it refused the script, but %q", b.noticed())
		})
	}
}

// The browser that judges the interfaces notices what it should, and nothing
// in a page that is well.
func TestBrowserNotices(t *testing.T) {
	for _, c := range []struct{ name, page, want string }{
		{"a page that is well", `<script src="/well.js"></script>`, ""},
		{"a console error", `<script>console.error("broken", 7)</script>`, `console.error: "broken" 7`},
		{"an exception", `<script>throw new Error("unforeseen")</script>`, "exception: Uncaught Error: unforeseen"},
		{"a script that is missing", `<script src="/gone.js"></script>`, "Script {origin}/gone.js: status 404"},
		{"a style sheet that is missing", `<link rel="stylesheet" href="/gone.css">`, "Stylesheet {origin}/gone.css: status 404"},
		{"an interface that is missing", `<script>fetch("/gone").catch(() => {})</script>`, "Fetch {origin}/gone: status 404"},
		{"a picture from elsewhere", `<img src="http://elsewhere.example/a.png">`, "asks for http://elsewhere.example/a.png, which is not its own"},
		{"a policy that is broken", `<meta http-equiv="Content-Security-Policy" content="img-src 'none'"><img src="/well.png">`, "Content Security Policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch {
				case req.URL.Path == "/":
					fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><body>%s<p>shown`, c.page)
				case strings.HasPrefix(req.URL.Path, "/well"):
					w.Header().Set("Content-Type", "text/javascript")
				default:
					w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(req.URL.Path)))
					w.WriteHeader(http.StatusNotFound)
				}
			}))
			defer site.Close()
			b := launch(t, site.URL)
			b.visit(t, "/")
			b.see(t, "its text", `document.body.innerText.includes("shown")`)
			want := strings.ReplaceAll(c.want, "{origin}", site.URL)
			var got string
			for range 50 {
				if got = strings.Join(b.noticed(), "\n"); want == "" || strings.Contains(got, want) {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			if (want == "" && got != "") || !strings.Contains(got, want) {
				t.Errorf("it noticed %q, want %q", got, want)
			}
		})
	}
}

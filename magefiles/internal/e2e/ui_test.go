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

// A person runs a query in prometheus, which scrapes itself, and sees its row, then
// its graph.
func TestPrometheusUI(t *testing.T) {
	r := openRelease(t)
	_, rec := r.component(t, "prometheus")
	folder, address := r.unpack(t, rec), freeAddress(t)
	config := `{global: {scrape_interval: 1s}, scrape_configs: [{job_name: self, static_configs: [{targets: ["` + address + `"]}]}]}`
	if err := os.WriteFile(filepath.Join(folder, "self.yml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	d := startComponent(t, folder, address, "prometheus", "--config.file=self.yml")
	d.awaitTrue(t, "count_over_time(up[1m]) >= bool 3") // enough to draw
	b := openBrowser(t, d.url)
	b.visit(t, "/query?g0.expr=up&g0.tab=table&g0.range_input=10s")
	b.click(t, `//button[normalize-space(.)="Execute"]`)
	b.see(t, "the row of up", fmt.Sprintf(`[...document.querySelectorAll("tbody tr")].some(row => {
		const cells = [...row.cells].map(c => c.innerText.trim());
		return cells.length === 2 && cells[0] === 'up{instance="%s", job="self"}' && cells[1] === "1";
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

// A person looks at alertmanager's list and sees an alert that fires.
func TestAlertmanagerUI(t *testing.T) {
	r := openRelease(t)
	_, rec := r.component(t, "alertmanager")
	d := startComponent(t, r.unpack(t, rec), freeAddress(t), "alertmanager")
	alert := `[{"labels": {"alertname": "GateLeftOpen", "severity": "page"}, "annotations": {"summary": "The gate is open."}}]`
	if _, err := d.do(t, http.MethodPost, "/api/v2/alerts", "application/json", alert); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t, d.url)
	b.visit(t, "/#/alerts")
	b.see(t, "the alert", `document.body.innerText.includes("GateLeftOpen")`)
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

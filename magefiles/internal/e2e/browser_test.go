//go:build e2e && unix

package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "keep a picture of every page in this `directory`")

const (
	browserLife = 3 * time.Minute
	pageBound   = time.Minute // until a page shows what it has to
)

// chromium's flags. It runs a page of ours and has nothing to do elsewhere:
// every name but loopback resolves to nothing.
var chromiumFlags = []chromedp.ExecAllocatorOption{
	chromedp.Headless,
	chromedp.NoSandbox, // which root, as who CI runs, cannot have
	chromedp.NoFirstRun,
	chromedp.NoDefaultBrowserCheck,
	chromedp.Flag("disable-gpu", true),
	chromedp.Flag("disable-quic", true),
	chromedp.Flag("disable-dev-shm-usage", true),
	chromedp.Flag("disable-background-networking", true),
	chromedp.Flag("disable-component-update", true),
	chromedp.Flag("disable-default-apps", true),
	chromedp.Flag("disable-extensions", true),
	chromedp.Flag("disable-sync", true),
	chromedp.Flag("no-proxy-server", true),
	chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	chromedp.Flag("window-size", "1280,900"),
}

// A browser is one tab of a Chromium of its own, which notes what is wrong
// with the pages that it shows.
type browser struct {
	ctx    context.Context
	origin string // the only place that a page may load from

	mu         sync.Mutex
	complaints []string
	urls       map[network.RequestID]string
}

// openBrowser starts Chromium with a fresh profile, for pages of the daemon,
// whose certificate it trusts and whose password it gives when it is asked. It
// ends with the test, which fails if a page gave cause for complaint, and then
// keeps a picture of the last one.
func openBrowser(t *testing.T, d *daemon) *browser {
	t.Helper()
	b := launchFor(t, d)
	t.Cleanup(func() {
		for _, c := range b.noticed() {
			t.Errorf("the page: %s", c)
		}
		b.keepPicture(t)
	})
	return b
}

// launchFor is openBrowser without a judgement on the pages.
func launchFor(t *testing.T, d *daemon) *browser {
	t.Helper()
	pin, err := d.keys.pin()
	if err != nil {
		t.Fatal(err)
	}
	b := launch(t, d.url, chromedp.Flag("ignore-certificate-errors-spki-list", pin))
	b.logIn(t, d.keys)
	return b
}

// launch starts Chromium for pages that anybody may see.
func launch(t *testing.T, origin string, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Fatal("no chromium, chromium-browser or google-chrome in PATH; on Debian: apt-get install --no-install-recommends chromium")
	}
	b := &browser{origin: origin, urls: map[network.RequestID]string{}}
	var printed bytes.Buffer
	life, cancelLife := context.WithTimeout(context.Background(), browserLife)
	alloc, cancelAlloc := chromedp.NewExecAllocator(life, slices.Concat(chromiumFlags, more,
		[]chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.Env("HOME=" + t.TempDir()), chromedp.CombinedOutput(&printed)})...)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithListener(b.notice))
	b.ctx = ctx
	t.Cleanup(func() {
		cancel()
		cancelAlloc()
		cancelLife()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v\n%s", program, err, printed.Bytes())
	}
	return b
}

// logIn answers with the credentials whenever the daemon asks who it is, as a
// person does in the browser's own dialogue, and only the daemon.
func (b *browser) logIn(t *testing.T, keys credentials) {
	t.Helper()
	password, err := os.ReadFile(keys.password())
	if err != nil {
		t.Fatal(err)
	}
	err = chromedp.Listen(b.ctx, func(ev any) {
		switch ev := ev.(type) {
		case *fetch.EventRequestPaused:
			go chromedp.Call(b.ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: ev.RequestID})
		case *fetch.EventAuthRequired:
			answer := &fetch.AuthChallengeResponse{Response: fetch.AuthChallengeResponseResponseCancelAuth}
			if ev.AuthChallenge.Origin == b.origin {
				answer = &fetch.AuthChallengeResponse{
					Response: fetch.AuthChallengeResponseResponseProvideCredentials, Username: user, Password: string(password),
				}
			}
			go chromedp.Call(b.ctx, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{RequestID: ev.RequestID, AuthChallengeResponse: answer})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, fetch.Enable, fetch.EnableParams{HandleAuthRequests: new(true)}); err != nil {
		t.Fatal(err)
	}
}

// notice runs for each event of the tab.
func (b *browser) notice(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complain := func(format string, args ...any) {
		b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
	}
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		b.urls[ev.RequestID] = ev.Request.URL
		if u, err := url.Parse(ev.Request.URL); err != nil || (u.Scheme != "data" && u.Scheme != "blob" && u.Scheme+"://"+u.Host != b.origin) {
			complain("asks for %.200s, which is not its own", ev.Request.URL)
		}
	case *network.EventResponseReceived:
		if ev.Response.Status >= 400 {
			complain("%s %s: status %d", ev.Type, ev.Response.URL, ev.Response.Status)
		}
	case *network.EventLoadingFailed:
		if !ev.Canceled {
			complain("%s %s: %s", ev.Type, b.urls[ev.RequestID], ev.ErrorText)
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeAssert {
			var words []string
			for _, a := range ev.Args {
				words = append(words, a.Description+string(a.Value))
			}
			complain("console.%s: %s", ev.Type, strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if ev.ExceptionDetails.Exception != nil {
			text += " " + ev.ExceptionDetails.Exception.Description
		}
		complain("exception: %s", text)
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError {
			complain("log: %s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
		}
	}
}

// noticed is what was wrong so far.
func (b *browser) noticed() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.complaints...)
}

// visit opens a page of the origin.
func (b *browser) visit(t *testing.T, path string) {
	t.Helper()
	b.do(t, "opening "+path, chromedp.Navigate(b.origin+path))
}

// see waits until the JavaScript expression is true of the page, and fails
// with what the page shows if it does not become so.
func (b *browser) see(t *testing.T, what, expression string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, pageBound+10*time.Second)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool]("Boolean("+expression+")",
		chromedp.WithPollingInterval(100*time.Millisecond), chromedp.WithPollingTimeout(pageBound)))
	if err != nil {
		text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
		t.Fatalf("the page does not show %s (%v), but:\n%.4000s", what, err, text)
	}
}

// click presses what the XPath names.
func (b *browser) click(t *testing.T, xpath string) {
	t.Helper()
	b.do(t, "pressing "+xpath, chromedp.Click(chromedp.Search(xpath)))
}

// write types text into what the XPath names.
func (b *browser) write(t *testing.T, xpath, text string) {
	t.Helper()
	b.do(t, "writing into "+xpath, chromedp.SendKeys(chromedp.Search(xpath), text))
}

func (b *browser) do(t *testing.T, what string, action chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, pageBound)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// keepPicture saves what the page looks like if it failed or was asked for.
func (b *browser) keepPicture(t *testing.T) {
	if !t.Failed() && *screenshots == "" {
		return
	}
	dir, err := *screenshots, error(nil)
	if dir == "" {
		dir, err = os.MkdirTemp("", "palisade-e2e-")
	}
	if err != nil {
		t.Logf("no picture of the page: %v", err)
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	name := filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-")+".png")
	if err == nil {
		err = os.WriteFile(name, picture, 0o644)
	}
	if err != nil {
		t.Logf("no picture of the page: %v", err)
		return
	}
	t.Logf("a picture of the page: %s", name)
}

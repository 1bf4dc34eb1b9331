package elm

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// tiny lays testdata/tiny.txtar out and returns its packages.
func tiny(t testing.TB) (dir string, packages []Package) {
	t.Helper()
	a, err := txtar.ParseFile("testdata/tiny.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := txtar.Write(a, dir); err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		if name, ok := strings.CutSuffix(f.Name, "/elm.json"); ok && name != "app" {
			at := strings.LastIndexByte(name, '/')
			packages = append(packages, Package{Name: name[:at], Version: name[at+1:], Dir: filepath.Join(dir, filepath.FromSlash(name))})
		}
	}
	return dir, packages
}

func TestApplication(t *testing.T) {
	dir, _ := tiny(t)
	data, err := os.ReadFile(filepath.Join(dir, "app", "elm.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"elm/core": "1.0.0", "elm/json": "1.0.0", "elm/virtual-dom": "1.0.0", "tiny-bells/sound-ing": "2.1.0", "tiny-bells/unused": "1.0.0"}
	if got, err := Application(data); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	without, err := WithoutTests(data)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Application(without); err != nil || !maps.Equal(got, want) || strings.Contains(string(without), "elm-explorations") {
		t.Errorf("without tests it is %s: %v", without, err)
	}
	again, err := WithoutTests(data)
	if err != nil || string(again) != string(without) {
		t.Errorf("again it is %s: %v", again, err)
	}
}

func TestApplicationRefuses(t *testing.T) {
	const good = `{"type": "application", "elm-version": "0.19.1", "dependencies": {"direct": {"elm/core": "1.0.0"}, "indirect": {"elm/json": "1.0.0"}}}`
	if _, err := Application([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string][2]string{
		"a package":            {"application", "package"},
		"another version":      {"0.19.1", "0.19.0"},
		"a package twice":      {"elm/json", "elm/core"},
		"no author":            {"elm/json", "json"},
		"a way out":            {"elm/json", "../json"},
		"a folder more":        {"elm/json", "elm/json/x"},
		"a name of two dashes": {"elm/json", "elm/js--on"},
		"no version":           {`"elm/json": "1.0.0"`, `"elm/json": ""`},
		"a range":              {`"elm/json": "1.0.0"`, `"elm/json": "1.0.0 <= v < 2.0.0"`},
		"two numbers":          {`"elm/json": "1.0.0"`, `"elm/json": "1.0"`},
		"a zero before":        {`"elm/json": "1.0.0"`, `"elm/json": "1.0.01"`},
		"something behind":     {`}}}`, `}}} {}`},
		"half":                 {`}}}`, ``},
		"too large":            {`{"type"`, strings.Repeat(" ", maxJSON) + `{"type"`},
	} {
		if _, err := Application([]byte(strings.Replace(good, edit[0], edit[1], 1))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The form of registry.dat, byte for byte.
func TestRegistry(t *testing.T) {
	got, err := Registry([]Package{{Name: "elm/json", Version: "1.0.2"}, {Name: "NoRedInk/a", Version: "2.0.3"}, {Name: "elm/b", Version: "300.1.2"}})
	want := "0000000000000003" + "0000000000000003" +
		"08" + hex.EncodeToString([]byte("NoRedInk")) + "01" + hex.EncodeToString([]byte("a")) + "020003" + "0000000000000000" +
		"03" + hex.EncodeToString([]byte("elm")) + "01" + hex.EncodeToString([]byte("b")) + "ff" + "012c" + "0001" + "0002" + "0000000000000000" +
		"03" + hex.EncodeToString([]byte("elm")) + "04" + hex.EncodeToString([]byte("json")) + "010002" + "0000000000000000"
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("got  %x, %v\nwant %s", got, err, want)
	}
	for name, packages := range map[string][]Package{
		"twice": {{Name: "a/b", Version: "1.0.0"}, {Name: "a/b", Version: "2.0.0"}}, "a way out": {{Name: "../b", Version: "1.0.0"}}, "beyond two bytes": {{Name: "a/b", Version: "1.0.70000"}},
	} {
		if _, err := Registry(packages); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLayHome(t *testing.T) {
	_, packages := tiny(t)
	home := filepath.Join(t.TempDir(), "home")
	for _, name := range []string{"artifacts.dat", "elm-stuff/x"} { // which the compiler would believe
		full := filepath.Join(packages[0].Dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := LayHome(home, packages); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(home, "0.19.1", "packages")
	for _, name := range []string{"elm/core/1.0.0/artifacts.dat", "elm/core/1.0.0/elm-stuff"} {
		if _, err := os.Stat(filepath.Join(below, filepath.FromSlash(name))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is laid there: %v", name, err)
		}
	}
	for _, name := range []string{"registry.dat", "elm/core/1.0.0/elm.json", "elm/core/1.0.0/src/Elm/Kernel/List.js", "tiny-bells/sound-ing/2.1.0/src/Sound/Ing.elm"} {
		if _, err := os.Stat(filepath.Join(below, filepath.FromSlash(name))); err != nil {
			t.Error(err)
		}
	}
	other := slices.Clone(packages)
	other[0].Version = "1.0.1"
	if err := LayHome(filepath.Join(t.TempDir(), "home"), other); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "package elm/core@1.0.1") {
		t.Errorf("one that is another version: %v", err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(packages[0].Dir, "src", "passwd")); err != nil {
		t.Fatal(err)
	}
	if err := LayHome(filepath.Join(t.TempDir(), "home"), packages); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "src/passwd is neither") {
		t.Errorf("one with a link: %v", err)
	}
	if err := os.Remove(filepath.Join(packages[1].Dir, "elm.json")); err != nil {
		t.Fatal(err)
	}
	if err := LayHome(filepath.Join(t.TempDir(), "home"), packages[1:]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("one without elm.json: %v", err)
	}
}

// written is what the compiler makes of the tiny application, with a name shortened.
const written = `(function(scope){
'use strict';

function F(arity, fun, wrapper) {
  wrapper.a = arity;
}
function F2(fun) {
  return F(2, fun, 0)
}
function A2(fun, a, b) {
  return fun.a === 2 ? fun.f(a, b) : fun(a)(b);
}



function _VirtualDom_text(string)
{
	var local = string;
	return document.createTextNode(local);
}


var _String_append = F2(function(a, b)
{
	return a + b;
});
var $elm$core$String$append = _String_append;
var $tiny_bells$sound_ing$Sound$Ing$ding = A2($elm$core$String$append, 'ding', ' dong');
var $elm$virtual_dom$VirtualDom$text = _VirtualDom_text;
var $author$project$Main$main = $elm$virtual_dom$VirtualDom$text($tiny_bells$sound_ing$Sound$Ing$ding);
export const Elm = {'Main':{}};
`

func TestDefinitions(t *testing.T) {
	_, packages := tiny(t)
	w, err := Definitions(written, packages)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(w.Packages, w.Runtime); got != "[elm/core elm/virtual-dom tiny-bells/sound-ing] true" {
		t.Errorf("got %s", got)
	}
	if got, _ := json.Marshal(w.Requires); string(got) != `{"elm/core":[],"elm/virtual-dom":["elm/core"],"tiny-bells/sound-ing":["elm/core"]}` && string(got) != `{"elm/core":null,"elm/virtual-dom":["elm/core"],"tiny-bells/sound-ing":["elm/core"]}` {
		t.Errorf("got %s", got)
	}
	for name, more := range map[string]string{
		"another package":    "var $stranger$package$Module$x = 1;\n",
		"its neighbour":      "var $tiny_bells$sound$Ing$x = 1;\n",
		"half a name":        "var $elm$core = 1;\n",
		"an unknown kernel":  "function _Debugger_open() {}\n",
		"no name":            "var = 1;\n",
		"a function":         "function helper() {}\n",
		"a class":            "class Helper {}\n",
		"a constant":         "const helper = 1;\n",
		"nearly the runtime": "function F10(fun) {}\n",
	} {
		if _, err := Definitions(written+more, packages); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Definitions("", packages); !errors.Is(err, ErrUnknown) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := Definitions(written, packages[:2]); !errors.Is(err, ErrUnknown) {
		t.Errorf("with fewer packages: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(packages[4].Dir, "src", "Elm", "Kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(packages[4].Dir, "src", "Elm", "Kernel", "List.js"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Definitions(written, packages); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "src/Elm/Kernel/List.js is of elm/core and of tiny-bells/unused") {
		t.Errorf("a kernel module of two: %v", err)
	}
}

// What is attributed is attributed to packages that there are.
func FuzzDefinitions(f *testing.F) {
	_, packages := tiny(f)
	for _, s := range []string{"", written, "var $author$project$Main$main = 1;", "var $$$$", "function _List_", "var F2\nvar $author$project$x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, code string) {
		w, err := Definitions(code, packages)
		if err != nil {
			if !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
			return
		}
		for _, name := range w.Packages {
			if !slices.ContainsFunc(packages, func(p Package) bool { return p.Name == name }) {
				t.Errorf("%s is nobody", name)
			}
		}
	})
}

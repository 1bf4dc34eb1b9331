package artifact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

const schemaFile = "release.schema.json"

// rules are what the schema demands beyond a field's type.
var rules = map[string]jsonschema.Schema{
	"Manifest.schema":        {Const: jsonschema.Ptr(any(ManifestSchema))},
	"Record.name":            {Pattern: `^[^/\\\x00]+$`, Not: &jsonschema.Schema{Enum: []any{".", ".."}}},
	"Record.size":            {Minimum: jsonschema.Ptr(0.0)},
	"Record.component":       {MinLength: jsonschema.Ptr(1)},
	"Record.variant":         {MinLength: jsonschema.Ptr(1)},
	"Module.path":            {MinLength: jsonschema.Ptr(1)},
	"Module.sum":             {Pattern: `^(h1:[A-Za-z0-9+/]{43}=)?$`},
	"UI.kind":                {Enum: []any{"pnpm", "elm", "bundle"}},
	"Package.integrity":      {Pattern: `^sha512-[A-Za-z0-9+/]{86}==$`},
	"Binary.size":            {Minimum: jsonschema.Ptr(0.0)},
	"File.mode":              {Pattern: `^0[0-7]{3}$`},
	"File.size":              {Minimum: jsonschema.Ptr(0.0)},
	"Stage.seconds":          {Minimum: jsonschema.Ptr(0.0)},
	"Sandbox.namespaces":     {UniqueItems: true},
	"Record.upstreamVersion": {MinLength: jsonschema.Ptr(1)},
	"Manifest.images":        {MinItems: jsonschema.Ptr(1)},
	"Image.name":             {Pattern: `^[^/\\\x00]+\.oci\.tar$`},
	"Image.size":             {Minimum: jsonschema.Ptr(0.0)},
	"Image.component":        {MinLength: jsonschema.Ptr(1)},
	"Image.version":          {MinLength: jsonschema.Ptr(1)},
	"Image.variant":          {MinLength: jsonschema.Ptr(1)},
	"Image.platforms":        {MinItems: jsonschema.Ptr(1)},
	"Image.documents":        {MinItems: jsonschema.Ptr(1), MaxItems: jsonschema.Ptr(1)},
	"PlatformImage.artifact": {Pattern: `^[^/\\\x00]+$`},
	"PlatformImage.layers":   {MinItems: jsonschema.Ptr(3), MaxItems: jsonschema.Ptr(4)},
	"Layer.name":             {Enum: []any{"base", "licences", "binaries", "configuration"}},
	"Layer.size":             {Minimum: jsonschema.Ptr(0.0)},
}

// texts are the types whose value is a JSON string.
var texts = map[reflect.Type]jsonschema.Schema{
	reflect.TypeFor[Digest]():   {Type: "string", Pattern: `^sha256:[0-9a-f]{64}$`},
	reflect.TypeFor[Platform](): {Type: "string", Pattern: `^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$`},
}

// TestSchema holds release.schema.json against the Go types: each field, its
// type, whether it may be absent, and its comment as description. So neither
// can gain, lose or rename anything alone.
func TestSchema(t *testing.T) {
	text, err := json.MarshalIndent(makeSchema(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, schemaFile, append(text, '\n'))
}

// makeSchema describes Manifest. jsonschema.For cannot: a module may hold
// another module, which it refuses as a cycle.
func makeSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	m := &schemaMaker{
		docs: readComments(t, "manifest.go", "image.go", "digest.go", "platform.go"),
		defs: map[string]*jsonschema.Schema{},
		used: map[string]bool{},
	}
	root, err := m.object(reflect.TypeFor[Manifest]())
	if err != nil {
		t.Fatal(err)
	}
	for name := range rules {
		if !m.used[name] {
			t.Errorf("a rule speaks of %s, which is no field", name)
		}
	}
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "release.json of Palisade, " + ManifestSchema
	root.Defs = m.defs
	return root
}

type schemaMaker struct {
	docs map[string]string // "Type" or "Type.field" -> comment
	defs map[string]*jsonschema.Schema
	used map[string]bool // rules that a field was found for
}

func (m *schemaMaker) of(t reflect.Type) (*jsonschema.Schema, error) {
	switch {
	case texts[t].Type != "":
		s := texts[t]
		s.Description = m.docs[t.Name()]
		m.defs[t.Name()] = &s
		return &jsonschema.Schema{Ref: "#/$defs/" + t.Name()}, nil
	case t.Kind() == reflect.Pointer:
		return m.of(t.Elem())
	case t.Kind() == reflect.Slice:
		items, err := m.of(t.Elem())
		return &jsonschema.Schema{Type: "array", Items: items}, err
	case t.Kind() == reflect.Struct:
		if m.defs[t.Name()] == nil {
			m.defs[t.Name()] = &jsonschema.Schema{} // ends the recursion
			s, err := m.object(t)
			if err != nil {
				return nil, err
			}
			m.defs[t.Name()] = s
		}
		return &jsonschema.Schema{Ref: "#/$defs/" + t.Name()}, nil
	}
	names := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int64: "integer", reflect.Float64: "number"}
	if names[t.Kind()] == "" {
		return nil, fmt.Errorf("no schema for %v", t)
	}
	return &jsonschema.Schema{Type: names[t.Kind()]}, nil
}

func (m *schemaMaker) object(t reflect.Type) (*jsonschema.Schema, error) {
	s := &jsonschema.Schema{
		Type:                 "object",
		Description:          m.docs[t.Name()],
		Properties:           map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	if s.Description == "" {
		return nil, fmt.Errorf("type %v has no comment", t)
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "" || name == "-" {
			return nil, fmt.Errorf("field %v.%s has no name in JSON", t, f.Name)
		}
		field, err := m.of(f.Type)
		if err != nil {
			return nil, err
		}
		field.Description = m.docs[t.Name()+"."+f.Name]
		m.rule(t.Name()+"."+name, field)
		s.Properties[name] = field
		s.PropertyOrder = append(s.PropertyOrder, name)
		if options != "omitempty" {
			s.Required = append(s.Required, name)
		}
	}
	return s, nil
}

func (m *schemaMaker) rule(name string, s *jsonschema.Schema) {
	r, ok := rules[name]
	if !ok {
		return
	}
	m.used[name] = true
	s.Const, s.Enum, s.Not, s.Pattern = r.Const, r.Enum, r.Not, r.Pattern
	s.Minimum, s.MinLength, s.UniqueItems = r.Minimum, r.MinLength, r.UniqueItems
	s.MinItems, s.MaxItems = r.MinItems, r.MaxItems
}

// readComments gathers the comments of types and their fields from source.
func readComments(t *testing.T, files ...string) map[string]string {
	t.Helper()
	docs := map[string]string{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				ts := spec.(*ast.TypeSpec)
				docs[ts.Name.Name] = oneLine(g.Doc.Text())
				st, ok := ts.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range st.Fields.List {
					for _, n := range field.Names {
						docs[ts.Name.Name+"."+n.Name] = oneLine(field.Doc.Text() + " " + field.Comment.Text())
					}
				}
			}
		}
	}
	return docs
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func resolved(t *testing.T) *jsonschema.Resolved {
	t.Helper()
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	r, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func goldenValue(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("testdata/release.json")
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestGoldenIsValid(t *testing.T) {
	if err := resolved(t).Validate(goldenValue(t)); err != nil {
		t.Error(err)
	}
}

// Whatever Encode refuses, or Go's types cannot hold, the schema refuses too:
// in each object of the golden manifest an unknown key, and a value of
// another type under each key; and a key that is missing, unless it may be.
func TestSchemaRefuses(t *testing.T) {
	schema := resolved(t)
	doc := goldenValue(t)
	absent := map[string]bool{}
	for _, typ := range []reflect.Type{reflect.TypeFor[Manifest](), reflect.TypeFor[Record](), reflect.TypeFor[Module](), reflect.TypeFor[UI](), reflect.TypeFor[Git](), reflect.TypeFor[Sandbox](), reflect.TypeFor[File]()} {
		for i := range typ.NumField() {
			if name, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); options == "omitempty" {
				absent[name] = true
			}
		}
	}
	tried := 0
	check := func(path string, valid bool) {
		tried++
		if err := schema.Validate(doc); (err == nil) != valid {
			t.Errorf("%s: valid is %v, want %v (%v)", path, err == nil, valid, err)
		}
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case []any:
			for i, e := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), e)
			}
		case map[string]any:
			v["unknown"] = "x"
			check(path+".unknown", false)
			delete(v, "unknown")
			for _, key := range slices.Sorted(maps.Keys(v)) {
				at, was := path+"."+key, v[key]
				delete(v, key)
				check(at+" missing", absent[key])
				v[key] = nil
				check(at+" null", false)
				v[key] = map[string]any{"unknown": 1}
				check(at+" another type", false)
				v[key] = was
				walk(at, was)
			}
		}
	}
	walk("", doc)
	check("as it was", true)
	if tried < 100 {
		t.Errorf("only %d documents tried", tried)
	}
}

func TestSchemaRefusesValues(t *testing.T) {
	tests := []struct {
		name, key string
		value     any
	}{
		{"name is a path", "name", "../x"},
		{"name is the folder", "name", "."},
		{"digest in capitals", "digest", strings.ToUpper(sum("").String())},
		{"platform in file name's form", "platform", "linux-amd64"},
		{"negative size", "size", -1},
		{"fraction", "epoch", 1.5},
		{"no component", "component", ""},
	}
	schema := resolved(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := goldenValue(t)
			doc["artifacts"].([]any)[0].(map[string]any)[tt.key] = tt.value
			if err := schema.Validate(doc); err == nil {
				t.Errorf("%s = %v is valid", tt.key, tt.value)
			}
		})
	}
	doc := goldenValue(t)
	doc["schema"] = "palisade.release.v2"
	if err := schema.Validate(doc); err == nil {
		t.Error("another schema is valid")
	}
}

// additionalProperties is false, and a description stands, on every object.
func TestSchemaIsClosed(t *testing.T) {
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	var root map[string]any
	if err := dec.Decode(&root); err != nil {
		t.Fatal(err)
	}
	objects := map[string]any{"Manifest": root}
	maps.Copy(objects, root["$defs"].(map[string]any))
	for name, v := range objects {
		s := v.(map[string]any)
		if s["description"] == nil {
			t.Errorf("%s has no description", name)
		}
		if s["type"] == "object" && s["additionalProperties"] != false {
			t.Errorf("%s: additionalProperties is %v", name, s["additionalProperties"])
		}
	}
}

package image

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"strconv"

	"palisade/attestations/artifact"
)

// ErrRoots is wrapped when a module is not a bundle of certificate authorities
// in the form that is known here.
var ErrRoots = errors.New("certificate authorities cannot be read")

// Roots are the certificate authorities that images trust.
type Roots struct {
	PEM     []byte
	Licence []byte   // text of the module's
	Terms   string   // expression of the module's licence and the list's; ReadRoots leaves it to the caller
	Left    []string // subjects of those that are left out, in the module's order
}

// maxRoots bounds each file of the module, in bytes.
const maxRoots = 4 << 20

// ReadRoots reads golang.org/x/crypto/x509roots/fallback, whose verified source
// dir is, in the form that it has since 2025: bundle/bundle.der holds the
// certificates, and bundle/bundle.go says where each begins, how long it is and
// what its digest is, in one list of literals.
//
// A certificate that is trusted with a constraint is left out, for a PEM file
// cannot say so and to trust it without would be too much. A constraint that is
// not known here, a byte that no certificate accounts for, and a certificate
// that has another digest or cannot be read are errors.
func ReadRoots(dir fs.FS) (Roots, error) {
	var files [3][]byte
	for i, name := range []string{"bundle/bundle.go", "bundle/bundle.der", "LICENSE"} {
		data, err := readBounded(dir, name)
		if err != nil {
			return Roots{}, fmt.Errorf("%w: %w", ErrRoots, err)
		}
		files[i] = data
	}
	listed, err := parseBundle(files[0])
	if err != nil {
		return Roots{}, fmt.Errorf("%w: bundle/bundle.go: %w", ErrRoots, err)
	}
	roots := Roots{Licence: files[2]}
	var out bytes.Buffer
	rest := files[1]
	for _, l := range listed {
		offset := len(files[1]) - len(rest)
		if l.start != offset || l.length <= 0 || l.length > len(rest) {
			return Roots{}, fmt.Errorf("%w: %q is at %d, %d bytes long, where %d of %d are read", ErrRoots, l.cn, l.start, l.length, offset, len(files[1]))
		}
		der := rest[:l.length]
		rest = rest[l.length:]
		if artifact.DigestBytes(der).Hex() != l.sum {
			return Roots{}, fmt.Errorf("%w: %q is %s, not %s", ErrRoots, l.cn, artifact.DigestBytes(der).Hex(), l.sum)
		}
		if _, err := x509.ParseCertificate(der); err != nil {
			return Roots{}, fmt.Errorf("%w: %q: %w", ErrRoots, l.cn, err)
		}
		if l.constraint != "" {
			roots.Left = append(roots.Left, l.cn)
			continue
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return Roots{}, err
		}
	}
	if roots.PEM = out.Bytes(); len(rest) > 0 || len(roots.PEM) == 0 {
		return Roots{}, fmt.Errorf("%w: bundle/bundle.der: %d bytes belong to no certificate, of %d certificates", ErrRoots, len(rest), len(listed))
	}
	return roots, nil
}

func readBounded(dir fs.FS, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRoots+1))
	if err == nil && len(data) > maxRoots {
		err = fmt.Errorf("%s has more than %d bytes", name, maxRoots)
	}
	return data, err
}

// A listedRoot is an element of unparsedCertificates.
type listedRoot struct {
	cn, sum       string
	start, length int
	constraint    string // distrustAfter: not trusted for what it signs after that time
}

// parseBundle reads the list, which has to be all that the file declares.
func parseBundle(source []byte) ([]listedRoot, error) {
	f, err := parser.ParseFile(token.NewFileSet(), "bundle.go", source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	const list = "unparsedCertificates"
	unknown := fmt.Errorf("it is not one list called %s", list)
	if len(f.Decls) != 1 {
		return nil, unknown
	}
	decl, ok := f.Decls[0].(*ast.GenDecl)
	if !ok || decl.Tok != token.VAR || len(decl.Specs) != 1 {
		return nil, unknown
	}
	spec, ok := decl.Specs[0].(*ast.ValueSpec)
	if !ok || len(spec.Names) != 1 || spec.Names[0].Name != list || len(spec.Values) != 1 {
		return nil, unknown
	}
	values, ok := spec.Values[0].(*ast.CompositeLit)
	if !ok {
		return nil, unknown
	}
	var all []listedRoot
	for i, element := range values.Elts {
		root, err := parseRoot(element)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		all = append(all, root)
	}
	return all, nil
}

func parseRoot(element ast.Expr) (r listedRoot, err error) {
	fields, ok := element.(*ast.CompositeLit)
	if !ok {
		return r, errors.New("it is no literal")
	}
	for _, field := range fields.Elts {
		pair, ok := field.(*ast.KeyValueExpr)
		if !ok {
			return r, errors.New("it has a value without a key")
		}
		key, isKey := pair.Key.(*ast.Ident)
		value, isValue := pair.Value.(*ast.BasicLit)
		if !isKey || !isValue {
			return r, errors.New("it has a key or value that is no literal")
		}
		switch key.Name {
		case "cn":
			r.cn, err = strconv.Unquote(value.Value)
		case "sha256Hash":
			r.sum, err = strconv.Unquote(value.Value)
		case "distrustAfter":
			r.constraint, err = strconv.Unquote(value.Value)
		case "certStartOff":
			r.start, err = strconv.Atoi(value.Value)
		case "certLength":
			r.length, err = strconv.Atoi(value.Value)
		default:
			err = fmt.Errorf("what %s says is not known here: it may limit what is trusted", key.Name)
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

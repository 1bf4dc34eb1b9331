// Command plugin keeps a key for the tests of package kms, as a plugin of a key
// service would: palisade-test://MODE/FILE is the key of a file, PKCS #8 in
// PEM, and MODE what the plugin does with it.
package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

func main() {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		fail(err)
	}
	mode, file, _ := strings.Cut(args.InitOptions.KeyResourceID, "/")
	switch mode {
	case "hang":
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Print("not JSON")
		return
	case "empty":
		fmt.Print("{}")
		return
	}
	data, err := os.ReadFile("/" + file)
	if err != nil {
		fail(err)
	}
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(data, cryptoutils.SkipPassword)
	if err != nil {
		fail(err)
	}
	key, err := signature.LoadSignerVerifier(private, args.InitOptions.HashFunc)
	if err != nil {
		fail(err)
	}
	if _, err := handler.Dispatch(os.Stdout, os.Stdin, args, service{key, mode}); err != nil {
		fail(err)
	}
}

func fail(err error) {
	_ = handler.WriteErrorResponse(os.Stdout, err)
	os.Exit(1)
}

type service struct {
	signature.SignerVerifier
	mode string
}

func (s service) SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error) {
	switch s.mode {
	case "refuse":
		return nil, errors.New("this caller may not sign")
	case "lie":
		return s.SignerVerifier.SignMessage(bytes.NewReader([]byte("something else")), options.WithCryptoSignerOpts(crypto.SHA256))
	}
	return s.SignerVerifier.SignMessage(message, opts...)
}

var errUnsupported = errors.New("not what this plugin is for")

func (service) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errUnsupported
}

func (service) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errUnsupported
}

func (service) SupportedAlgorithms() []string { return []string{"ecdsa-p256"} }

func (service) DefaultAlgorithm() string { return "ecdsa-p256" }

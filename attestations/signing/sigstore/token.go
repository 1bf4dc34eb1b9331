package sigstore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Audience is whom a token has to be for: it lets its bearer have a
// certificate, and nothing else.
const Audience = "sigstore"

const maxToken = 64 << 10

// A Token tells who we are, as an OIDC token. It is asked once for each
// certificate.
type Token func(ctx context.Context) (string, error)

// TokenFile reads the token from a file, each time anew: what writes it may
// renew it.
func TokenFile(name string) Token {
	return func(context.Context) (string, error) {
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrToken, err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxToken+1))
		if err == nil && len(data) > maxToken {
			err = fmt.Errorf("%s has more than %d bytes", name, maxToken)
		}
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrToken, err)
		}
		return string(bytes.TrimSpace(data)), nil
	}
}

// TokenValue is a token that the surroundings gave.
func TokenValue(token string) Token {
	return func(context.Context) (string, error) { return strings.TrimSpace(token), nil }
}

// Actions asks GitHub Actions for a token, with the values of a job's
// ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN.
func Actions(requestURL, requestToken string) Token {
	return func(ctx context.Context) (string, error) {
		u, err := url.Parse(requestURL)
		if err != nil || requestURL == "" || requestToken == "" {
			return "", fmt.Errorf("%w: this job may not ask for one: give it the permission id-token: write", ErrToken)
		}
		if !private(requestURL) {
			return "", fmt.Errorf("%w: others could read what is sent to %s for one: use https", ErrToken, u.Redacted())
		}
		q := u.Query()
		q.Set("audience", Audience)
		u.RawQuery = q.Encode()
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrToken, err)
		}
		req.Header.Set("Authorization", "Bearer "+requestToken)
		resp, err := (&http.Client{Transport: straight{}}).Do(req)
		if err != nil {
			return "", fmt.Errorf("%w: asking GitHub Actions: %w", ErrToken, err)
		}
		defer resp.Body.Close()
		var answer struct {
			Value string `json:"value"`
		}
		err = json.NewDecoder(io.LimitReader(resp.Body, maxToken)).Decode(&answer)
		if resp.StatusCode != http.StatusOK || err != nil {
			return "", fmt.Errorf("%w: GitHub Actions answered %s", ErrToken, resp.Status)
		}
		return answer.Value, nil
	}
}

// straight refuses to be sent elsewhere: a client would take the token along,
// even from https to http.
type straight struct{}

func (straight) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil && resp.StatusCode/100 == 3 {
		resp.Body.Close()
		return nil, fmt.Errorf("it answered %s: a token goes nowhere else", resp.Status)
	}
	return resp, err
}

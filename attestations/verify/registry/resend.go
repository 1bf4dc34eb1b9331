package registry

import (
	"errors"
	"net/http"
	"net/url"
)

// rewound is a request whose body begins at its beginning: that a token has
// expired is told when what is sent was read, and package transport then sends
// the same request with another.
func rewound(q *http.Request) (*http.Request, error) {
	if q.Body == nil || q.Body == http.NoBody || q.GetBody == nil {
		return q, nil
	}
	body, err := q.GetBody()
	if err != nil {
		return nil, err
	}
	q.Body.Close() // as a RoundTripper must
	again := *q
	again.Body = body
	return &again, nil
}

// withoutQuery leaves out of an error what lets in whoever has it: registries
// put signatures and sessions into the addresses that they send one to.
func withoutQuery(err error) error {
	var failed *url.Error
	if !errors.As(err, &failed) {
		return err
	}
	if at, wrong := url.Parse(failed.URL); wrong == nil {
		at.RawQuery = ""
		failed.URL = at.Redacted()
	}
	return err
}

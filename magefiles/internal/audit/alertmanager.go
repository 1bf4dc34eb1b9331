package audit

import (
	"context"
	"encoding/json"
	"net/http"
)

var alertmanagerChecks = []Check{
	{
		ID: "alertmanager.cors", Rows: []int{15}, Components: []string{"alertmanager"},
		Doc: "no page of another origin reads anything, unless --web.cors.origin allows it",
		run: func(ctx context.Context, b *bench) (string, error) { return noCORS(ctx, b, "/api/v2/status") },
	},
	{
		ID: "alertmanager.no-gossip", Rows: []int{16}, Components: []string{"alertmanager"},
		Doc: "no clustering until an address is given, and beyond loopback only with TLS",
		run: noGossip,
	},
}

func noGossip(ctx context.Context, b *bench) (string, error) {
	s, err := b.start(ctx, options{without: []string{"cluster.listen-address"}})
	if err != nil {
		return "", err
	}
	status, err := clusterStatus(ctx, s)
	if err != nil {
		return "", err
	}
	if status != "disabled" {
		return "", fail("started without a word of clustering, its cluster is %q", status)
	}
	said, err := b.refused(ctx, gossipAt("0.0.0.0:0"), "cluster.tls-config")
	if err != nil {
		return "", err
	}
	// On loopback nobody else listens: what was refused above is there.
	if s, err = b.start(ctx, gossipAt("127.0.0.1:0")); err != nil {
		return "", err
	}
	if status, err = clusterStatus(ctx, s); err != nil {
		return "", err
	}
	if status == "disabled" {
		return "", fail("with --cluster.listen-address on loopback its cluster is %q", status)
	}
	return "off by default, on when asked for on loopback; on every address: " + said, nil
}

func gossipAt(address string) options {
	return options{
		without: []string{"cluster.listen-address"},
		// Said, because a machine without a private address has none to guess.
		args: []string{"--cluster.listen-address=" + address, "--cluster.advertise-address=127.0.0.1:9094"},
	}
}

// clusterStatus is what alertmanager says of its cluster: disabled, settling
// or ready.
func clusterStatus(ctx context.Context, s *server) (string, error) {
	resp, err := s.get(ctx, "/api/v2/status", right)
	if err != nil {
		return "", err
	}
	var answer struct {
		Cluster struct {
			Status string `json:"status"`
		} `json:"cluster"`
	}
	if err := json.Unmarshal([]byte(resp.body), &answer); err != nil || resp.status != http.StatusOK || answer.Cluster.Status == "" {
		return "", fail("/api/v2/status does not tell the status of the cluster: status %d: %.100s", resp.status, resp.body)
	}
	return answer.Cluster.Status, nil
}

package audit

import (
	"context"
	"net/http"
	"strings"
)

var pushgatewayChecks = []Check{
	{
		ID: "pushgateway.write-auth", Rows: []int{18}, Components: []string{"pushgateway"},
		Doc: "nobody without the password creates, changes or deletes a series",
		run: writeAuth,
	},
	{
		ID: "pushgateway.admin-off", Rows: []int{18}, Components: []string{"pushgateway"},
		Doc: "the admin API and the lifecycle are off, and pushing without a check of consistency wants an acknowledgement",
		run: pushgatewayAdminOff,
	},
}

const group = "/metrics/job/audit"

func push(method, value string, who auth) request {
	return request{method: method, path: group, auth: who, body: strings.NewReader("audited " + value + "\n")}
}

func writeAuth(ctx context.Context, b *bench) (string, error) {
	s, err := b.start(ctx, options{})
	if err != nil {
		return "", err
	}
	if !done(ctx, s, push(http.MethodPut, "1", right)) {
		return "", fail("a push with the password was not taken")
	}
	for _, who := range []auth{anonymous, wrong} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			resp, err := s.do(ctx, push(method, "2", who))
			if err != nil {
				return "", err
			}
			if resp.status != http.StatusUnauthorized {
				return "", fail("%s %s without the password: status %d", method, group, resp.status)
			}
		}
	}
	resp, err := s.get(ctx, b.metrics(), right)
	if err != nil {
		return "", err
	}
	if !strings.Contains(resp.body, `audited{instance="",job="audit"} 1`) {
		return "", fail("the series that was pushed with the password is no longer as it was")
	}
	return "POST, PUT and DELETE without the password, or with a wrong one: 401, and the series stays as it was", nil
}

func pushgatewayAdminOff(ctx context.Context, b *bench) (string, error) {
	s, err := b.start(ctx, options{})
	if err != nil {
		return "", err
	}
	calls := []request{{method: http.MethodPut, path: "/api/v1/admin/wipe"}, {method: http.MethodPut, path: "/-/quit"}}
	for _, r := range calls {
		for _, who := range []auth{right, anonymous} {
			if r.auth = who; done(ctx, s, r) {
				return "", fail("%s was done without a flag that turns it on", r.path)
			}
		}
	}
	on := options{args: []string{"--web.enable-admin-api", "--web.enable-lifecycle"}}
	if s, err = b.start(ctx, on); err != nil {
		return "", err
	}
	for _, who := range []auth{anonymous, right} {
		for _, r := range calls {
			if r.auth = who; done(ctx, s, r) != (who == right) {
				return "", fail("turned on by its flag, %s was done for somebody without the password, or not for somebody with it", r.path)
			}
		}
	}
	const flag = "push.acknowledge-inconsistent-metrics"
	said, err := b.refused(ctx, options{args: []string{"--push.disable-consistency-check"}}, flag)
	if err != nil {
		return "", err
	}
	if _, err = b.start(ctx, options{args: []string{"--push.disable-consistency-check", "--" + flag}}); err != nil {
		return "", err
	}
	return "wipe and quit are off without their flags, and want the password with them; " + said, nil
}

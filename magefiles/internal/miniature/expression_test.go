package miniature

import "testing"

func TestExpressions(t *testing.T) {
	v := values{"needs.plan.outputs.plan": "sha256:1", "matrix.name": "1-of-2", "needs.plan.outputs.matrix": `{"include":[{"shard":"1/2"},{"shard":"2/2"}]}`, "needs.plan.outputs.odd": `{"include":[{"shard":1}]}`}
	for _, tt := range []struct{ text, want string }{
		{"plain $HOME", "plain $HOME"},
		{"-plan=${{ needs.plan.outputs.plan }} -n ${{matrix.name}}", "-plan=sha256:1 -n 1-of-2"},
		{"${{ needs.plan.outputs.other }}", ""},
		{"${{ matrix.name || 'x' }}", ""},
		{"${{ toJSON(matrix.name) }}", ""},
		{"${{ matrix.name ", ""},
	} {
		got, err := v.expand(tt.text)
		if (err == nil) != (tt.want != "") || err == nil && got != tt.want {
			t.Errorf("%s: got %q, %v", tt.text, got, err)
		}
	}
	if rows, err := v.matrix("${{ fromJSON(needs.plan.outputs.matrix) }}"); err != nil || len(rows) != 2 || rows[1]["shard"] != "2/2" {
		t.Errorf("got %v, %v", rows, err)
	}
	for _, text := range []string{"", "x", "${{ needs.plan.outputs.matrix }}", "${{ fromJSON(needs.plan.outputs.plan) }}", "${{ fromJSON(needs.plan.outputs.odd) }}", "${{ fromJSON(needs.none.outputs.matrix) }}"} {
		if rows, err := v.matrix(text); err == nil {
			t.Errorf("%s: got %v", text, rows)
		}
	}
}

package lint

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	syntax "text/template/parse"
)

// A verdict says what an alert has to do with the text that a template makes.
type verdict int

const (
	fixed  verdict = iota // nothing
	chosen                // it chooses among texts of the operator's
	taken                 // its labels or annotations are in the text
)

// operatorsData is what a template is given that no alert can set.
var operatorsData = []string{"Receiver", "Status", "NotificationReason", "ExternalURL"}

// maxTemplate is how long a template file may be, in bytes, and maxCalls how
// many templates one field may run.
const (
	maxTemplate = 1 << 20
	maxCalls    = 100
)

// templates is what an alertmanager.yml's own template files define.
type templates struct {
	trees map[string]*syntax.Tree
	// routeLabels says that the labels of routes hold no template, so that they
	// are the operator's.
	routeLabels bool
}

func (d *document) templates(top place) *templates {
	t := &templates{trees: map[string]*syntax.Tree{}, routeLabels: true}
	for _, r := range top.places("alertmanager/config.Route") {
		for _, f := range r.get("labels").fields {
			if strings.Contains(f.value.text, "{{") {
				t.routeLabels = false
			}
		}
	}
	list, _ := top.at("templates")
	for i := range list.items {
		p := list.item(i, "scalar")
		pattern := p.text
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(d.dir, pattern)
		}
		names, err := filepath.Glob(pattern)
		if err != nil {
			d.found(p, Error, "bad-pattern", "this is no pattern of file names", "one as of a shell, such as templates/*.tmpl")
		}
		for _, name := range names {
			if d.read[name] {
				continue
			}
			if len(d.read) >= maxFiles {
				d.errs = append(d.errs, fmt.Errorf("%s:%d: more than %d files; name fewer", d.name, p.line, maxFiles))
				break
			}
			d.read[name] = true
			if err := t.add(name); err != nil {
				d.errs = append(d.errs, fmt.Errorf("%s:%d: templates: %w", d.name, p.line, err))
			}
		}
	}
	return t
}

func (t *templates) add(name string) error {
	data, err := read(name)
	if err != nil {
		return err
	}
	if len(data) > maxTemplate {
		return fmt.Errorf("reading %s: more than %d bytes", name, maxTemplate)
	}
	tree := syntax.New(filepath.Base(name))
	tree.Mode = syntax.SkipFuncCheck
	if _, err := tree.Parse(string(data), "", "", t.trees); err != nil {
		return fmt.Errorf("reading %s: it is no template", name)
	}
	return nil
}

// judge says what an alert has to do with what text, a template, becomes.
func (t *templates) judge(text string) (verdict, string) {
	if len(text) > 64<<10 {
		return taken, "it is too long to be judged"
	}
	tree := syntax.New("field")
	tree.Mode = syntax.SkipFuncCheck
	all := map[string]*syntax.Tree{}
	if _, err := tree.Parse(text, "", "", all); err != nil {
		return taken, "it cannot be read as a template"
	}
	j := &judgement{templates: t, own: all, assigned: map[string]bool{}}
	// Once to learn which variables are assigned, which a loop may do after it
	// reads them.
	j.node(tree.Root, scope{dot: data, root: data})
	j.calls, j.why = 0, ""
	v := j.node(tree.Root, scope{dot: data, root: data})
	return v, j.why
}

// What a name in a template stands for.
type origin int

const (
	foreign origin = iota // an alert's, or not known
	ours                  // a text of the operator's
	data                  // the whole of what a template is given
)

type scope struct {
	dot, root origin // root is $, what this template was given
	vars      map[string]origin
}

func (s scope) with(name string, o origin) scope {
	vars := map[string]origin{name: o}
	for k, v := range s.vars {
		if k != name {
			vars[k] = v
		}
	}
	return scope{s.dot, s.root, vars}
}

type judgement struct {
	*templates
	own      map[string]*syntax.Tree
	assigned map[string]bool // variables that change: not followed
	calls    int
	why      string
	foreign  string // what was last found to be an alert's; never a text of the template, which may hold a secret
}

func (j *judgement) say(v verdict, why string) verdict {
	if j.why == "" || v == taken {
		j.why = why
	}
	return v
}

func (j *judgement) list(n *syntax.ListNode, s scope) (worst verdict) {
	if n == nil {
		return fixed
	}
	for _, c := range n.Nodes {
		if a, ok := c.(*syntax.ActionNode); ok && len(a.Pipe.Decl) > 0 {
			o := j.pipe(a.Pipe, s)
			for _, v := range a.Pipe.Decl {
				if a.Pipe.IsAssign {
					j.assigned[v.Ident[0]] = true
				}
				s = s.with(v.Ident[0], o)
			}
			continue
		}
		worst = max(worst, j.node(c, s))
	}
	return worst
}

func (j *judgement) node(n syntax.Node, s scope) verdict {
	switch n := n.(type) {
	case *syntax.ListNode:
		return j.list(n, s)
	case *syntax.TextNode, *syntax.CommentNode, *syntax.BreakNode, *syntax.ContinueNode:
		return fixed
	case *syntax.ActionNode:
		if j.pipe(n.Pipe, s) != ours {
			return j.say(taken, j.foreign)
		}
		return fixed
	case *syntax.IfNode:
		return j.branch(&n.BranchNode, s, s)
	case *syntax.WithNode:
		inner := s
		inner.dot = j.pipe(n.Pipe, s)
		return j.branch(&n.BranchNode, inner, s)
	case *syntax.RangeNode:
		inner := s
		if inner.dot = j.pipe(n.Pipe, s); inner.dot == data {
			inner.dot = foreign
		}
		return j.branch(&n.BranchNode, inner, s)
	case *syntax.TemplateNode:
		tree := j.own[n.Name]
		if tree == nil {
			tree = j.trees[n.Name]
		}
		if j.calls++; tree == nil || j.calls > maxCalls {
			return j.say(taken, "template "+shown(n.Name)+" is not among this configuration's templates")
		}
		inner := scope{}
		if n.Pipe != nil {
			inner.dot = j.pipe(n.Pipe, s)
			inner.root = inner.dot
		}
		return j.list(tree.Root, inner)
	}
	return j.say(taken, "it cannot be judged")
}

func (j *judgement) branch(n *syntax.BranchNode, inner, outer scope) verdict {
	o := j.pipe(n.Pipe, outer)
	why := j.foreign
	for _, v := range n.Pipe.Decl {
		inner = inner.with(v.Ident[0], o)
	}
	v := max(j.list(n.List, inner), j.list(n.ElseList, outer))
	if v == fixed && o != ours {
		return j.say(chosen, why)
	}
	return v
}

// pipe is what a pipeline's value is: the operator's if all of it is.
func (j *judgement) pipe(n *syntax.PipeNode, s scope) origin {
	if len(n.Cmds) == 1 && len(n.Cmds[0].Args) == 1 {
		return j.argument(n.Cmds[0].Args[0], s)
	}
	for _, c := range n.Cmds {
		for _, a := range c.Args {
			if j.argument(a, s) != ours {
				return foreign
			}
		}
	}
	return ours
}

func (j *judgement) argument(n syntax.Node, s scope) origin {
	o := j.origin(n, s)
	if o != ours {
		switch n.(type) {
		case *syntax.FieldNode, *syntax.VariableNode, *syntax.DotNode:
			j.foreign = shown(n.String())
		case *syntax.PipeNode:
		default:
			j.foreign = "an expression that is not followed"
		}
	}
	return o
}

func (j *judgement) origin(n syntax.Node, s scope) origin {
	switch n := n.(type) {
	case *syntax.BoolNode, *syntax.NumberNode, *syntax.StringNode, *syntax.IdentifierNode, *syntax.NilNode:
		return ours
	case *syntax.DotNode:
		return s.dot
	case *syntax.FieldNode:
		return j.member(s.dot, n.Ident)
	case *syntax.VariableNode:
		if n.Ident[0] == "$" {
			return j.member(s.root, n.Ident[1:])
		}
		if j.assigned[n.Ident[0]] {
			return foreign
		}
		return j.member(s.vars[n.Ident[0]], n.Ident[1:])
	case *syntax.PipeNode:
		return j.pipe(n, s)
	}
	return foreign
}

// member is what a value's field is.
func (j *judgement) member(of origin, names []string) origin {
	if len(names) == 0 || of != data {
		return of
	}
	if slices.Contains(operatorsData, names[0]) || names[0] == "RouteLabels" && j.routeLabels {
		return ours
	}
	return foreign
}

// Package workflows holds, in its tests, the files by which platforms run what is
// here: .github/workflows for GitHub and .gitlab-ci.yml for GitLab. Both are read
// strictly, and what the tests do not know is refused: a file, a trigger or a
// variable that is not written down, an action that is not on the list at its commit,
// a permission that a job's step does not need, an expression that reaches a shell as
// text, a job that could run for ever, a command of the one platform that is not the
// other's.
package workflows

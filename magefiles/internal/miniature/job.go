package miniature

// A Job is what runs on one machine, or on several, as a pipeline's file has it.
// The values of Env, Outputs, Upload, Download and Run may hold expressions of
// GitHub's; those of Variables name others, as $NAME.
type Job struct {
	Name      string
	Needs     []string
	Matrix    string // the expression of its machines, "" for one
	Parallel  int    // or how many there are, 0 for one
	Env       map[string]string
	Variables map[string]string
	Outputs   map[string]string // of GitHub's; all that a Dotenv holds are outputs, too
	Identity  bool              // it may ask for a token that says who it is
	Tokens    map[string]string // or it has tokens in variables: for whom each is
	Secrets   bool              // it may know what lets it write where releases are published
	Steps     []Step
}

// A Step is one of these: a script that runs, or what the platform does.
type Step struct {
	ID       string
	Env      map[string]string
	Shell    []string // which gets the file of the script as its last argument
	Run      string
	Checkout bool
	Upload   *Upload
	Download *Download
	Dotenv   string // a file whose lines NAME=VALUE are handed over
}

// An Upload puts files into the store of artifacts, under a name, by default that
// of the machine.
type Upload struct {
	Name  string
	Paths []string // patterns, in the checkout
	Whole bool     // a file is called by its path in the checkout, not in the deepest folder that has all
}

// A Download takes all that has the name, a pattern, out of it, into one folder of
// the checkout.
type Download struct{ Name, To string }

package diagnose

// A Code names a finding for good: programs branch on it, translations are made by it. It
// is lower-case words with hyphens. A program must expect codes that it does not know.
type Code string

// A Severity is how bad a finding is.
type Severity string

// The severities, worst first.
const (
	// Error: mail for the domain is held back, or is not protected although the
	// domain means it to be.
	Error Severity = "error"

	// CouldNotTell: something could not be found out. No view should hide it.
	CouldNotTell Severity = "could-not-tell"

	// Warning: it works now, and will not always, or not for every sender.
	Warning Severity = "warning"

	// Notice: worth to know.
	Notice Severity = "notice"
)

// A Finding is one thing that is wrong with a domain, or worth to know about it.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Step     StepID   `json:"step"`    // at which it shows
	Subject  string   `json:"subject"` // the host, line or record that it is about; empty: the domain

	Title  string `json:"title"`  // one line
	Text   string `json:"text"`   // what was seen, and what should have been
	Effect string `json:"effect"` // what it does to mail
	Mend   string `json:"mend"`   // what to do about it
	Clause string `json:"clause"` // "RFC 8461, Section 3.1"

	// Publish holds the very records or lines to publish, where that is known.
	Publish []string `json:"publish"`

	// Args are what Title, Text, Effect and Mend were filled in with, by name.
	Args map[string]string `json:"args"`

	Evidence []Evidence `json:"evidence"`

	// DependsOn are findings in the same report that are the cause of this one. A view
	// may fold it.
	DependsOn []Code `json:"depends_on"`
}

// An Evidence is a piece of what was seen.
type Evidence struct {
	Label  string `json:"label"`  // "_mta-sts.example.com TXT", "line 3"
	Text   string `json:"text"`   // escaped
	Column int    `json:"column"` // from 1, in Text, where a caret belongs; 0: nowhere
}

// A State is how a step fared.
type State string

// The states of a step. A step that was not tested, or could not be examined, has not
// passed.
const (
	Pass      State = "pass"
	Warn      State = "warn" // it works, and a finding of severity Warning is about it
	Fail      State = "fail"
	NotTested State = "not-tested" // an earlier step has failed, or nobody asked for it
	NotUsed   State = "not-used"   // it is optional, and the domain does without it
	Unknown   State = "unknown"    // it could not be examined
)

// A StepID names a step.
type StepID string

// The steps, in the order in which a sender takes them.
const (
	StepDomain StepID = "domain" // it is a domain to which a policy can belong
	StepRecord StepID = "record" // the TXT record
	StepHost   StepID = "host"   // the policy host: its address and connection
	StepTLS    StepID = "tls"    // its certificate
	StepAnswer StepID = "answer" // its answer
	StepFile   StepID = "file"   // the policy file
	StepMX     StepID = "mx"     // the MX hosts and the mx patterns
	StepProbe  StepID = "probe"  // STARTTLS with each MX host
	StepDANE   StepID = "dane"   // TLSA records
	StepReport StepID = "tlsrpt" // the record that asks for reports
	StepCached StepID = "cached" // what a sender has cached
)

// A Step is one step of the way of the mail.
type Step struct {
	ID    StepID `json:"id"`
	Title string `json:"title"`
	State State  `json:"state"`
	Text  string `json:"text"` // one sentence: what came of it, or why it was not tested
}

package diagnose

import (
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// Version is the version of the form of a [Report]. It grows when a field changes its
// meaning or goes away. New fields, codes, steps and states may come without that.
const Version = 1

// A Report is all that Diagnose has seen of one domain, what a sender makes of it, and
// what is wrong with it. It is plain data, and its JSON form is documented by the tags
// here: times are in RFC 3339 and UTC, lengths of time are whole seconds, and a list that
// is null was not examined, while an empty one was examined and is empty.
//
// Each string in it is printable ASCII of bounded length. What came from the network is
// escaped as in a Go string: é is \u00e9.
type Report struct {
	Version int       `json:"version"`
	Asked   string    `json:"asked"`  // what Diagnose was asked about
	Domain  string    `json:"domain"` // the policy domain as an A-label; empty if there is none
	Time    time.Time `json:"time"`   // when the diagnosis began
	Seconds float64   `json:"seconds"`

	Verdict  Verdict   `json:"verdict"`
	Steps    []Step    `json:"steps"`    // the way of the mail, in order
	Findings []Finding `json:"findings"` // worst first

	Record     Record     `json:"record"`
	PolicyHost PolicyHost `json:"policy_host"`
	Answer     *Answer    `json:"answer"` // of the policy host; nil if none came
	File       *File      `json:"file"`   // nil if none came, or the answer is not one
	MX         []MX       `json:"mx"`
	MXMore     int        `json:"mx_more"` // MX hosts that were left out
	MXError    string     `json:"mx_error"`
	TLSRPT     TLSRPT     `json:"tlsrpt"`
	Cached     *Cached    `json:"cached"` // what Options.Cached has
}

// A Record is the search for the TXT record (RFC 8461, Section 3.1).
type Record struct {
	Name    string   `json:"name"`    // _mta-sts.example.com
	Aliases []string `json:"aliases"` // the targets of the CNAMEs on the way; null: not known
	TXT     []TXT    `json:"txt"`     // all TXT records of the name
	More    int      `json:"more"`    // those that were left out
	Rule    string   `json:"rule"`    // why one was chosen, or none
	ID      string   `json:"id"`      // empty without a valid record
	Error   string   `json:"error"`
}

// A TXT is one TXT record.
type TXT struct {
	Text   string `json:"text"`
	Octets int    `json:"octets"` // of the record; Text may be cut
	Role   Role   `json:"role"`
	Flaws  string `json:"flaws"`  // of a near miss, or of an invalid record
	Column int    `json:"column"` // from 1, in Text, where an invalid record goes wrong; 0: not known
}

// A Role is what a TXT record is in the search.
type Role string

// The roles of a TXT record.
const (
	RoleChosen    Role = "chosen"    // the only candidate, and valid
	RoleInvalid   Role = "invalid"   // the only candidate, and malformed
	RoleCandidate Role = "candidate" // one of several, which are none
	RoleNearMiss  Role = "near-miss" // surely meant to be one
	RoleOther     Role = "other"     // it has another purpose
)

// A PolicyHost is the host of the policy file, up to its certificate (RFC 8461, Sections
// 3.2 and 3.3).
type PolicyHost struct {
	Name      string    `json:"name"` // mta-sts.example.com
	URL       string    `json:"url"`
	Aliases   []string  `json:"aliases"`
	Addresses []Address `json:"addresses"`
	Address   string    `json:"address"` // the one that answered, if that is known
	TLS       *TLS      `json:"tls"`     // nil if no session came about
	Result    string    `json:"result"`  // of RFC 8460, Section 4.3, if the file could not be had
	Reason    string    `json:"reason"`
	Error     string    `json:"error"`
}

// An Address is one address of a host.
type Address struct {
	Addr    string `json:"addr"`
	Refused string `json:"refused"` // why the address guard keeps a sender from it; empty: it does not
}

// A TLS is a TLS session and the judgement of it.
type TLS struct {
	Version     string        `json:"version"`      // "TLS 1.3"
	CipherSuite string        `json:"cipher_suite"` // "TLS_AES_128_GCM_SHA256"
	Group       string        `json:"group"`        // of the key exchange, "X25519"
	SNI         string        `json:"sni"`          // what was asked for
	Chain       []Certificate `json:"chain"`        // as presented, the host's own first
	Root        *Certificate  `json:"root"`         // at which the chain ends; nil if it is not trusted
	Valid       bool          `json:"valid"`        // for a sender under mode enforce
	Result      string        `json:"result"`       // of RFC 8460, Section 4.3
	Reason      string        `json:"reason"`
	Error       string        `json:"error"`
}

// A Certificate is one certificate of a chain.
type Certificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Names     []string  `json:"names"`      // its DNS SANs
	NamesMore int       `json:"names_more"` // those that were left out
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Key       string    `json:"key"` // "ECDSA P-256"
	Signature string    `json:"signature"`
	SHA256    string    `json:"sha256"` // of the certificate, in hexadecimal
}

// An Answer is what the policy host answered to the request for the file, and stays
// here when it is refused.
type Answer struct {
	Status    int     `json:"status"`
	Proto     string  `json:"proto"`
	MediaType string  `json:"media_type"`
	Header    []Field `json:"header"` // the fields that matter
	Octets    int     `json:"octets"` // of the body, as far as it was read
	Whole     bool    `json:"whole"`  // the body was read to its end
	// Body are the first lines of the body.
	Body        []string `json:"body"`
	LineEnds    string   `json:"line_ends"`
	Error       string   `json:"error"`        // why it is refused
	Browser     int      `json:"browser"`      // the status for a browser; 0: not tested
	BrowserType string   `json:"browser_type"` // its media type
}

// A Field is a field of a header.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A File is the policy file as it was understood (RFC 8461, Section 3.2).
type File struct {
	Valid  bool        `json:"valid"`
	Error  string      `json:"error"`
	Mode   mtasts.Mode `json:"mode"`
	MaxAge int64       `json:"max_age"` // seconds, after the cut to a year
	MX     []Pattern   `json:"mx"`      // at most 200
	Lines  []Line      `json:"lines"`
	More   int         `json:"more"` // lines that were left out
}

// A Pattern is an mx line of a policy.
type Pattern struct {
	Text string `json:"text"`
	Line int    `json:"line"`
	Odd  bool   `json:"odd"` // no host can match it
	// Hosts are the MX hosts of the domain that it matches.
	Hosts []string `json:"hosts"`
}

// A Line is one line of a policy file.
type Line struct {
	Number  int    `json:"number"` // from 1
	Text    string `json:"text"`   // without its line end
	Key     string `json:"key"`
	Value   string `json:"value"`
	Used    bool   `json:"used"`    // it has a say in what the sender does
	Why     string `json:"why"`     // it has none
	Invalid bool   `json:"invalid"` // it makes the whole file invalid
	Column  int    `json:"column"`  // from 1, in Text, where it goes wrong; 0: nowhere
}

// An MX is an MX host of the domain, in the order in which a sender tries them.
type MX struct {
	Host       string   `json:"host"`
	Preference uint16   `json:"preference"`
	Implicit   bool     `json:"implicit"` // the domain has no MX record and is its own MX host (RFC 5321, Section 5.1)
	Listed     Listing  `json:"listed"`
	Pattern    string   `json:"pattern"` // that matches
	Near       string   `json:"near"`    // that nearly does
	NearWhy    string   `json:"near_why"`
	Decision   Decision `json:"decision"`
	Result     string   `json:"result"` // of RFC 8460, Section 4.3, if it fails
	Reason     string   `json:"reason"`
	Probe      *Probe   `json:"probe"` // nil: not tested
	DANE       DANE     `json:"dane"`
}

// A Listing is whether a policy lists an MX host. It is empty without a policy.
type Listing string

// The listings.
const (
	Listed    Listing = "yes"
	NotListed Listing = "no"
)

// A Decision is what a sender does at an MX host.
type Decision string

// The decisions about an MX host.
const (
	Deliver  Decision = "deliver"  // the message goes there
	Hold     Decision = "hold"     // it does not, and waits if no other host takes it
	Untested Decision = "untested" // the policy lists the host, and nobody has tried its TLS
)

// A Probe is a session with an MX host, up to the point at which mail would begin.
type Probe struct {
	State     State     `json:"state"` // of the session
	Addresses []Address `json:"addresses"`
	Address   string    `json:"address"` // the one that answered
	STARTTLS  bool      `json:"starttls"`
	TLS       *TLS      `json:"tls"`
	Error     string    `json:"error"`

	// Classical is the outcome of a second session, after the first has failed in its
	// handshake: without the key exchange against quantum computers, whose hello does
	// not fit into one packet. Nil: not tested.
	Classical *TLS `json:"classical"`
}

// A DANE is whether an MX host has TLSA records (RFC 7672), before which MTA-STS takes
// second place (RFC 8461, Section 2).
type DANE struct {
	State         State    `json:"state"` // NotTested if the resolver cannot ask
	Name          string   `json:"name"`  // _25._tcp.mx.example.com
	Records       []string `json:"records"`
	Authenticated bool     `json:"authenticated"` // the resolver says that DNSSEC has confirmed them
	Error         string   `json:"error"`
}

// A TLSRPT is the record that asks for reports (RFC 8460, Section 3).
type TLSRPT struct {
	State     State    `json:"state"`
	Name      string   `json:"name"` // _smtp._tls.example.com
	Aliases   []string `json:"aliases"`
	Text      string   `json:"text"` // of the record
	RUA       []string `json:"rua"`
	Misplaced string   `json:"misplaced"` // a name that has one by mistake
	Error     string   `json:"error"`
}

// A Cached is a policy in a sender's cache, beside what is published now.
type Cached struct {
	Mode        mtasts.Mode `json:"mode"`
	ID          string      `json:"id"`
	MX          []string    `json:"mx"`
	Fetched     time.Time   `json:"fetched"`
	Expires     time.Time   `json:"expires"`
	Expired     bool        `json:"expired"`
	LastUse     time.Time   `json:"last_use"`     // zero: not known
	NextRefresh time.Time   `json:"next_refresh"` // zero: none is planned
	Failures    int         `json:"failures"`     // of refreshes, one after the other
	SameID      bool        `json:"same_id"`      // as in the record published now
	SameText    bool        `json:"same_text"`    // as in the file published now
	Lines       []string    `json:"lines"`        // its first lines
}

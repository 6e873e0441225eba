package sts

// A Fate is what [ParsePolicy] has made of a line.
type Fate int

// The fates of a line.
const (
	LineUsed           Fate = iota
	LineNotAField           // it has no colon
	LineUnknown             // it has a key that RFC 8461 does not know
	LineRepeated            // it has a key that came before, and is not mx
	LineMatchesNothing      // it is an mx value that no host can match
	LineVoidsPolicy         // its value makes the whole text no policy
)

// A Line is one line of a policy file, with what ParsePolicy has made of it. It holds
// untrusted text as it is. The Value of an mx that Policy.MX holds is in the form in which
// it stands there.
type Line struct {
	Text, Key, Value string
	Fate             Fate
}

// ExplainPolicy is [ParsePolicy] for whoever wants to know why: it also returns the lines,
// up to one that makes the text no policy.
func ExplainPolicy(text string) (Policy, []Line, error) {
	lines := []Line{}
	p, err := parsePolicy(text, &lines)
	return p, lines, err
}

// Candidates returns the indexes of the records among which [FindRecord] chooses. Loose
// means that there is white space before the first delimiter of them.
func Candidates(txts []string) (indexes []int, loose bool) {
	for _, fits := range []func(string) bool{isRecord, isLooseRecord} {
		for i, txt := range txts {
			if fits(txt) {
				indexes = append(indexes, i)
			}
		}
		if len(indexes) > 0 {
			return indexes, loose
		}
		loose = true
	}
	return nil, false
}

// NearMiss says what is wrong with a record that was meant to be an MTA-STS record and is
// not. It returns "" for a record with another purpose.
func NearMiss(txt string) string { return nearMiss(txt) }

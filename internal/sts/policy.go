package sts

import (
	"slices"
	"strings"
	"time"
)

// A Policy is what a policy file says (RFC 8461, Section 3.2).
type Policy struct {
	Mode Mode

	// MaxAge is how long the policy lives after its fetch, in whole seconds
	// from 0 to [MaxMaxAge]. 0 is valid: use it once, do not remember it.
	MaxAge time.Duration

	// MX holds the mx patterns in the order of the file, in lower case and
	// without a final dot. A value that can match no host, such as an IP
	// address, is kept for reports.
	MX []string

	// Odd counts the mx values that can match no host, kept or not.
	Odd int
}

// ParsePolicy parses the text of a policy file (RFC 8461, Section 3.2). Except
// for mx, the first of a repeated key counts. Unknown and malformed lines are
// skipped, whatever they hold. A [*SyntaxError] means that the text is no
// policy: it is larger than [MaxPolicySize], holds a NUL, lacks version, mode
// or max_age or has a value for them that the grammar does not know, or, where
// mode is not none, has no mx pattern that any host could match.
func ParsePolicy(text string) (Policy, error) {
	if len(text) > MaxPolicySize {
		return badPolicy("is larger than 64 KiB")
	}
	if strings.IndexByte(text, 0) >= 0 {
		return badPolicy("holds a NUL octet")
	}
	var (
		p                     Policy
		mx                    []string
		version, mode, maxAge bool // seen
		dropped               int  // mx values that are not kept
		inert                 int  // those of mx that can match no host
	)
	rest := strings.TrimPrefix(text, "\ufeff") // editors on Windows put it there
	for rest != "" {
		// RFC 8461, Section 3.2: sts-policy-term = LF / CRLF. Nothing else ends
		// a line, least of all what Unicode calls a line separator: it would
		// let an extension value smuggle a field in.
		line := rest
		if i := strings.IndexByte(rest, '\n'); i >= 0 {
			line, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		colon := 0
		for colon < len(line) && line[colon] != ':' {
			colon++
		}
		if colon == len(line) {
			continue
		}
		key, value := trim(line[:colon]), trim(line[colon+1:])

		// Section 3.2, last paragraph: all but the first of a repeated field
		// are ignored, so the value of a later one is not even looked at. Keys
		// and values are case-sensitive (%s in the grammar).
		switch key {
		case "version":
			if !version && value != "STSv1" {
				return badPolicy("has version " + quote(value) + "; only STSv1 is known")
			}
			version = true
		case "mode":
			if mode {
				continue
			}
			mode = true
			p.Mode = Mode(value)
			if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
				return badPolicy("has mode " + quote(value) + "; it must be enforce, testing or none")
			}
		case "max_age":
			if maxAge {
				continue
			}
			maxAge = true
			var ok bool
			if p.MaxAge, ok = parseMaxAge(value); !ok {
				return badPolicy("has max_age " + quote(value) + "; it must be 1 to 10 digits, in seconds")
			}
		case "mx":
			pattern := strings.TrimSuffix(value, ".")
			if !canMatch(pattern) { // but it may, in lower case
				if !isPrintable(pattern) {
					dropped++
					continue
				}
				if pattern = lower(pattern); !canMatch(pattern) {
					inert++
				}
			}
			if mx == nil {
				mx = make([]string, 0, patternsAhead(rest))
			}
			mx = append(mx, pattern)
		}
	}
	switch {
	case !version:
		// Most often this is another file: a page that says "not found".
		return badPolicy("has no version line; it begins " + quote(text))
	case !mode:
		return badPolicy("has no mode line")
	case !maxAge:
		return badPolicy("has no max_age line")
	case p.Mode != None && inert == len(mx):
		// To accept it would be to refuse every MX, and so to stop all mail.
		return badPolicy("has mode " + string(p.Mode) + " but no mx pattern that a host could match")
	}
	p.MX, p.Odd = fit(mx), dropped+inert
	return p, nil
}

func badPolicy(reason string) (Policy, error) {
	return Policy{}, &SyntaxError{Where: "policy", Reason: reason}
}

// parseMaxAge reads 1*10(DIGIT) seconds. What exceeds [MaxMaxAge] is cut to it;
// more than ten digits have no safe reading.
func parseMaxAge(s string) (time.Duration, bool) {
	if s == "" || len(s) > 10 {
		return 0, false
	}
	var seconds uint64
	for i := range len(s) {
		if s[i] < '0' || '9' < s[i] {
			return 0, false
		}
		seconds = 10*seconds + uint64(s[i]-'0')
	}
	return time.Duration(min(seconds, uint64(MaxMaxAge/time.Second))) * time.Second, true
}

// canMatch reports whether any host can match pattern as it is spelled, in lower
// case. An IP address, "*", "a.*.b" or a label of 64 octets cannot be matched, for
// they are no names.
func canMatch(pattern string) bool {
	return scan(strings.TrimPrefix(pattern, "*.")) == 0 && len(pattern) <= maxName
}

// isPrintable reports whether an mx value is worth keeping for reports, even if it
// can match no host: it is not if it is empty, longer than any name, or not
// printable ASCII, such as a U-label (Section 3.2: the value MUST be the A-label).
func isPrintable(value string) bool {
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return value != "" && len(value) <= maxPattern
}

// maxPattern bounds the mx values that are kept, in octets.
const maxPattern = 255

// trim removes white space and stray carriage returns, and nothing else: what
// Unicode calls space stays, and makes a value differ.
func trim(s string) string {
	start, end := 0, len(s)
	for start < end && isBlank(s[start]) {
		start++
	}
	for start < end && isBlank(s[end-1]) {
		end--
	}
	return s[start:end]
}

func isBlank(c byte) bool { return c <= ' ' && (c == ' ' || c == '\t' || c == '\r') }

// patternsAhead guesses how many patterns a policy has when its first has just
// been read and rest follows. The bound keeps a file of blank lines cheap.
func patternsAhead(rest string) int {
	return min(strings.Count(rest, "\n")+1, 128)
}

// fit gives back memory that a wrong guess has taken: policies live long.
func fit(patterns []string) []string {
	if cap(patterns) > len(patterns)+8 {
		return slices.Clone(patterns)
	}
	return patterns
}

package sts

import (
	"slices"
	"strings"
	"time"
)

// A Policy is the content of a policy file (RFC 8461, Section 3.2).
type Policy struct {
	Mode Mode

	// MaxAge is the lifetime of the policy after its fetch, in whole seconds from
	// 0 to [MaxMaxAge]. 0 is valid: use the policy once and do not cache it.
	MaxAge time.Duration

	// MX holds the mx patterns in the order of the file, in lower case and without
	// a final dot. A value that can match no host, such as an IP address, is kept
	// for reports.
	MX []string

	// Odd counts the mx values that can match no host, whether MX holds them or
	// not.
	Odd int
}

// ParsePolicy parses the text of a policy file (RFC 8461, Section 3.2). Where a key
// is repeated, the first counts, except for mx. Unknown and malformed lines are
// skipped. ParsePolicy returns a [*SyntaxError] for a text that
//   - is larger than [MaxPolicySize] or holds a NUL,
//   - has no version, mode or max_age, or an invalid value for one of them,
//   - has a mode other than none and no mx pattern that a host could match.
func ParsePolicy(text string) (Policy, error) { return parsePolicy(text, nil) }

// parsePolicy is ParsePolicy, and appends each line up to one that voids the policy to
// lines, unless that is nil.
func parsePolicy(text string, lines *[]Line) (Policy, error) {
	if len(text) > MaxPolicySize {
		return badPolicy("is larger than 64 KiB")
	}
	if strings.IndexByte(text, 0) >= 0 {
		return badPolicy("holds a NUL octet")
	}
	var (
		p               Policy
		version, maxAge bool // seen
		inert           int  // mx values in MX that can match no host
	)
	rest := strings.TrimPrefix(text, "\ufeff") // the BOM of editors on Windows
	for rest != "" {
		// RFC 8461, Section 3.2: sts-policy-term = LF / CRLF. What Unicode calls a
		// line separator ends no line: an extension value could smuggle a field in.
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		colon := 0 // few octets away, where a loop is faster than IndexByte
		for colon < len(line) && line[colon] != ':' {
			colon++
		}
		key, value, found := line[:colon], "", colon < len(line)
		if found {
			value = trim(line[colon+1:])
		}
		key = trim(key)

		// Section 3.2, last paragraph: all but the first of a repeated field are
		// ignored, even if malformed. Keys and values are case-sensitive (%s in
		// the grammar).
		fate, fault := LineUsed, ""
		switch {
		case !found:
			key, fate = "", LineNotAField
		case key == "version" && version, key == "mode" && p.Mode != "", key == "max_age" && maxAge:
			fate = LineRepeated
		case key == "version":
			version = true
			if value != "STSv1" {
				fault = "has version " + quote(value) + "; only STSv1 is known"
			}
		case key == "mode":
			p.Mode = Mode(value)
			if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
				fault = "has mode " + quote(value) + "; it must be enforce, testing or none"
			}
		case key == "max_age":
			var ok bool
			if p.MaxAge, ok = parseMaxAge(value); !ok {
				fault = "has max_age " + quote(value) + "; it must be 1 to 10 digits, in seconds"
			}
			maxAge = true
		case key == "mx":
			pattern := strings.TrimSuffix(value, ".")
			if !canMatch(pattern) {
				if !isReportable(pattern) {
					fate = LineMatchesNothing
					p.Odd++
					break
				}
				if pattern = lower(pattern); !canMatch(pattern) {
					fate = LineMatchesNothing
					inert++
					p.Odd++
				}
			}
			if p.MX == nil {
				// Most lines that follow are patterns too. The bound keeps a file
				// of blank lines cheap.
				p.MX = make([]string, 0, min(strings.Count(rest, "\n")+1, 128))
			}
			p.MX = append(p.MX, pattern)
			value = pattern
		default:
			fate = LineUnknown
		}
		if fault != "" {
			fate = LineVoidsPolicy
		}
		if lines != nil {
			*lines = append(*lines, Line{line, key, value, fate})
		}
		if fault != "" {
			return badPolicy(fault)
		}
	}
	switch {
	case !version:
		// Most often this is another file: a page that says "not found".
		return badPolicy("has no version line; it begins " + quote(text))
	case p.Mode == "":
		return badPolicy("has no mode line")
	case !maxAge:
		return badPolicy("has no max_age line")
	case p.Mode != None && inert == len(p.MX):
		// To accept it would be to refuse every MX, and so to stop all mail.
		return badPolicy("has mode " + string(p.Mode) + " but no mx pattern that a host could match")
	}
	if cap(p.MX) > len(p.MX)+8 {
		p.MX = slices.Clone(p.MX) // policies are cached for long: release the excess
	}
	return p, nil
}

func badPolicy(reason string) (Policy, error) {
	return Policy{}, &SyntaxError{Where: "policy", Reason: reason}
}

// parseMaxAge parses 1*10(DIGIT) seconds and reduces them to [MaxMaxAge].
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

// canMatch reports whether a host can match pattern, which must be in lower case. An
// IP address, "*", "a.*.b" or a label of 64 octets matches no host.
func canMatch(pattern string) bool {
	return scan(strings.TrimPrefix(pattern, "*.")) == 0 && len(pattern) <= maxName
}

// maxPattern is the length of the longest mx value that MX holds, in octets.
const maxPattern = 255

// isReportable reports whether an mx value that can match no host is kept for
// reports. It must be printable ASCII of limited length. A U-label is not (Section
// 3.2: the value MUST be the A-label).
func isReportable(value string) bool {
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return value != "" && len(value) <= maxPattern
}

// trim removes spaces, tabs and stray carriage returns. Other white space of Unicode
// is part of a value, and makes it invalid. [strings.Trim] takes twice as long.
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

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

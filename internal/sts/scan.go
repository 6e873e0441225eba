package sts

// findings are what scan finds in a name.
type findings uint8

const (
	upper    findings = 1 << iota // has letters A to Z
	notASCII                      // must first be converted to A-labels
	malformed

	noName = notASCII | malformed
)

// scan checks a name without its final dot: labels of 1 to 63 letters, digits, hyphens
// and underscores that neither begin nor end in a hyphen. It returns 0 for a name that
// is in the form of comparison. At the first octet that makes it no name, it returns
// that one finding.
//
// Every name of every message passes here, and every mx value. So the loop does least
// for a letter or a digit, and checks a label as a whole where it ends.
func scan(name string) findings {
	// The bound is beyond the U-label form of any name. Conversion to A-labels
	// takes quadratic time.
	if len(name) == 0 || len(name) > 4*maxName {
		return malformed
	}
	var (
		found findings
		start int // of the label
	)
	for i := 0; i < len(name); i++ {
		c := name[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			continue
		}
		switch {
		case c == '.':
			if !isLabel(i - start) {
				return malformed
			}
			start = i + 1
		case 'A' <= c && c <= 'Z':
			found |= upper
		default:
			if wrong := special(name, start, i); wrong != 0 {
				return wrong
			}
		}
	}
	if !isLabel(len(name)-start) || len(name) > maxName {
		return malformed
	}
	for i := len(name) - 1; '0' <= name[i] && name[i] <= '9'; i-- {
		if i == start {
			return malformed // ends in a number, as an IPv4 address does
		}
	}
	return found
}

// special checks an octet other than a letter, digit or full stop, in a label that
// begins at start. Hyphens in the third and fourth place, or an "xn--" that cannot be
// decoded, are accepted: RFC 5321, Section 4.1.2 makes no exception for them.
func special(name string, start, i int) findings {
	switch c := name[i]; {
	case c == '_':
		return 0
	case c == '-' && i > start && i+1 < len(name) && name[i+1] != '.':
		return 0
	case c >= 0x80:
		return notASCII
	}
	return malformed
}

// isLabel reports whether a label may have n octets.
func isLabel(n int) bool { return 1 <= n && n <= 63 }

// lower folds the letters A to Z and nothing else. strings.ToLower also folds U+0130
// and the like, which would change what a name means.
func lower(s string) string {
	b := append(make([]byte, 0, maxPattern), s...) // on the stack
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

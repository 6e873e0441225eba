package sts

// findings are what scan has found in a name.
type findings uint8

const (
	upper    findings = 1 << iota // has letters A to Z
	numeric                       // ends in a number, as an IPv4 address does
	notASCII                      // no name before its conversion to A-labels
	malformed

	noName = numeric | notASCII | malformed
)

// scan judges a name written without its final dot: labels of 1 to 63 letters,
// digits, hyphens and underscores that neither begin nor end in a hyphen. Nothing
// is found in a name that is in the form of comparison. Of what makes it no name,
// one finding is returned, alone: of its octets, the first that is wrong counts.
//
// Every name goes through here, for each message and for each mx value, so the
// loop does next to nothing for a letter or digit: what concerns a whole label is
// looked at where the label ends. It is small because it is then a third faster.
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
			return numeric
		}
	}
	return found
}

// special judges an octet that is no letter, no digit and no full stop, in a label
// that begins at start. No label is refused for hyphens in its third and fourth place,
// or for an "xn--" that decodes to nothing: to the DNS and to RFC 5321, Section 4.1.2
// it is a label as any other.
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

// lower folds the letters A to Z and nothing else. strings.ToLower would fold
// U+0130 and its like, and change what a stranger's name means.
func lower(s string) string {
	b := append(make([]byte, 0, maxPattern), s...) // on the stack
	lowerBytes(b)
	return string(b)
}

func lowerBytes(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}

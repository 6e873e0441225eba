package sts

import "strings"

// recordVersion is sts-version of RFC 8461, Section 3.1.
const recordVersion = "v=STSv1"

// A Record is the TXT record of a policy domain (RFC 8461, Section 3.1).
type Record struct {
	// ID identifies an instance of the policy: 1 to 32 letters and digits. Two
	// ids can only be compared for equality; there is no order among them.
	ID string
}

// FindRecord picks the one MTA-STS record among the TXT records of a name, each
// with its character-strings already joined, and parses it. It returns
// [ErrNoRecord], [ErrManyRecords] or a [*SyntaxError]; each of them means that
// the domain publishes no usable record.
func FindRecord(txts []string) (Record, error) {
	// RFC 8461, Section 3.1: records that do not begin with "v=STSv1;" are
	// discarded, then exactly one must be left.
	one, n := pick(txts, isRecord)
	if n == 0 {
		// The grammar lets white space stand before the delimiter, the prose
		// does not (erratum 6285). The prose decides among several records; a
		// record that stands alone is taken as it was surely meant.
		one, n = pick(txts, isLooseRecord)
	}
	switch n {
	case 0:
		return Record{}, ErrNoRecord
	case 1:
		return ParseRecord(one)
	default:
		return Record{}, ErrManyRecords
	}
}

// pick returns how many of txts is fits, and the last of them.
func pick(txts []string, fits func(string) bool) (txt string, n int) {
	for _, t := range txts {
		if fits(t) {
			txt = t
			n++
		}
	}
	return txt, n
}

func isRecord(txt string) bool { return strings.HasPrefix(txt, recordVersion+";") }

func isLooseRecord(txt string) bool {
	rest, ok := strings.CutPrefix(txt, recordVersion)
	return ok && strings.HasPrefix(strings.TrimLeft(rest, wsp), ";")
}

// ParseRecord parses one TXT record by the grammar of RFC 8461, Section 3.1.
// The first of a repeated field counts; later ones are skipped whatever they
// hold (Section 3.2, last paragraph, which speaks of records too). Any other
// departure from the grammar is a [*SyntaxError].
func ParseRecord(txt string) (Record, error) {
	rest, ok := strings.CutPrefix(txt, recordVersion)
	if !ok {
		return badRecord(`does not begin with "v=STSv1"`, txt)
	}
	var id string
	var seen map[string]bool // extension names; made only when one is malformed
	for rest != "" {
		// sts-field-delim = *WSP ";" *WSP
		rest = strings.TrimLeft(rest, wsp)
		if rest == "" || rest[0] != ';' {
			return badRecord(`wants ";" before`, rest)
		}
		rest = strings.TrimLeft(rest[1:], wsp)
		if rest == "" {
			break // the final delimiter is optional
		}

		n := nameLen(rest)
		if n == 0 || n == len(rest) || rest[n] != '=' {
			return badRecord("wants a field name=value at", rest)
		}
		name, value := rest[:n], rest[n+1:]
		size := valueLen(value)
		wellFormed := size > 0 && endsField(value[size:])

		switch {
		case name == "v" || name == "id" && id != "":
			size = skipField(value)
		case name == "id":
			if !wellFormed || !isID(value[:size]) {
				return badRecord("wants an id of 1 to 32 letters and digits at", rest)
			}
			id = value[:size]
		case !wellFormed:
			if seen == nil {
				seen = fieldNames(txt[:len(txt)-len(rest)])
			}
			if !seen[name] {
				return badRecord("has a malformed value at", rest)
			}
			size = skipField(value)
		case seen != nil:
			seen[name] = true
		}
		rest = value[size:]
	}
	if id == "" {
		return badRecord("has no id", txt)
	}
	return Record{ID: id}, nil
}

func badRecord(reason, at string) (Record, error) {
	return Record{}, &SyntaxError{Where: "TXT record", Reason: reason + " " + quote(at)}
}

const wsp = " \t"

// nameLen is the length of the sts-ext-name with which s begins, 0 for none:
// a letter or digit, then at most 31 letters, digits, "_", "-" and ".".
func nameLen(s string) int {
	for i := 0; i < len(s) && i < 32; i++ {
		if c := s[i]; !isAlnum(c) && (i == 0 || c != '_' && c != '-' && c != '.') {
			return i
		}
	}
	return min(len(s), 32)
}

// valueLen is the length of the sts-ext-value with which s begins: printable
// ASCII except "=", ";" and space.
func valueLen(s string) int {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '=' || c == ';' {
			return i
		}
	}
	return len(s)
}

// endsField reports whether a field may end before rest: at the end of the record
// or at a sts-field-delim.
func endsField(rest string) bool {
	return rest == "" || strings.HasPrefix(strings.TrimLeft(rest, wsp), ";")
}

// skipField is the length of what stands before the next sts-field-delim.
func skipField(s string) int {
	field, _, _ := strings.Cut(s, ";")
	return len(strings.TrimRight(field, wsp))
}

// fieldNames collects the names of the fields in a part of a record that has
// been parsed already.
func fieldNames(parsed string) map[string]bool {
	names := make(map[string]bool)
	for field := range strings.SplitSeq(parsed, ";") {
		name, _, _ := strings.Cut(strings.Trim(field, wsp), "=")
		names[name] = true
	}
	return names
}

func isID(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 32
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

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

// FindRecord selects the one MTA-STS record among the TXT records of a name and
// parses it. The character-strings of each record must already be joined.
//
// The error wraps [ErrNoRecord], or is [ErrManyRecords] or a [*SyntaxError]. Each of
// them means that the domain publishes no usable record.
func FindRecord(txts []string) (Record, error) {
	// RFC 8461, Section 3.1: records that do not begin with "v=STSv1;" are
	// discarded, then exactly one must be left.
	one, n := pick(txts, isRecord)
	if n == 0 {
		// The grammar allows white space before the delimiter, the prose does not
		// (erratum 6285). The prose decides among several records; a single record
		// is accepted.
		one, n = pick(txts, isLooseRecord)
	}
	switch n {
	case 0:
		return Record{}, noRecord(txts)
	case 1:
		return ParseRecord(one)
	default:
		return Record{}, ErrManyRecords
	}
}

// pick returns how many of txts fit, and the last of them.
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
// The first of a repeated field counts. Later ones are skipped, even if malformed
// (Section 3.2, last paragraph, which covers records too). Any other violation of the
// grammar is a [*SyntaxError].
func ParseRecord(txt string) (Record, error) {
	if !strings.HasPrefix(txt, recordVersion) {
		return badRecord(`does not begin with "v=STSv1"`, txt, 0)
	}
	var id string
	var seen map[string]bool // extensions; made only when one is malformed
	for i := len(recordVersion); i < len(txt); {
		// sts-field-delim = *WSP ";" *WSP
		if i = skipWSP(txt, i); i == len(txt) || txt[i] != ';' {
			return badRecord(`needs ";" before`, txt, i)
		}
		if i = skipWSP(txt, i+1); i == len(txt) {
			break // the final delimiter is optional
		}

		field := i
		i = nameEnd(txt, i)
		if i == field || i-field > 32 || i == len(txt) || txt[i] != '=' {
			return badRecord("needs a field name=value at", txt, field)
		}
		name := txt[field:i]
		i++
		switch value := i; {
		case name == "v" || name == "id" && id != "":
			i = skipField(txt, i)
		case name == "id":
			i = idEnd(txt, i)
			if i == value || i-value > 32 || !endsField(txt, i) {
				return badRecord("needs an id of 1 to 32 letters and digits at", txt, field)
			}
			id = txt[value:i]
		default:
			i = valueEnd(txt, i)
			if i == value || !endsField(txt, i) {
				if seen == nil {
					seen = fieldNames(txt[:field])
				}
				if !seen[name] {
					return badRecord("has a malformed value at", txt, field)
				}
				i = skipField(txt, value)
			}
			if seen != nil {
				seen[name] = true
			}
		}
	}
	if id == "" {
		return badRecord("has no id", txt, 0)
	}
	return Record{ID: id}, nil
}

func badRecord(reason, txt string, at int) (Record, error) {
	return Record{}, &SyntaxError{Where: "TXT record", Reason: reason + " " + quote(txt[at:]), At: at}
}

const wsp = " \t"

// skipWSP returns where the white space at i ends.
func skipWSP(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
		i++
	}
	return i
}

// nameEnd returns where the sts-ext-name at i ends: a letter or digit, then letters,
// digits, "_", "-" and ".". The caller checks its length.
func nameEnd(s string, i int) int {
	start := i
	for i < len(s) && (isAlnum(s[i]) || i > start && (s[i] == '_' || s[i] == '-' || s[i] == '.')) {
		i++
	}
	return i
}

// idEnd returns where the sts-id at i ends. The caller checks its length.
func idEnd(s string, i int) int {
	for i < len(s) && isAlnum(s[i]) {
		i++
	}
	return i
}

// valueEnd returns where the sts-ext-value at i ends: printable ASCII except "=",
// ";" and space.
func valueEnd(s string, i int) int {
	for i < len(s) && s[i] > ' ' && s[i] < 0x7f && s[i] != '=' && s[i] != ';' {
		i++
	}
	return i
}

// endsField reports whether a field may end at i: the record ends there, or a
// sts-field-delim begins.
func endsField(s string, i int) bool {
	if i == len(s) || s[i] == ';' {
		return true
	}
	i = skipWSP(s, i)
	return i < len(s) && s[i] == ';'
}

// skipField returns where the field at i ends, valid or not.
func skipField(s string, i int) int {
	field, _, _ := strings.Cut(s[i:], ";")
	return i + len(strings.TrimRight(field, wsp))
}

// fieldNames returns the names of the fields in the part of a record that has been
// parsed already.
func fieldNames(parsed string) map[string]bool {
	names := make(map[string]bool)
	for field := range strings.SplitSeq(parsed, ";") {
		name, _, _ := strings.Cut(strings.Trim(field, wsp), "=")
		names[name] = true
	}
	return names
}

func isAlnum(c byte) bool {
	return c-'0' < 10 || c|0x20-'a' < 26 // c|0x20 is the letter c in lower case
}

package diagnose

import (
	"strconv"
	"strings"
	"time"
)

// The bounds of what a report holds of the network's text and lists.
const (
	maxText    = 512 // octets of one text, escaped
	maxBody    = 2048
	maxTXT     = 20
	maxAliases = 16
	maxAddrs   = 16
	maxNames   = 20 // SANs of a host's certificate
	maxOthers  = 5  // SANs of another certificate of a chain, which has none as a rule
	maxChain   = 6
	maxMX      = 20 // MX hosts that are examined
	maxLines   = 200
	maxFields  = 20
)

// escape makes text from the network printable ASCII of about most octets at most.
func escape(s string, most int) string {
	var b strings.Builder
	for i, r := range s {
		if b.Len() >= most {
			b.WriteString("...")
			break
		}
		if ' ' <= r && r <= '~' {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		if r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD") {
			quoted = strconv.QuoteToASCII(s[i : i+1]) // an octet that is no UTF-8
		}
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// clean is escape for a text of usual length.
func clean(s string) string { return escape(s, maxText) }

// lines are the first lines of a file, without their ends.
func lines(text string) []string {
	const most = 50
	list := []string{}
	for line := range strings.Lines(text[:min(len(text), maxBody)]) {
		if len(list) < most {
			list = append(list, clean(strings.TrimRight(line, "\r\n")))
		}
	}
	return list
}

// column is where the octet at of s stands in escape(s), from 1.
func column(s string, at int) int {
	if at < 0 || at > min(len(s), maxText) {
		return 0
	}
	before := len(escape(s[:at], 10*maxText)) // an octet is ten at most
	if before > maxText {
		return 0
	}
	return before + 1
}

// cleanAll escapes the first most of list. It returns nil for nil alone.
func cleanAll(list []string, most int) []string {
	if list == nil {
		return nil
	}
	out := make([]string, 0, min(len(list), most))
	for _, s := range list[:min(len(list), most)] {
		out = append(out, clean(s))
	}
	return out
}

// errorText is the text of an error, "" for nil.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return clean(err.Error())
}

// and writes a list as a sentence does, at most five of it.
func and(list []string) string { return andMore(list, 0) }

// andMore is and for a list of which left are left out.
func andMore(list []string, left int) string {
	const most = 5
	switch n := len(list) + left; {
	case n == 0:
		return "none"
	case n == 1:
		return list[0]
	case n > most:
		return strings.Join(list[:most], ", ") + " and " + strconv.Itoa(n-most) + " more"
	default:
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }

// plural is "1 day" or "3 days".
func plural(n int64, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.FormatInt(n, 10) + " " + unit + "s"
}

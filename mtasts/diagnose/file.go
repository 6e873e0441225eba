package diagnose

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/mtasts"
)

// explain parses the policy file (RFC 8461, Section 3.2), and describes each line.
func (d *diagnosis) explain() {
	policy, lines, err := sts.ExplainPolicy(d.body)
	d.policy, d.lines, d.fileErr = policy, lines, err
	f := &File{Valid: err == nil, Error: errorText(err), Mode: mtasts.Mode(policy.Mode),
		MaxAge: int64(policy.MaxAge / time.Second), MX: []Pattern{}, Lines: []Line{},
		More: max(0, strings.Count(strings.TrimSuffix(d.body, "\n"), "\n")+1-min(len(lines), maxLines))}
	for i, line := range lines[:min(len(lines), maxLines)] {
		l := describeLine(line, err)
		l.Number = i + 1
		f.Lines = append(f.Lines, l)
		if line.Key == "mx" && line.Fate != sts.LineVoidsPolicy {
			f.MX = append(f.MX, Pattern{Text: l.Value, Line: l.Number, Odd: line.Fate == sts.LineMatchesNothing, Hosts: []string{}})
		}
	}
	d.r.File = f
}

// ignored says why a line with a certain fate has no effect.
var ignored = map[sts.Fate]string{
	sts.LineNotAField: "it has no colon, so that it is no field",
	sts.LineUnknown:   "its name is none that RFC 8461 knows",
	sts.LineRepeated:  "the first line with this name counts",
}

func describeLine(line sts.Line, err error) Line {
	text := strings.TrimRight(line.Text, "\r")
	l := Line{Text: clean(text), Key: clean(line.Key), Value: clean(line.Value),
		Used: line.Fate == sts.LineUsed, Invalid: line.Fate == sts.LineVoidsPolicy, Why: ignored[line.Fate]}
	value := strings.Index(text, ":") + 1
	value += len(text[value:]) - len(strings.TrimLeft(text[value:], " \t\r"))
	switch syntax, _ := errors.AsType[*sts.SyntaxError](err); {
	case l.Used:
	case strings.TrimSpace(text) == "":
		l.Why = "it is blank"
	case strings.HasPrefix(strings.TrimSpace(text), "#"):
		l.Why, l.Column = "it is a comment, which a policy cannot have", 1
	case line.Fate == sts.LineMatchesNothing:
		l.Why, l.Column = oddWhy(line.Value), column(text, value)
	case l.Invalid:
		l.Why, l.Column = "the file "+syntax.Reason, column(text, value)
	default:
		l.Column = 1
	}
	return l
}

// oddWhy says why no host can match an mx value.
func oddWhy(value string) string {
	_, err := netip.ParseAddr(strings.Trim(value, "[]"))
	switch base := strings.TrimPrefix(value, "*."); {
	case value == "":
		return "it is empty"
	case strings.ContainsAny(value, " \t,"):
		return "it has more than one word, and each host needs a line of its own"
	case strings.Contains(value, "://"):
		return "it is a URL"
	case strings.Contains(value, "@"):
		return "it is a mail address"
	case strings.Contains(base, "*"):
		return "an asterisk may only stand for the whole first label, as in *.example.com"
	case strings.ContainsFunc(value, func(r rune) bool { return r > '~' }):
		return "it has characters outside ASCII, in place of the A-label that begins with xn--"
	case err == nil:
		return "it is an IP address, and not the name of a host"
	}
	return "it is no host name"
}

// fieldNames are the fields by what they are misspelt as, without case and hyphens.
var fieldNames = map[string]string{"version": "version", "v": "version", "mode": "mode", "mx": "mx", "mxs": "mx", "mxhost": "mx", "maxage": "max_age"}

// meant returns the field that a misspelt name was meant to be, if that is clear.
func meant(key string) string {
	folded := strings.NewReplacer("-", "", "_", "", " ", "", "\t", "", "\ufeff", "", "\u00a0", "").Replace(strings.ToLower(key))
	return fieldNames[folded]
}

func (d *diagnosis) judgeFile() {
	f := d.r.File
	if f == nil || !d.expected() {
		return
	}
	if isHTML(d.body) {
		d.addHTML()
		return
	}
	for _, line := range f.Lines {
		d.judgeLine(line)
	}
	if !f.Valid {
		d.judgeInvalid()
		return
	}
	const day, week = 24 * 3600, 7 * 24 * 3600
	seconds := strconv.FormatInt(f.MaxAge, 10)
	switch {
	case f.Mode == mtasts.ModeNone: // it only has to outlast the policy before it
	case f.MaxAge < day:
		d.add("max-age-short", "", args{"seconds": seconds}).publish("max_age: 604800")
	case f.MaxAge < week:
		d.add("max-age-week", "", args{"seconds": seconds}).publish("max_age: 604800")
	}
	switch f.Mode {
	case mtasts.ModeTesting:
		d.add("mode-testing", "", args{"since": d.since()}).publish("mode: enforce")
	case mtasts.ModeNone:
		d.add("mode-none", "", nil)
	}
}

func (d *diagnosis) judgeLine(line Line) {
	a := args{"line": strconv.Itoa(line.Number), "key": line.Key, "value": line.Value, "why": line.Why}
	subject := "line " + a["line"]
	var f *Finding
	switch field := meant(line.Key); {
	case line.Used || line.Invalid || strings.TrimSpace(line.Text) == "":
		return
	case line.Key == "mx":
		f = d.add("mx-pattern-odd", subject, a)
		hosts := strings.Fields(strings.ReplaceAll(d.lines[line.Number-1].Value, ",", " "))
		for _, host := range hosts[:min(len(hosts), maxMX)] {
			star, base := "", strings.TrimPrefix(host, "*.")
			if base != host {
				star = "*."
			}
			if name, err := sts.Name(base); err == nil {
				f.publish("mx: " + star + name)
			}
		}
	case line.Key == field && field != "":
		f = d.add("file-repeated", subject, a)
	case field != "":
		a["meant"] = field
		f = d.add("file-key-misspelt", subject, a).publish(field + ": " + line.Value)
	default:
		f = d.add("file-line-ignored", subject, a)
	}
	f.show(subject, line.Text, line.Column)
}

// judgeInvalid is for a file that is no policy.
func (d *diagnosis) judgeInvalid() {
	syntax, _ := errors.AsType[*sts.SyntaxError](d.fileErr)
	f := d.add("file-invalid", "", args{"error": syntax.Reason})
	bad, used := "", make(map[string]bool)
	for _, line := range d.r.File.Lines {
		used[line.Key] = used[line.Key] || line.Used
		if line.Invalid {
			bad = line.Key
			f.show(fmt.Sprintf("line %d", line.Number), line.Text, line.Column)
		}
	}
	for _, line := range d.newFile() {
		if key, _, _ := strings.Cut(line, ":"); !used[key] && (bad == "" || key == bad) {
			f.publish(line)
		}
	}
}

// newFile is a policy file to publish.
func (d *diagnosis) newFile() []string {
	file := []string{"version: STSv1", "mode: testing", "max_age: 604800"}
	for _, s := range d.sessions {
		if s.name != "" {
			file = append(file, "mx: "+s.name)
		}
	}
	return file
}

// since says for how long the mode may have been what it is, as far as that can be seen
// from outside.
func (d *diagnosis) since() string {
	id, what := d.r.Record.ID, "the id says that it has not changed since "
	changed, err := time.Parse("20060102", id[:min(len(id), 8)])
	if err != nil && d.trace.Response != nil {
		what = "the file has not changed since "
		changed, err = time.Parse(time.RFC1123, d.trace.Response.Header.Get("Last-Modified"))
	}
	if c := d.opts.Cached; err != nil && c != nil && c.Policy != nil && c.Policy.Mode == mtasts.ModeTesting {
		what, changed, err = "it was so in the cache on ", c.Policy.Fetched, nil
	}
	days := int64(d.r.Time.Sub(changed) / (24 * time.Hour))
	if err != nil || days < 1 || days > 20*365 {
		return ""
	}
	return fmt.Sprintf("; %s%s, %s ago", what, changed.Format(time.DateOnly), plural(days, "day"))
}

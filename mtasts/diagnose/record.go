package diagnose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/mtasts/go-mtasts/internal/sts"
)

func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

// findRecord finds the TXT record (RFC 8461, Section 3.1), or else where it may have gone.
func (d *diagnosis) findRecord(ctx context.Context) {
	r := &d.r.Record
	r.Name = sts.RecordLabel + d.r.Domain
	txts, err := d.opts.txt(ctx, r.Name)
	if err == nil {
		var record sts.Record
		record, err = sts.FindRecord(txts)
		r.ID = strings.Clone(record.ID)
		d.describe(txts, err)
	}
	d.recordErr = err
	r.Error = errorText(err)
	r.Aliases = d.opts.aliases(ctx, r.Name)
	if errors.Is(err, sts.ErrNoRecord) {
		d.search(ctx)
	}
}

// describe says which of the TXT records was chosen, and why.
func (d *diagnosis) describe(txts []string, err error) {
	r := &d.r.Record
	candidates, loose := sts.Candidates(txts)
	d.loose = loose
	r.TXT, r.More = []TXT{}, max(0, len(txts)-maxTXT)
	for i, text := range txts[:min(len(txts), maxTXT)] {
		txt := TXT{Text: clean(text), Octets: len(text), Role: RoleOther}
		syntax, malformed := errors.AsType[*sts.SyntaxError](err)
		switch {
		case !slices.Contains(candidates, i):
			if txt.Flaws = sts.NearMiss(text); txt.Flaws != "" {
				txt.Role = RoleNearMiss
			}
		case len(candidates) > 1:
			txt.Role = RoleCandidate
		case malformed:
			txt.Role, txt.Flaws, txt.Column = RoleInvalid, syntax.Reason, column(text, syntax.At)
		default:
			txt.Role = RoleChosen
		}
		r.TXT = append(r.TXT, txt)
	}
	r.Rule = cmp.Or(errorText(err), "exactly one TXT record begins with v=STSv1;")
	if err == nil && loose {
		r.Rule = "one TXT record begins with v=STSv1, white space and a semicolon, and none without the white space"
	}
}

// search finds out where a record may have been put by mistake: under other names, and at the
// parents of the domain, from where it does not apply (RFC 8461, Section 3.4).
func (d *diagnosis) search(ctx context.Context) {
	domain := d.r.Domain
	names := []string{
		"_mta_sts." + domain,
		"_mtasts." + domain,
		sts.PolicyLabel + domain,
		sts.RecordLabel + domain + "." + domain, // by a zone editor that adds the domain
		domain,
	}
	wrong := len(names)
	const most = 3
	for range most {
		_, parent, ok := strings.Cut(domain, ".")
		if !ok || !strings.Contains(parent, ".") {
			break
		}
		names = append(names, sts.RecordLabel+parent)
		domain = parent
	}
	found := make([]bool, len(names))
	var lookups sync.WaitGroup
	for i, name := range names {
		lookups.Go(func() {
			txts, _ := d.opts.txt(ctx, name)
			candidates, _ := sts.Candidates(txts)
			found[i] = len(candidates) > 0
		})
	}
	lookups.Wait()
	if i := slices.Index(found[:wrong], true); i >= 0 {
		d.elsewhere = names[i]
	}
	if i := slices.Index(found[wrong:], true); i >= 0 {
		d.parent = names[wrong+i]
	}
}

// newRecord is a record to publish. Without an id, it has the time for a new one.
func (d *diagnosis) newRecord(id string) string {
	return fmt.Sprintf(`%s. IN TXT "v=STSv1; id=%s;"`, d.r.Record.Name, cmp.Or(id, d.r.Time.Format("20060102150405")))
}

func (d *diagnosis) judgeRecord() {
	r := &d.r.Record
	a, id := args{"name": r.Name, "error": r.Error}, ""
	syntax, malformed := errors.AsType[*sts.SyntaxError](d.recordErr)
	var code Code
	switch err := d.recordErr; {
	case err == nil && !d.loose:
		return
	case err == nil:
		code, id = "record-loose-delimiter", r.ID
	case errors.Is(err, sts.ErrNoRecord):
		code = d.whyNoRecord(a)
	case errors.Is(err, sts.ErrManyRecords):
		code = "record-many"
	case malformed:
		code, a["error"] = "record-invalid", syntax.Reason
	default:
		d.add("record-dns-failure", "", a)
		return
	}
	f := d.add(code, a["found"], a).publish(d.newRecord(id))
	switch {
	case code == "record-missing" && d.expected():
		f.Severity = Warning
	case code == "record-at-parent" && d.noMX:
		f.Severity = Notice // it is not known to receive mail
	}
	for _, txt := range r.TXT {
		if txt.Role != RoleOther {
			f.show(r.Name+" TXT", txt.Text, txt.Column)
		}
	}
	if len(r.Aliases) > 0 {
		f.show(r.Name+" CNAME", strings.Join(r.Aliases, ", "), 0)
	}
}

// whyNoRecord returns the code for a name without an MTA-STS record.
func (d *diagnosis) whyNoRecord(a args) Code {
	r := &d.r.Record
	for _, txt := range r.TXT {
		if a["flaws"] = txt.Flaws; txt.Role == RoleNearMiss {
			return "record-near-miss"
		}
	}
	switch n := len(r.Aliases); {
	case d.elsewhere != "":
		a["found"] = d.elsewhere
		return "record-wrong-name"
	case n > 0 && len(r.TXT) == 0:
		a["found"] = r.Aliases[n-1]
		return "record-alias-dangling"
	case d.cached() != nil:
		return "record-vanished"
	case d.r.File != nil && d.r.File.Valid:
		return "policy-unannounced"
	case d.parent != "":
		a["found"] = d.parent
		return "record-at-parent"
	}
	return "record-missing"
}

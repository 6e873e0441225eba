package diagnose

import (
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
	d.txts, d.recordErr = txts, err
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
	switch n := len(candidates); {
	case n == 0 && len(txts) == 0:
		r.Rule = "the name has no TXT record"
	case n == 0:
		r.Rule = "no TXT record begins with v=STSv1;"
	case n > 1:
		r.Rule = fmt.Sprintf("%d TXT records begin with v=STSv1; and exactly one must, so that none counts", n)
	case loose:
		r.Rule = "one TXT record begins with v=STSv1, white space and a semicolon, and none without the white space"
	default:
		r.Rule = "exactly one TXT record begins with v=STSv1;"
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

// newRecord is a record to publish. Its id is the time, so that it is a new one.
func (d *diagnosis) newRecord() string {
	return fmt.Sprintf(`%s. IN TXT "v=STSv1; id=%s;"`, d.r.Record.Name, d.r.Time.Format("20060102150405"))
}

func (d *diagnosis) judgeRecord() {
	r := &d.r.Record
	evidence := func(f *Finding, roles ...Role) {
		for _, txt := range r.TXT {
			if slices.Contains(roles, txt.Role) {
				f.show(r.Name+" TXT", txt.Text, txt.Column)
			}
		}
	}
	syntax, malformed := errors.AsType[*sts.SyntaxError](d.recordErr)
	switch err := d.recordErr; {
	case err == nil:
		if d.loose {
			f := d.add("record-loose-delimiter", "", nil).publish(fmt.Sprintf(`%s. IN TXT "v=STSv1; id=%s;"`, r.Name, r.ID))
			evidence(f, RoleChosen)
		}
	case errors.Is(err, sts.ErrNoRecord):
		d.judgeNoRecord()
	case errors.Is(err, sts.ErrManyRecords):
		candidates, _ := sts.Candidates(d.txts)
		evidence(d.add("record-many", "", args{"name": r.Name, "count": fmt.Sprint(len(candidates))}), RoleCandidate)
	case malformed:
		f := d.add("record-invalid", "", args{"name": r.Name, "error": syntax.Reason}).publish(d.newRecord())
		evidence(f, RoleInvalid)
	default:
		d.add("record-dns-failure", "", args{"name": r.Name, "error": r.Error})
	}
}

// judgeNoRecord is for a name without an MTA-STS record.
func (d *diagnosis) judgeNoRecord() {
	r := &d.r.Record
	missed := false
	for _, txt := range r.TXT {
		if txt.Role == RoleNearMiss {
			missed = true
			d.add("record-near-miss", "", args{"name": r.Name, "flaws": txt.Flaws}).
				publish(d.newRecord()).show(r.Name+" TXT", txt.Text, 0)
		}
	}
	code, found := Code("record-missing"), ""
	switch n := len(r.Aliases); {
	case missed:
		return
	case d.elsewhere != "":
		code, found = "record-wrong-name", d.elsewhere
	case n > 0 && len(r.TXT) == 0:
		code, found = "record-alias-dangling", r.Aliases[n-1]
	case d.cached() != nil:
		code = "record-vanished"
	case d.r.File != nil && d.r.File.Valid:
		code = "policy-unannounced"
	case d.parent != "":
		code, found = "record-at-parent", d.parent
	}
	f := d.add(code, found, args{"name": r.Name, "found": found}).publish(d.newRecord())
	if code == "record-missing" && d.expected() {
		f.Severity = Warning
	}
	if code == "record-at-parent" && d.noMX {
		f.Severity = Notice // it is not known to receive mail
	}
	if code == "record-alias-dangling" {
		f.show(r.Name+" CNAME", strings.Join(r.Aliases, ", "), 0)
	}
}

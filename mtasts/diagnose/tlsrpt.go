package diagnose

import (
	"context"
	"errors"
	"fmt"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
)

// findTLSRPT finds the record that asks for reports (RFC 8460, Section 3).
func (d *diagnosis) findTLSRPT(ctx context.Context) {
	r := &d.r.TLSRPT
	r.Name = "_smtp._tls." + d.r.Domain
	record, err := tlsrpt.LookupRecord(ctx, d.opts.Resolver, d.r.Domain)
	r.Error = errorText(err)
	switch {
	case err == nil:
		r.State, r.Text, r.RUA = Pass, clean(record.Raw), []string{}
		for _, uri := range record.RUA {
			r.RUA = append(r.RUA, clean(uri.String()))
		}
	case errors.Is(err, tlsrpt.ErrNoRecord):
		// Nobody has to ask for reports.
		r.State = Pass
		if record, err := tlsrpt.LookupMisplaced(ctx, d.opts.Resolver, d.r.Domain); err == nil {
			r.State, r.Text, r.Misplaced = Warn, clean(record.Raw), "_smtp_tls."+d.r.Domain
		}
	case errors.Is(err, tlsrpt.ErrManyRecords), errors.Is(err, tlsrpt.ErrInvalidRecord):
		r.State = Warn
	default:
		r.State = Unknown
	}
	r.Aliases = d.opts.aliases(ctx, r.Name)
}

func (d *diagnosis) judgeTLSRPT() {
	r := &d.r.TLSRPT
	record := fmt.Sprintf(`%s. IN TXT "v=TLSRPTv1; rua=mailto:tlsrpt@%s"`, r.Name, d.r.Domain)
	switch {
	case r.Misplaced != "":
		d.add("tlsrpt-misplaced", r.Misplaced, args{"name": r.Name, "found": r.Misplaced}).
			publish(fmt.Sprintf(`%s. IN TXT "%s"`, r.Name, r.Text)).show(r.Misplaced+" TXT", r.Text, 0)
	case r.State == Warn:
		d.add("tlsrpt-invalid", "", args{"name": r.Name, "error": r.Error}).publish(record)
	case r.State == Unknown:
		d.add("tlsrpt-dns-failure", "", args{"name": r.Name, "error": r.Error})
	case r.Text == "" && d.applied.Mode == mtasts.ModeTesting:
		d.add("tlsrpt-missing", "", args{"name": r.Name}).publish(record)
	}
}

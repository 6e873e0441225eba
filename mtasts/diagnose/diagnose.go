// Package diagnose says what a sender would do about the mail for a domain under MTA-STS
// (RFC 8461), and why, as data. [Diagnose] is the whole of it.
//
// It uses the code of package mtasts: the same parser, the same request, the same rules for
// addresses and certificates. So its [Verdict] is what [mtasts.Client.PolicyFor] and
// [mtasts.Policy.CheckMX] answer. It keeps all that it sees, and goes on where a sender
// would stop.
//
// A domain that publishes nothing of MTA-STS has no fault: its findings are notices. Nobody
// has to have a policy.
//
// A [Finding] has a stable code, a clause, its effect on mail, and what to do about it. A
// step that could not be examined is never reported as passed.
package diagnose

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/internal/fetch"
	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/mtasts"
)

// lookupLimit ends a DNS look-up whose resolver has no limit of its own.
const lookupLimit = 20 * time.Second

// A diagnosis is the state of one call of Diagnose: what was seen, beyond what the report
// shows.
type diagnosis struct {
	opts Options
	r    *Report

	domainErr error

	recordErr error // nil, of the DNS, or of sts.FindRecord
	loose     bool
	elsewhere string // a name with the record that this one lacks
	parent    string // a parent domain's name with a record

	trace   fetch.Trace
	failed  *fetch.Error // nil if a file came
	body    string
	policy  sts.Policy
	lines   []sts.Line
	fileErr error

	mxErr    error
	noMX     bool // the domain has no MX record
	nullMX   bool
	sessions []session // by index of Report.MX

	incomplete bool // ctx ended

	applied *mtasts.Policy // what the verdict is about
	counts  map[Code]int   // findings
}

// Diagnose examines domain, which may be written as for [mtasts.Client.PolicyFor]. It
// never fails: what could not be found out, for example because ctx ended, is part of the
// report. It ends soon after [Options].Limit at the latest, however the servers of the domain
// behave. It may be called concurrently.
func Diagnose(ctx context.Context, domain string, opts *Options) *Report {
	d := &diagnosis{opts: opts.withDefaults(), r: newReport(domain), counts: make(map[Code]int), applied: new(mtasts.Policy)}
	ctx, cancel := context.WithTimeout(ctx, d.opts.Limit)
	defer cancel()

	name, err := sts.PolicyDomain(domain)
	if d.domainErr = err; err == nil {
		d.r.Domain = name
		d.gather(ctx)
		d.incomplete = ctx.Err() != nil
	}
	d.judge()
	d.r.Seconds = time.Since(d.r.Time).Seconds()
	return d.r
}

func newReport(domain string) *Report {
	return &Report{
		Version:  Version,
		Asked:    clean(domain),
		Time:     time.Now().UTC(),
		Findings: []Finding{},
		TLSRPT:   TLSRPT{State: NotTested},
	}
}

// gather finds out all that does not depend on each other at once. Each part of the
// report is written by one goroutine, and judged when all have ended.
func (d *diagnosis) gather(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	for _, part := range []func(context.Context){d.findRecord, d.fetchFile, d.findMX, d.findTLSRPT} {
		parts.Go(func() { part(ctx) })
	}
}

// judge makes of what was seen the findings, the verdict and the steps.
func (d *diagnosis) judge() {
	if d.domainErr != nil {
		if errors.Is(d.domainErr, sts.ErrLiteral) {
			d.add("address-literal", "", args{"asked": d.r.Asked})
		} else {
			d.add("domain-invalid", "", args{"error": strings.TrimPrefix(errorText(d.domainErr), "name: ")})
		}
	} else {
		d.decide()
		d.judgeRecord()
		d.judgeHost()
		d.judgeFile()
		d.judgeMX()
		d.judgeTLSRPT()
		d.judgeCached()
	}
	if d.incomplete {
		d.add("diagnosis-incomplete", "", nil)
	}
	d.order()
	d.conclude()
}

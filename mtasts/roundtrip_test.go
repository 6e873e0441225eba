package mtasts_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// Most domains publish no record: one query finds that out, and no query asks for the address
// of a policy host. With a record, the query for the address follows it.
func TestAnAddressIsAskedForOnlyWhereThereIsARecord(t *testing.T) {
	const roundTrip = 50 * time.Millisecond
	for name, test := range map[string]struct {
		txt             []string
		addresses, took int // queries, and round trips
	}{
		"no record":            {nil, 0, 1},
		"a record":             {[]string{"v=STSv1; id=1"}, 1, 2},
		"a record, not valid":  {[]string{"v=STSv1; id=?"}, 0, 1},
		"of something else":    {[]string{"v=spf1 -all"}, 0, 1},
		"two records that are": {[]string{"v=STSv1; id=1", "v=STSv1; id=2"}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var dns resolver.Fake
				dns.Set(txt, resolver.Records{TXT: test.txt, Delay: roundTrip})
				dns.Set("mta-sts."+domain, resolver.Records{Delay: roundTrip})
				client := mtasts.New(new(cache.Memory), &mtasts.Options{Resolver: &dns})
				start := time.Now()
				p, err := client.PolicyFor(t.Context(), domain)
				if err != nil || p.Mode != mtasts.ModeNone {
					t.Errorf("%v, %v", p, err)
				}
				if took := time.Since(start); took != time.Duration(test.took)*roundTrip {
					t.Errorf("it took %v, want %d round trips of %v", took, test.took, roundTrip)
				}
				if q, a := dns.Queries(txt), dns.Queries("mta-sts."+domain); q != 1 || a != test.addresses {
					t.Errorf("%d queries for the record and %d for the address, want 1 and %d", q, a, test.addresses)
				}
				if err := client.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

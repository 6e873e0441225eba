package resolver

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fake is a DNS in memory, for tests. It answers as [System] does, with the same errors.
// The zero value is ready for use, and has no names:
//
//	dns := &resolver.Fake{Names: map[string]resolver.Records{
//		"_mta-sts.example.com": {TXT: []string{"v=STSv1; id=20160831085700Z;"}},
//		"_mta-sts.example.org": {CNAME: "_mta-sts.example.com"},
//		"_mta-sts.example.net": {Fail: resolver.ServFail},
//	}}
//
// All methods may be called concurrently. A Fake starts no goroutines, so it works in a
// bubble of testing/synctest.
type Fake struct {
	// Names is the initial content of the DNS. Case and a final dot make no
	// difference between names; a name in two spellings panics. The first look-up
	// or Set reads the map. Later changes are made by [Fake.Set].
	Names map[string]Records

	mu      sync.Mutex
	names   map[string]Records // by key
	queries map[string]int     // by key
}

// Records is what a [Fake] has for one name. A look-up of a type that the name has no
// records of returns the same error as one of a name that does not exist.
type Records struct {
	TXT  []string     // one string for each record
	MX   []net.MX     // in any order; Host may lack its final dot; "." is a null MX
	Addr []netip.Addr // A and AAAA
	TLSA []TLSA

	// Authenticated is what LookupTLSA and LookupAuthenticated say of the answer.
	Authenticated bool

	// CNAME makes the name an alias. Of the other fields only Delay then has an
	// effect, and Authenticated for a look-up of the type CNAME. Chains are followed; a loop, or a chain of more than 10, is a SERVFAIL.
	CNAME string

	// Fail makes each look-up of the name fail.
	Fail Failure

	// Delay is the time that the DNS takes for the answer, or the failure. With a
	// Delay of Limit or more, a look-up hangs until its context ends or Limit is
	// over, and is then a time-out.
	Delay time.Duration

	aliases []string // on the way to these records
}

// Failure is a way in which a look-up in a [Fake] fails. Zero is no failure.
type Failure int

const (
	// ServFail is an answer with the code SERVFAIL: IsTemporary is true. A
	// validating resolver gives this answer for a forged record.
	ServFail Failure = iota + 1

	// Refused is an answer with the code REFUSED: neither IsTemporary nor
	// IsNotFound is true.
	Refused

	// Timeout is the error of a look-up without an answer, but returned at once:
	// IsTimeout and IsTemporary are true. For a look-up that waits, set
	// Records.Delay.
	Timeout
)

// maxChain is how many aliases a chain may have. Most resolvers have a similar limit.
const maxChain = 10

// Set replaces the records of name. Records{} removes the name. A look-up that has begun
// returns the earlier records.
func (f *Fake) Set(name string, records Records) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.load()
	f.names[key(name)] = records.clone()
}

// Queries returns how often name has been looked up, whatever the type and the outcome.
// Queries("") counts the look-ups of all names. The look-up of an alias does not count
// for its target. A look-up of something other than a domain name, or with a context that
// has ended, does not count at all.
func (f *Fake) Queries(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name != "" {
		return f.queries[key(name)]
	}
	sum := 0
	for _, n := range f.queries {
		sum += n
	}
	return sum
}

// LookupTXT is like [System.LookupTXT]. The order is that of Records.
func (f *Fake) LookupTXT(ctx context.Context, name string) ([]string, error) {
	records, err := f.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	return found(name, records.TXT)
}

// LookupMX is like [System.LookupMX], except that records of equal preference
// keep the order of Records.
func (f *Fake) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	records, err := f.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	var list []*net.MX
	for _, mx := range records.MX {
		mx.Host = strings.TrimSuffix(mx.Host, ".") + "."
		list = append(list, &mx)
	}
	slices.SortStableFunc(list, func(a, b *net.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	return found(name, list)
}

// LookupNetIP is like [System.LookupNetIP]. Within a family the order is that of
// Records.
func (f *Fake) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	ip4, ip6, err := families(network)
	if err != nil {
		return nil, err
	}
	records, err := f.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var four, six []netip.Addr
	for _, addr := range records.Addr {
		addr = addr.Unmap()
		switch {
		case addr.Is4() && ip4:
			four = append(four, addr)
		case addr.Is6() && ip6:
			six = append(six, addr)
		}
	}
	return found(host, append(six, four...))
}

// LookupAliases is like [System.LookupAliases].
func (f *Fake) LookupAliases(ctx context.Context, name string) ([]string, error) {
	records, err := f.lookup(ctx, name)
	return records.aliases, err
}

// LookupTLSA is like [System.LookupTLSA].
func (f *Fake) LookupTLSA(ctx context.Context, name string) (list []TLSA, authenticated bool, err error) {
	records, err := f.lookup(ctx, name)
	return records.TLSA, records.Authenticated, err
}

// LookupAuthenticated is like [System.LookupAuthenticated]. All types but CNAME have the same
// answer.
func (f *Fake) LookupAuthenticated(ctx context.Context, recordType, name string) (bool, error) {
	records, err := f.lookupOne(ctx, name, recordType != "CNAME")
	return records.Authenticated, err
}

// found returns the records of a look-up, or an error if there are none.
func found[T any](name string, records []T) ([]T, error) {
	if len(records) == 0 {
		return nil, notFound(name)
	}
	return records, nil
}

// lookup follows aliases and returns the records for name or the failure, after the
// delay.
func (f *Fake) lookup(ctx context.Context, name string) (Records, error) {
	return f.lookupOne(ctx, name, true)
}

// lookupOne is lookup, which follows aliases or not.
func (f *Fake) lookupOne(ctx context.Context, name string, follow bool) (Records, error) {
	fqdn, err := absolute(name)
	if err != nil {
		return Records{}, err
	}
	if err := ended(ctx, name); err != nil {
		return Records{}, err
	}
	records := f.resolve(key(fqdn), follow)

	if records.Delay > 0 {
		timer := time.NewTimer(min(records.Delay, Limit))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		if err := ended(ctx, name); err != nil {
			return Records{}, err
		}
		if records.Delay >= Limit {
			records.Fail = Timeout
		}
	}

	switch records.Fail {
	case 0:
		return records, nil
	case Refused:
		return Records{}, refused(name)
	case Timeout:
		return Records{}, timedOut(name)
	}
	return Records{}, serverFailure(name)
}

// resolve counts a query for name, which is a key. It returns a copy of the records at
// the end of the chain of aliases, with the sum of all delays.
func (f *Fake) resolve(name string, follow bool) Records {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.load()
	f.queries[name]++
	var delay time.Duration
	var aliases []string
	for range maxChain + 1 {
		records := f.names[name]
		delay += records.Delay
		if records.CNAME == "" || !follow {
			records = records.clone()
			records.Delay, records.aliases = delay, aliases
			return records
		}
		name = key(records.CNAME)
		aliases = append(aliases, strings.TrimSuffix(name, "."))
	}
	return Records{Fail: ServFail, Delay: delay}
}

// load copies Names, the first time. The caller holds the lock.
func (f *Fake) load() {
	if f.names != nil {
		return
	}
	f.names, f.queries = make(map[string]Records), make(map[string]int)
	for _, name := range slices.Sorted(maps.Keys(f.Names)) {
		if _, twice := f.names[key(name)]; twice {
			panic(fmt.Sprintf("resolver: Fake.Names has the name %q in two spellings", name))
		}
		f.names[key(name)] = f.Names[name].clone()
	}
}

// clone returns records that share no memory with r.
func (r Records) clone() Records {
	r.TXT, r.MX, r.Addr, r.TLSA = slices.Clone(r.TXT), slices.Clone(r.MX), slices.Clone(r.Addr), slices.Clone(r.TLSA)
	return r
}

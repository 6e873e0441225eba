package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"

	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts"
)

const (
	// wordyMemory is an Options.MemoryEntries that is full with some of these answers.
	wordyMemory = 4000

	// large is as large as a policy file may be.
	large = 64 << 10

	// wordyHeap is a policy of that size in the making: the file, its patterns, the
	// entry and the record to be stored.
	wordyHeap = 640 << 10
)

// wordyPolicies are files of the shortest patterns that there are, which take more
// memory than their text.
func wordyPolicies(t *trial) error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	head := "version: STSv1\nmode: enforce\nmax_age: 604800\n"
	text := head + strings.Repeat("mx:AB\n", (large-len(head))/len("mx:AB\n"))
	return t.hear(mtasts.ModeEnforce, &mtasts.Options{
		Resolver:  newDNS(published("1")),
		Transport: &hosts{authority: authority, text: func(int) string { return strings.Clone(text) }},
		RootCAs:   authority.ca.Pool(),
	})
}

// wordyFailures are answers of all kinds that are no policy, of which as much as
// possible would be worth an error message.
func wordyFailures(t *trial) error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	stranger, err := testpki.New()
	if err != nil {
		return err
	}
	var names []string
	for n := range 2000 {
		names = append(names, "a.long.name."+name(n))
	}
	big, err := stranger.Issue(names...)
	if err != nil {
		return err
	}
	records := newDNS(func(_ context.Context, n int) ([]string, error) {
		record := "v=STSv1; id=1;"
		if n%5 == 0 {
			record += strings.Repeat("a=b;", large/4) + "#"
		}
		return []string{record}, nil
	})
	return t.hear(mtasts.ModeNone, &mtasts.Options{
		Resolver: records,
		RootCAs:  authority.ca.Pool(),
		Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			n, err := number(req.URL.Host)
			if err != nil {
				return nil, err
			}
			cert, err := authority.certificate(n)
			if err != nil {
				return nil, err
			}
			switch n % 5 {
			case 1: // a file with a wrong value
				return answer(req, cert.Leaf, "version: STSv1\nmode: "+strings.Repeat("x", large-100)), nil
			case 2: // the certificate of another, as it came over the wire
				leaf, err := x509.ParseCertificate(big.Certificate[0])
				return answer(req, leaf, policy(n)), err
			case 3: // a header
				a := answer(req, cert.Leaf, policy(n))
				a.Header.Set("Content-Type", strings.Repeat("x", large))
				return a, nil
			default: // no HTTP at all, in the words of package net/http
				return nil, fmt.Errorf("net/http: malformed HTTP response %q", strings.Repeat("x", large))
			}
		}),
	})
}

// hear asks about domains whose answers have this mode.
func (t *trial) hear(mode mtasts.Mode, opts *mtasts.Options) error {
	opts.MemoryEntries = wordyMemory
	client, err := mtasts.Open(t.path(), opts)
	if err != nil {
		return err
	}
	wrong := t.each(t.wordy, workers, func(n int) bool {
		p, err := client.PolicyFor(context.Background(), name(n))
		return err == nil && p.Mode == mode
	})
	t.opened(store)
	t.bound("wrong answers", float64(wrong), 0, "")
	t.boundHeap(wordyMemory * entryHeap)
	t.boundPeak(wordyMemory*entryHeap + (workers+saving)*wordyHeap)
	return client.Close()
}

// A roundTripper is an http.RoundTripper by a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

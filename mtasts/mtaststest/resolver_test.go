package mtaststest_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// faulty is a Fake with a fault in its TXT look-ups.
type faulty struct {
	*resolver.Fake
	lookup func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error)
}

func (f faulty) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return f.lookup(f.Fake, ctx, name)
}

// mapped is a fault that changes each record.
func mapped(change func(string) string) func(*resolver.Fake, context.Context, string) ([]string, error) {
	return func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error) {
		list, err := dns.LookupTXT(ctx, name)
		for i, txt := range list {
			list[i] = change(txt)
		}
		return list, err
	}
}

// TestTestResolver runs TestResolver with faulty resolvers in another process. Each must fail.
func TestTestResolver(t *testing.T) {
	faults := []struct {
		name, fails string // the subtest that fails
		lookup      func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error)
	}{
		{"joins with a space", "strings_of_a_record_are_joined_without_a_space", mapped(func(txt string) string {
			if len(txt) > 255 {
				return txt[:255] + " " + txt[255:]
			}
			return txt
		})},
		{"cuts a record", "the_largest_record_is_complete_or_an_error", mapped(func(txt string) string {
			return txt[:min(len(txt), 60_000)]
		})},
		{"escapes", "octets_are_not_changed", mapped(func(txt string) string { return strings.ReplaceAll(txt, `"`, `\"`) })},
		{"replaces what is not UTF-8", "octets_are_not_changed", mapped(func(txt string) string { return strings.ToValidUTF8(txt, "?") })},
		{"returns one record", "several_records", func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error) {
			list, err := dns.LookupTXT(ctx, name)
			return list[:min(len(list), 1)], err
		}},
		{"returns five records", "more_than_fits_into_a_datagram", func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error) {
			list, err := dns.LookupTXT(ctx, name)
			return list[:min(len(list), 5)], err
		}},
		{"is case-sensitive", "upper_case", func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error) {
			if name != strings.ToLower(name) {
				return nil, nil
			}
			return dns.LookupTXT(ctx, name)
		}},
		{"absence without IsNotFound", "a_name_that_does_not_exist", func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error) {
			list, err := dns.LookupTXT(ctx, name)
			if err != nil {
				err = &net.DNSError{Err: err.Error(), Name: name}
			}
			return list, err
		}},
		{"SERVFAIL with IsNotFound", "SERVFAIL", func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error) {
			list, err := dns.LookupTXT(ctx, name)
			if err != nil {
				err = &net.DNSError{Err: err.Error(), Name: name, IsNotFound: true}
			}
			return list, err
		}},
		{"no error without an answer", "no_answer", func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error) {
			list, _ := dns.LookupTXT(ctx, name)
			return list, nil
		}},
		{"search list", "a_single_label_is_not_searched_for", func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error) {
			if strings.Count(name, ".") == 1 {
				name = "_mta-sts.example.com."
			}
			return dns.LookupTXT(ctx, name)
		}},
		{"ignores its context", "a_context_that_is_cancelled", func(dns *resolver.Fake, ctx context.Context, name string) ([]string, error) {
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2500*time.Millisecond)
			defer cancel()
			return dns.LookupTXT(within, name)
		}},
	}

	if os.Getenv("MTASTSTEST_FAULTY") != "" {
		for _, fault := range faults {
			t.Run(fault.name, func(t *testing.T) {
				t.Parallel()
				mtaststest.TestResolver(t, func(_ *testing.T, zone map[string]resolver.Records) mtasts.Resolver {
					return faulty{&resolver.Fake{Names: zone}, fault.lookup}
				})
			})
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTestResolver$", "-test.v")
	cmd.Env = append(os.Environ(), "MTASTSTEST_FAULTY=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("resolvers with faults pass")
	}
	var failed []string
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: TestTestResolver/"); ok {
			name, _, _ = strings.Cut(name, " ")
			failed = append(failed, name)
		}
	}
	for _, fault := range faults {
		name := strings.ReplaceAll(fault.name, " ", "_")
		if !slices.Contains(failed, name+"/LookupTXT/"+fault.fails) {
			t.Errorf("%s: %s does not fail", fault.name, fault.fails)
		}
		if slices.Contains(failed, name+"/LookupNetIP") {
			t.Errorf("%s: LookupNetIP, which has no fault, fails", fault.name)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// bare has only the required method.
type bare struct{ mtasts.Resolver }

func TestAResolverNeedsNoLookupNetIP(t *testing.T) {
	mtaststest.TestResolver(t, func(_ *testing.T, zone map[string]resolver.Records) mtasts.Resolver {
		return bare{&resolver.Fake{Names: zone}}
	})
}

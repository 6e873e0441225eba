package sts_test

import (
	"fmt"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// The functions that run for each message or each DNS look-up do not allocate.
func TestAllocations(t *testing.T) {
	hundred := "version: STSv1\r\nmode: enforce\r\nmax_age: 604800\r\n"
	for i := range 100 {
		hundred += fmt.Sprintf("mx: mx%d.example.com\r\n", i)
	}
	p, err := sts.ParsePolicy(hundred)
	if err != nil || len(p.MX) != 100 {
		t.Fatal(err)
	}
	records := []string{"v=spf1 -all", "v=STSv1; id=20160831085700Z;"}
	for _, c := range []struct {
		what string
		most float64
		f    func() error
	}{
		{"ParseRecord", 0, func() error { _, err := sts.ParseRecord("v=STSv1; x=y; id=20160831085700Z; x=z;"); return err }},
		{"FindRecord", 0, func() error { _, err := sts.FindRecord(records); return err }},
		{"Match of the last of 100 patterns", 0, func() error { return wantMatch(p.MX, "mx99.example.com", true) }},
		{"Match of none of 100 patterns", 0, func() error { return wantMatch(p.MX, "mx100.example.com", false) }},
		{"Match of a wildcard", 0, func() error { return wantMatch([]string{"*.example.com"}, "mail.example.com", true) }},
		{"Name", 0, func() error { _, err := sts.Name("mail.example.com"); return err }},
		{"Name with a final dot", 0, func() error { _, err := sts.Name("mail.example.com."); return err }},
		{"ParsePolicy", 3, func() error {
			_, err := sts.ParsePolicy("version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n")
			return err
		}},
		{"ParsePolicy with 100 mx", 3, func() error { _, err := sts.ParsePolicy(hundred); return err }},
	} {
		if err := c.f(); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if got := testing.AllocsPerRun(100, func() { c.f() }); got > c.most {
			t.Errorf("%s: %v allocations, at most %v allowed", c.what, got, c.most)
		}
	}
}

func wantMatch(patterns []string, host string, want bool) error {
	if sts.Match(patterns, host) != want {
		return fmt.Errorf("%s: match %v", host, !want)
	}
	return nil
}

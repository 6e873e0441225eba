package sts_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

func TestRecordVectors(t *testing.T) {
	for _, v := range recordVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			txts := v.records(t)
			got, err := sts.FindRecord(txts)
			checkRecord(t, v.get("expect"), got, err)
			if v.get("expect") == "none" {
				checkNearMiss(t, err, v.header["error"])
			}

			// The DNS returns the records of a name in any order.
			slices.Reverse(txts)
			got, err = sts.FindRecord(txts)
			checkRecord(t, v.get("expect"), got, err)

			if len(txts) == 1 {
				got, err = sts.ParseRecord(txts[0])
				expect := v.get("expect")
				if expect == "none" {
					expect = "invalid"
				}
				checkRecord(t, expect, got, err)
			}
		})
	}
}

// checkNearMiss checks that the error says what is wrong with a near miss, and does not
// mention any other record.
func checkNearMiss(t *testing.T, err error, flaws []string) {
	t.Helper()
	text := err.Error()
	if len(flaws) == 0 && text != sts.ErrNoRecord.Error() {
		t.Errorf("a near miss where there is none: %v", err)
	}
	for _, flaw := range flaws {
		if !strings.Contains(text, flaw) {
			t.Errorf("error %q does not say %q", text, flaw)
		}
	}
	checkText(t, text, 600)
}

func checkRecord(t *testing.T, expect string, got sts.Record, err error) {
	t.Helper()
	if id, ok := strings.CutPrefix(expect, "ok id="); ok {
		if err != nil || got.ID != id {
			t.Errorf("got id %q and error %v, want id %q", got.ID, err, id)
		}
		return
	}
	if got != (sts.Record{}) {
		t.Errorf("got record %+v with error %v", got, err)
	}
	switch expect {
	case "none":
		if !errors.Is(err, sts.ErrNoRecord) {
			t.Errorf("got error %v, want ErrNoRecord", err)
		}
	case "many":
		if !errors.Is(err, sts.ErrManyRecords) {
			t.Errorf("got error %v, want ErrManyRecords", err)
		}
	case "invalid":
		checkSyntaxError(t, err)
	default:
		t.Fatalf("malformed vector: expect: %s", expect)
	}
}

func TestPolicyVectors(t *testing.T) {
	for _, v := range policyVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			got, err := sts.ParsePolicy(v.policy(t))
			switch v.get("expect") {
			case "ok":
				if err != nil {
					t.Fatal(err)
				}
				want := sts.Policy{
					Mode:   sts.Mode(v.get("mode")),
					MaxAge: time.Duration(v.number(t, "max_age")) * time.Second,
					MX:     v.header["mx"],
					Odd:    v.number(t, "odd"),
				}
				if n := v.number(t, "mx-count"); n > 0 {
					want.MX = slices.Repeat(want.MX, n)
				}
				if !equal(got, want) {
					t.Errorf("got %+v\nwant %+v", got, want)
				}
			case "invalid":
				checkSyntaxError(t, err)
				if err != nil && !strings.Contains(err.Error(), v.get("error")) {
					t.Errorf("error %q does not name the cause, %s", err, v.get("error"))
				}
				if !equal(got, sts.Policy{}) {
					t.Errorf("got policy %+v with error %v", got, err)
				}
			default:
				t.Fatalf("malformed vector: expect: %s", v.get("expect"))
			}
		})
	}
}

func equal(a, b sts.Policy) bool {
	return a.Mode == b.Mode && a.MaxAge == b.MaxAge && slices.Equal(a.MX, b.MX) && a.Odd == b.Odd
}

func TestMatchVectors(t *testing.T) {
	for _, v := range matchVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			mx, values := v.mx(t)
			host, err := sts.Name(mx)
			switch expect := v.get("expect"); expect {
			case "match", "no-match":
				if err != nil {
					t.Fatal(err)
				}
				if got := sts.Match(patterns(t, values...), host); got != (expect == "match") {
					t.Errorf("host %q: got %v, want %s", host, got, expect)
				}
			case "bad-host":
				checkSyntaxError(t, err)
				if host != "" {
					t.Errorf("got name %q with error %v", host, err)
				}
			default:
				t.Fatalf("malformed vector: expect: %s", expect)
			}
		})
	}
}

// patterns returns the patterns of a policy with these mx values. It adds one that no test
// matches, so that the policy is valid.
func patterns(tb testing.TB, values ...string) []string {
	tb.Helper()
	text := "version: STSv1\nmode: enforce\nmax_age: 604800\nmx: unrelated.invalid\n"
	for _, value := range values {
		text += "mx: " + value + "\n"
	}
	p, err := sts.ParsePolicy(text)
	if err != nil {
		tb.Fatal(err)
	}
	return p.MX
}

// checkSyntaxError checks that err is fit for a log or a bounce: it holds a short, escaped
// excerpt of untrusted text at most.
func checkSyntaxError(t *testing.T, err error) {
	t.Helper()
	var syntax *sts.SyntaxError
	if !errors.As(err, &syntax) {
		t.Errorf("got error %v, want a *SyntaxError", err)
		return
	}
	checkText(t, err.Error(), 400)
}

func checkText(t *testing.T, text string, most int) {
	t.Helper()
	if len(text) > most {
		t.Errorf("error text of %d octets: %.400s", len(text), text)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("error text is not printable ASCII: %q", text)
	}
}

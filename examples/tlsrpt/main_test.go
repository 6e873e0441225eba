package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// output runs the example.
func output(t *testing.T, socket string) string {
	t.Helper()
	var out strings.Builder
	if err := run(t.Context(), &out, socket); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return out.String()
}

const wantMessages = `messages  to                                                      outcome
       3  enforce.example                                         delivered
       2  testing.example    its MX has an expired certificate    delivered
       2  enforce.example    STARTTLS is stripped                 deferred
       1  enforce.example    the certificate is for another host  deferred
       1  enforce.example    the MX record is forged              deferred
`

// In wantReports, * is what differs from run to run.
const wantReports = wantMessages + `
Both domains publish a TXT record that asks for reports:

_smtp._tls.enforce.example  v=TLSRPTv1; rua=https://reports.example.com:*/v1
_smtp._tls.testing.example  v=TLSRPTv1; rua=mailto:tls-reports@testing.example

So each gets a report on the following day, one by HTTPS and one by mail:

domain           policy  count  result of the session      MX host
enforce.example  sts         3  success
                             4  failure, of these:
                             2  starttls-not-supported     mx.enforce.example
                             1  certificate-host-mismatch  mx.enforce.example
                             1  validation-failure         mx.attacker.example
testing.example  sts         0  success
                             2  failure, of these:
                             2  certificate-expired        mx.testing.example

The report to testing.example, as JSON:

{
  "organization-name": "Example Sender",
  "date-range": {
    "start-datetime": "*T00:00:00Z",
    "end-datetime": "*T23:59:59Z"
  },
  "contact-info": "postmaster@sender.example",
  "report-id": "*",
  "policies": [
    {
      "policy": {
        "policy-type": "sts",
        "policy-string": [
          "version: STSv1",
          "mode: testing",
          "mx: mx.testing.example",
          "max_age: 604800"
        ],
        "policy-domain": "testing.example",
        "mx-host": [
          "mx.testing.example"
        ]
      },
      "summary": {
        "total-successful-session-count": 0,
        "total-failure-session-count": 2
      },
      "failure-details": [
        {
          "result-type": "certificate-expired",
          "sending-mta-ip": "127.0.0.1",
          "receiving-mx-hostname": "mx.testing.example",
          "receiving-ip": "127.0.0.1",
          "failed-session-count": 2
        }
      ]
    }
  ]
}
`

func TestReports(t *testing.T) {
	out := output(t, "")
	pattern := strings.ReplaceAll(regexp.QuoteMeta(wantReports), `\*`, `[0-9a-z.-]+`)
	if !regexp.MustCompile(`\A` + pattern + `\z`).MatchString(out) {
		t.Errorf("the output is\n%s\nwant\n%s", out, wantReports)
	}
	for line := range strings.Lines(out + usage) {
		if len(line) > 81 { // with LF
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
}

func TestDatagrams(t *testing.T) {
	out, found := strings.CutPrefix(output(t, "-"), wantMessages+"\nThe datagrams:\n\n")
	if !found {
		t.Errorf("the output is\n%s\nwant\n%s", out, wantMessages)
	}
	type count struct{ successes, failures int }
	got := make(map[string]count)
	for line := range strings.Lines(out) {
		var d struct {
			Domain   string `json:"d"`
			Policies []struct {
				Failed int `json:"f"`
			} `json:"policies"`
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil || len(d.Policies) != 1 {
			t.Fatalf("%v, with %d policies: %s", err, len(d.Policies), line)
		}
		n := got[d.Domain]
		n.failures += d.Policies[0].Failed
		n.successes += 1 - d.Policies[0].Failed
		got[d.Domain] = n
	}
	if got["enforce.example"] != (count{3, 4}) || got["testing.example"] != (count{0, 2}) || len(got) != 2 {
		t.Errorf("the datagrams have %v", got)
	}
}

func TestNoCollector(t *testing.T) {
	err := run(t.Context(), new(strings.Builder), filepath.Join(t.TempDir(), "socket"))
	if err == nil || !strings.HasPrefix(err.Error(), "9 outcomes could not be sent to ") {
		t.Errorf("%v, want an error with the number of outcomes", err)
	}
}

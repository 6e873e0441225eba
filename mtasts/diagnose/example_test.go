package diagnose_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// What a status page shows of a domain whose mail waits.
func ExampleDiagnose() {
	world := mtaststest.NewWorld()
	world.Publish("example.com", "20260101", mtaststest.Policy(mtasts.ModeEnforce, 30*24*time.Hour, "*.example.com"))
	world.DNS.Set("example.com", resolver.Records{MX: []net.MX{{Host: "a.mx.example.com"}}})

	report := diagnose.Diagnose(context.Background(), "example.com", &diagnose.Options{
		Resolver: world.DNS, Transport: world.Options().Transport, RootCAs: world.Roots(),
	})
	fmt.Println(report.Verdict.Title)
	for _, finding := range report.Findings {
		if len(finding.DependsOn) == 0 && finding.Severity == diagnose.Error {
			fmt.Println(finding.Title)
			fmt.Println(finding.Text)
			fmt.Println(finding.Publish)
		}
	}
	// Output:
	// Mail is held back
	// The policy does not list the MX host a.mx.example.com
	// No mx line matches a.mx.example.com. The policy lists *.example.com. The nearest pattern is *.example.com: the asterisk stands for one label, and the host has 2 before example.com.
	// [mx: a.mx.example.com]
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/mtasts/go-mtasts/examples/internal/testnet"
)

// domains are those that want reports.
var domains = []string{testnet.EnforceDomain, testnet.TestingDomain}

func printRecords(w io.Writer, net *testnet.Net) {
	fmt.Fprint(w, "\nBoth domains publish a TXT record that asks for reports:\n\n")
	for _, domain := range domains {
		txts, _ := net.World.DNS.LookupTXT(context.Background(), "_smtp._tls."+domain)
		fmt.Fprintf(w, "_smtp._tls.%s  %s\n", domain, strings.Join(txts, "\n"))
	}
}

// printTable prints the reports for a person.
func printTable(w io.Writer, reports map[string]report) {
	fmt.Fprint(w, "\nSo each gets a report on the following day, one by HTTPS and one by mail:\n\n")
	fmt.Fprintf(w, "%-15s  %-6s  %5s  %-25s  %s\n", "domain", "policy", "count", "result of the session", "MX host")
	for _, domain := range domains {
		for _, p := range reports[domain].Policies {
			fmt.Fprintf(w, "%-15s  %-6s  %5d  success\n", p.Policy.Domain, p.Policy.Type, p.Summary.Successes)
			fmt.Fprintf(w, "%-15s  %-6s  %5d  failure, of these:\n", "", "", p.Summary.Failures)
			for _, f := range p.Failures {
				fmt.Fprintf(w, "%-15s  %-6s  %5d  %-25s  %s\n", "", "", f.Count, f.Result, f.MX)
			}
		}
	}
}

// printJSON prints a report as it came.
func printJSON(w io.Writer, r report) error {
	var text bytes.Buffer
	if err := json.Indent(&text, r.text, "", "  "); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nThe report to %s, as JSON:\n\n%s\n", testnet.TestingDomain, &text)
	return nil
}

// Package tlsrpt reports to domains how TLS fared when mail was sent to them (SMTP TLS
// Reporting, RFC 8460). One line counts what a [mtasts.Client] knows:
//
//	store, err := cache.OpenBolt("/var/lib/mta/tlsrpt.db") // a file of its own
//	reports, err := tlsrpt.New(store, tlsrpt.Options{...}) // who reports, and how mail is sent
//	client, err := mtasts.Open(path, &mtasts.Options{Report: reports.Report})
//	go reports.Run(ctx)
//
// Tell each [mtasts.Host] the addresses with [mtasts.Host.Connection], and call Verify or
// AllowFallback for each attempt, whatever the mode. Outcomes of DANE go to [Collector.Add];
// where DANE applies, call [mtasts.Host.AppliedDANE], too.
//
// [Datagrams] take the place of a Collector where sys4's tlsrpt-reporter runs.
//
// # What is counted
//
//   - A session under an MTA-STS policy, once, with the policy's lines as published.
//   - An attempt without a policy to apply, under "no-policy-found": there is none, its mode
//     is none, or an override exempts the domain. A TLS session is a success there,
//     whatever its certificate.
//   - An attempt whose policy is published and cannot be had, as a failed session under
//     "sts" without a policy-string, by the reason why the policy cannot be had.
//   - A failed fetch while a policy is cached (RFC 8461, Section 6), among the
//     failure-details of that policy. It is no session: the totals do not have it.
//   - What Add is given, under its policy. An attempt under two policies counts in both.
//
// Failures are counted apart by result, reason, MX host, HELO name and both addresses. The
// day is that of UTC by the clock at the time of the attempt.
//
// # What is sent
//
// A domain gets a report about a day on the following day, between 00:15 and 20:15 UTC, at a
// moment that depends on the domain and the contact. Each destination in the domain's record
// gets it, and is tried for 24 hours. After a refusal for good, the domain skips it for a week.
//
// Each try is stored before it begins. If the process ends before the answer is known, the
// report is not sent again: it may be lost, and [Stats].Unconfirmed counts it. A receiver
// gets a report twice only if it takes the report and then fails to say so.
//
// # Limits
//
//   - A kill loses the outcomes of the last five seconds, and of as long as a write takes.
//   - At most 60 KiB are kept about a domain and day. Beyond that, policies are counted
//     without their lines, and failures without details.
//   - Memory holds at most 256 MiB: the current day, and the reports that are not sent yet.
//     Outcomes of a domain for which there is no room are dropped and counted.
//   - If the clock is set back, outcomes of a day whose report is being tried are dropped and
//     counted. Those that come later get a report of their own.
//   - A report about a day to come, because the clock was ahead, waits for that day.
package tlsrpt

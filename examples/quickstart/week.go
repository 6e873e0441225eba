package main

// The work of Run takes days. TestWeek runs it in a testing/synctest bubble, where time is
// simulated, and asserts that its output is this text.
const (
	weekAhead = `
The sender refreshes a policy in use once a day. If it cannot, it raises alarms.
This is the output of a test with a policy that is valid for a week. To run it:
go test -v -run TestWeek ./examples/quickstart
`
	weekPlayed = `  The policy is refreshed within a day, though its TXT record is gone.
  Then DNS and policy host fail. Alarms, by days since the last fetch:
  0  INFO     sts-policy-fetch-error
  3  WARN     sts-policy-fetch-error
  5  ERROR    sts-policy-fetch-error
  6  ERROR+4  sts-policy-fetch-error
  6  Both answer again, and the policy is refreshed. It was enforced throughout.
`
)

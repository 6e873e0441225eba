package main

// What Run does takes days. TestWeek plays it in a bubble of testing/synctest, where they
// pass in no time, and demands that it goes as is printed here.
const (
	weekAhead = `
A policy in use is refreshed once a day, and alarms tell if that is prevented.
This is how it went in a test, where a policy has a week to live; to play it:
go test -v -run TestWeek ./examples/quickstart
`
	weekPlayed = `  Within a day: refreshed, whatever the TXT record says.
  Now no DNS answers, and no policy host. Alarms, by days since the last fetch:
  0  INFO     sts-policy-fetch-error
  3  WARN     sts-policy-fetch-error
  5  ERROR    sts-policy-fetch-error
  6  ERROR+4  sts-policy-fetch-error
  6  Both answer again: refreshed. The policy has been enforced all the time.
`
)

// Package e2e runs this library against real servers: policies published with
// nginx and PowerDNS, and mail received by Postfix, the programs of Debian 12,
// all on loopback.
//
// Its files carry the build tag e2e, so that "go test ./..." needs no servers.
// To run them, as root (the servers bind ports 25, 53, 80 and 443):
//
//	.ci/install-servers
//	go test -count=1 -tags e2e ./internal/e2e
//
// Without -count=1 a result may come from go test's cache, which does not know
// that the tests run examples/send.
//
// Reading order: world.go builds the whole set-up; publishers.go, length.go, mx.go
// and victims.go say who publishes and who receives what; nginx.go, pdns.go and
// postfix.go each run one program. The tests named TestHarness show that the
// servers do as described. In the others examples/send delivers, a process for
// each message (send_test.go), and the message is found in Postfix's mailbox or
// is not; those of library_test.go call the library themselves.
package e2e

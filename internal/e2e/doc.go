// Package e2e runs this library against real servers on loopback: policies published with
// nginx and PowerDNS, and mail received by Postfix, all from Debian 12.
//
// Its files have the build tag e2e, so that "go test ./..." needs no servers. To run them,
// as root (the servers bind ports 25, 53 and 443):
//
//	.ci/install-servers
//	go test -count=1 -tags e2e ./internal/e2e
//
// Without -count=1 a result may come from go test's cache, which does not know that the
// tests run programs of the examples.
//
// Start with world.go, which builds the whole set-up. The tests named TestHarness show that
// the servers behave as described. In the others examples/send, examples/relay or Postfix with
// examples/postfix delivers, or the test calls the library itself (library_test.go).
package e2e

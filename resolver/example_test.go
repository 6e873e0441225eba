package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"

	"github.com/mtasts/go-mtasts/resolver"
)

// A relay asks its own validating resolver. It distinguishes a missing record from a
// failed look-up.
func Example() {
	dns := resolver.System{Server: "127.0.0.1:53"}
	records, err := dns.LookupTXT(context.Background(), "_mta-sts.example.com")
	dnsErr, ok := errors.AsType[*net.DNSError](err)
	switch {
	case err == nil:
		log.Printf("%q", records)
	case ok && dnsErr.IsNotFound:
		log.Print("the domain publishes no policy")
	default:
		log.Printf("not known: %v", err)
	}
}

func ExampleFake() {
	ctx := context.Background()
	dns := &resolver.Fake{Names: map[string]resolver.Records{
		"_mta-sts.example.com": {TXT: []string{"v=STSv1; id=20160831085700Z;"}},
		"_mta-sts.example.org": {CNAME: "_mta-sts.example.com"},
		"_mta-sts.example.net": {Fail: resolver.Timeout},
	}}
	for _, name := range []string{"_mta-sts.example.org.", "_mta-sts.example.net.", "_mta-sts.example.edu."} {
		fmt.Println(dns.LookupTXT(ctx, name))
	}

	// The resolver fails.
	dns.Set("_mta-sts.example.com", resolver.Records{Fail: resolver.ServFail})
	fmt.Println(dns.LookupTXT(ctx, "_mta-sts.example.com."))
	fmt.Println(dns.Queries("_mta-sts.example.com"), "query")
	// Output:
	// [v=STSv1; id=20160831085700Z;] <nil>
	// [] lookup _mta-sts.example.net.: i/o timeout
	// [] lookup _mta-sts.example.edu.: no such host
	// [] lookup _mta-sts.example.com.: server misbehaving
	// 1 query
}

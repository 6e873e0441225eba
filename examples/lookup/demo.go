package main

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// The domains of the demo.
const (
	demoGood     = "good.example"
	demoBroken   = "broken.example"
	demoAttacked = "attacked.example"
)

var demoScenes = map[string]string{
	demoGood:   "1. A domain that has done everything right.",
	demoBroken: "2. A domain whose mail has moved to other MX hosts, and whose policy has not.",
	demoAttacked: "3. A domain under attack: somebody forges its DNS, so that the record is gone and the" +
		" mail goes to another host. The sender has the policy cached, and keeps the mail.",
}

// demo asks about three domains in a world in memory, whose sender has cached their
// policies.
func demo(ctx context.Context, c *config) (*inquiry, error) {
	const month = 30 * 24 * time.Hour
	w := mtaststest.NewWorld()
	addresses := 0
	address := func(name string) {
		addresses++
		w.DNS.Set(name, resolver.Records{Addr: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(addresses)})}})
	}
	mx := func(domain string, host mtaststest.MX, names ...string) {
		var records []net.MX
		for i, name := range names {
			w.AddMX(name, host)
			address(name)
			records = append(records, net.MX{Host: name + ".", Pref: uint16(10 * (i + 1))})
		}
		w.DNS.Set(domain, resolver.Records{MX: records})
	}
	for _, domain := range []string{demoGood, demoBroken, demoAttacked} {
		w.Publish(domain, "20260101", mtaststest.Policy(mtasts.ModeEnforce, month, "mx."+domain))
		w.DNS.Set("_smtp._tls."+domain, resolver.Records{TXT: []string{"v=TLSRPTv1; rua=mailto:tlsrpt@" + domain}})
		address("mta-sts." + domain)
		mx(domain, mtaststest.MX{}, "mx."+domain)
	}

	// The sender has sent mail to attacked.example before.
	store := new(cache.Memory)
	client := mtasts.New(store, w.Options())
	_, err := client.PolicyFor(ctx, demoAttacked)
	if closing := client.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, err
	}

	// broken.example has moved to other MX hosts.
	w.SetPolicyHost(demoBroken, mtaststest.PolicyHost{Body: "version: STSv1\r\nmode: enforce\r\n" +
		"mx: *.broken.example\r\nmx: mx.old.example\r\nmax_age: 43200\r\n"})
	mx(demoBroken, mtaststest.MX{}, "mx1.eu.broken.example", "mx2.eu.broken.example")

	// An attacker answers for the DNS of attacked.example: its record is gone, and its mail
	// goes to him.
	w.DNS.Set("_mta-sts."+demoAttacked, resolver.Records{})
	mx(demoAttacked, mtaststest.MX{Certificate: mtaststest.WrongName}, "mx.attacker.example")

	q := &inquiry{domains: []string{demoGood, demoBroken, demoAttacked}, scenes: demoScenes}
	q.opts = c.network(diagnose.Options{Resolver: w.DNS, Transport: w.Options().Transport, RootCAs: w.Roots(), Dial: w.Dial})
	q.opts.Probe = true
	q.cached, err = find(ctx, store, q.domains)
	return q, err
}

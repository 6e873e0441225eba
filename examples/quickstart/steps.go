package main

import (
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// A step is one message.
type step struct {
	scene   string // what has changed; "" if nothing has
	title   string
	restart bool         // the sender restarts
	change  func(*stage) // of the world, before the message
	to      string       // the recipient's domain
	want    outcome
}

var steps = []step{
	{
		scene: "enforce.example publishes a policy: mode enforce, mx mx.enforce.example.",
		title: "the first message",
		change: func(s *stage) {
			s.publish(enforceDomain, "1", mtasts.ModeEnforce, enforceMX)
		},
		to:   enforceDomain,
		want: outcome{receivedBy: enforceMX, overTLS: true, reported: "success"},
	},
	{
		scene: "An attacker gets between sender and receiver.",
		title: "STARTTLS is stripped",
		change: func(s *stage) {
			s.world.AddMX(enforceMX, mtaststest.MX{NoSTARTTLS: true})
		},
		to:   enforceDomain,
		want: outcome{reported: "starttls-not-supported"},
	},
	{
		title: "the MX record is forged",
		change: func(s *stage) {
			s.world.AddMX(enforceMX, mtaststest.MX{})
			s.setMX(enforceDomain, attackerMX) // has a valid certificate for its own name
		},
		to:   enforceDomain,
		want: outcome{reported: "validation-failure"},
	},
	{
		title: "the certificate is for another host",
		change: func(s *stage) {
			s.setMX(enforceDomain, enforceMX)
			s.world.AddMX(enforceMX, mtaststest.MX{Certificate: mtaststest.WrongName})
		},
		to:   enforceDomain,
		want: outcome{reported: "certificate-host-mismatch"},
	},
	{
		scene:   "The sender restarts. The attacker blocks the policy: no DNS, no policy host.",
		title:   "the MX record is forged",
		restart: true,
		change: func(s *stage) {
			s.world.AddMX(enforceMX, mtaststest.MX{})
			s.setMX(enforceDomain, attackerMX)
			s.world.DNS.Set("_mta-sts."+enforceDomain, resolver.Records{Fail: resolver.ServFail})
			s.world.SetPolicyHost(enforceDomain, mtaststest.PolicyHost{Unreachable: true})
		},
		to:   enforceDomain,
		want: outcome{reported: "validation-failure", notice: "policy sts-policy-fetch-error"},
	},
	{
		title: "the MX record is genuine",
		change: func(s *stage) {
			s.setMX(enforceDomain, enforceMX)
		},
		to:   enforceDomain,
		want: outcome{receivedBy: enforceMX, overTLS: true, reported: "success"},
	},
	{
		scene: "The block ends. enforce.example adds mx2 to its policy, with a new id.",
		title: "the mail goes to mx2",
		change: func(s *stage) {
			s.publish(enforceDomain, "2", mtasts.ModeEnforce, enforceMX, movedMX)
			s.setMX(enforceDomain, movedMX)
		},
		to:   enforceDomain,
		want: outcome{receivedBy: movedMX, overTLS: true, reported: "success", notice: "change patterns-added"},
	},
	{
		scene: "testing.example publishes a policy of mode testing.",
		title: "its MX has an expired certificate",
		change: func(s *stage) {
			s.publish(testingDomain, "1", mtasts.ModeTesting, testingMX)
			s.world.AddMX(testingMX, mtaststest.MX{Certificate: mtaststest.Expired})
		},
		to:   testingDomain,
		want: outcome{receivedBy: testingMX, overTLS: true, reported: "certificate-expired"},
	},
	{
		scene: "without.example publishes no policy.",
		title: "its MX has a self-signed certificate",
		change: func(s *stage) {
			s.world.AddMX(withoutMX, mtaststest.MX{Certificate: mtaststest.SelfSigned})
		},
		to:   withoutDomain,
		want: outcome{receivedBy: withoutMX, overTLS: true},
	},
}

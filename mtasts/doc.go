// Package mtasts is the sending side of MTA-STS (RFC 8461): for each message it
// answers whether it may be handed to an MX host, and how the TLS session with
// that host must look.
//
// The one function that a mail server needs is [Client.PolicyFor]. Open a client
// once, and ask it for each message:
//
//	sts, err := mtasts.Open("/var/lib/mta/mta-sts.db", nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer sts.Close()
//	go sts.Run(ctx) // keeps what is remembered alive
//
//	policy, err := sts.PolicyFor(ctx, rcptDomain)
//	if err != nil {
//		return err // not known: defer the message
//	}
//	last := errNoHosts
//	for _, mx := range mxs { // in MX order, never filtered beforehand
//		host, err := policy.CheckMX(mx)
//		if err == nil {
//			err = deliver(mx, host.TLSConfig(nil), host.AllowFallback)
//		}
//		if err == nil || isRejection(err) {
//			return err // delivered, or refused by a 5xx reply
//		}
//		last = err
//	}
//	return last // defer; before a bounce, ask sts.Recheck
//
// Within deliver, the configuration goes to the SMTP client's STARTTLS. When TLS
// cannot be had, because it is not offered ([ErrNoSTARTTLS]), refused, or fails
// in the handshake, deliver asks Fallback with that error: nil means that it may
// go on without TLS, on a new connection after a failed handshake.
//
// The nil there is the base of the configuration: what the sender demands by itself,
// which is nothing where no policy speaks. A sender with roots of its own passes
// &tls.Config{RootCAs: pool, InsecureSkipVerify: true}: it means the same, and mode
// enforce verifies all the same. A base without InsecureSkipVerify verifies every
// MX host, and no policy loosens it.
//
// # What it promises
//
// A policy that was fetched once is remembered, in memory and in a file, until
// its max_age is over. While it lives, nothing but a newer policy that was fetched
// over verified HTTPS takes its place: no answer of the DNS or lack of one, no
// failed fetch, no restart. What has expired does not come back without a fetch.
//
// A remembered policy is answered without I/O. Every five minutes at most (see
// [Options.CheckInterval]) the TXT record is looked at behind such an answer, and a new
// id makes the client fetch the new policy. A violation under mode enforce makes
// the next caller wait for such a look, so that a publisher who has moved costs
// one deferral at most.
//
// [Client.Run] fetches what is in use again, at random times and once a day at
// least, so that an attacker has to block that for a whole life of the policy, less
// a day, and be noticed ([EventRefresh]).
//
// # What a caller may rely on
//
// Each guarantee is shown by a test of this package:
//
//	a remembered policy holds against DNS, HTTPS and     TestRFC8461_3_3_ACachedPolicyIsAppliedWhateverHappens
//	  restarts of every kind
//	no policy outlives its max_age without a fetch       TestRFC8461_5_1_NothingOutlivesMaxAgeWithoutAFetch
//	what memory forgets, the store remembers             TestWhatMemoryForgetsTheStoreRemembers
//	a store that cannot be read defers, never opens      TestAStoreThatCannotBeReadDefers
//	a store that cannot be written loses nothing         TestAStoreThatCannotBeWrittenLosesNothing
//	a damaged entry is never a policy                    TestADamagedEntryIsNeverAPolicy
//	  and harms no other                                 TestADamagedEntryKeepsNoOtherFromBeingRefreshed
//	a process killed at any moment loses nothing stored  TestKilledAtAnyMoment
//	one discovery at a time for a domain, whoever asks   TestManyCallersShareOneDiscovery
//	a caller leaves at its own deadline                  TestACallerLeavesAtItsDeadlineAndTheDiscoveryIsRemembered
//	a failed fetch is not repeated for five minutes      TestRFC8461_3_3_AFailedFetchBlocksThatIDForFiveMinutes
//	a dead policy host delays no delivery with a         TestABlockedIDIsNotFetchedOnEveryDelivery
//	  remembered policy
//	a DNS error is never taken for absence               TestADNSErrorIsNoAbsence
//	policies in use are refreshed at random, once a day  TestRFC8461_3_3_PoliciesInUseAreRefreshedLongBeforeTheyExpire
//	to prevent that takes a life of the policy less      TestRFC8461_10_2_AnAttackerMustBlockForALifetimeLessADay
//	  a day, and raises alarms                           TestRefreshFailuresAlarmWithRisingSeverity
//	a publisher's move costs one deferral at most        TestRFC8461_5_1_APublishersMoveCostsAtMostOneDeferral
//	enforce delivers to no host that fails               TestRFC8461_5_EnforceDeliversToNoHostThatFails
//	testing delivers, and reports                        TestRFC8461_5_TestingDeliversAndReports
//	a tls.Config is never looser than its base           TestTLSConfigOnlyEverTightensItsBase
//	an override is seen in every answer and event        TestAnOverrideShowsInEveryEventAndLoosensNothingElse
//	under the quota, what protects least goes first      TestUnderTheQuotaWhatProtectsLeastGoesFirst
//	what a full store has refused is not given up        TestWhatAFullStoreHasRefusedIsStoredOnceThereIsRoom
//	errors are one short line of printable ASCII         TestErrorsHoldNoStrangersOctets
//
// # Which way it fails
//
//	what happened                                  PolicyFor, Host                 the MTA
//	---------------------------------------------  ------------------------------  -----------------
//	no TXT record, or not exactly one that is      mode none, with Cause           delivers as usual
//	  valid
//	TXT record, but no valid policy file           mode none, with Cause           delivers as usual
//	the DNS does not answer, nothing remembered    mode none, Cause is Temporary   delivers, or
//	                                                                               defers if strict
//	any of these, with a policy remembered         the remembered policy           applies it
//	the store cannot be read                       error                           defers
//	ctx ends first, nothing remembered             error                           defers
//	the domain is malformed                        ErrInvalidDomain                bounces
//	enforce: MX not listed                         Host: ErrNotListed              tries the next MX
//	enforce: no STARTTLS, or a bad certificate     Fallback: *Error                tries the next MX
//	enforce: no MX left                                                            defers; Recheck
//	                                                                               before a bounce
//	testing: any of these three                    Event                           delivers
//
// # DANE comes first
//
// MTA-STS must not override a failing DANE validation (RFC 8461, Section 2). For
// an MX host with usable TLSA records (RFC 7672) do DANE, and do not ask this
// package about the session. A check in the VerifyConnection of the base passed to
// [Host.TLSConfig] comes on top of what the policy demands, and its error always
// ends the handshake.
//
//	TLSA records, DNSSEC-validated     the MTA does
//	---------------------------------  ---------------------------------------
//	usable                             DANE alone; its failure defers
//	present, none usable               TLS is mandatory by RFC 7672, Section 2.2;
//	                                   MTA-STS besides
//	none, proven                       MTA-STS
//	the look-up failed                 defers (RFC 7672, Section 2.1.2)
//
// Two extensions let a message override policies (RFC 8689). One that came with
// REQUIRETLS needs a session that DANE or this package has verified, and a server
// that offers REQUIRETLS too: under mode testing or none verify by a base
// without InsecureSkipVerify, and never fall back. One with the header field
// "TLS-Required: No" is to arrive even where TLS fails: deliver it as to a domain
// without a policy.
//
// # Smart hosts
//
// If all mail goes to a relay, the relay's domain is the policy domain, never the
// recipient's (RFC 8461, Section 3.4). [Client.PolicyFor] takes the next hop as it
// stands in a configuration, such as [relay.example]:587. An address literal,
// [192.0.2.1], has no policy.
//
// # Connections
//
// Two domains may share an MX host and have different policies. A session that was
// set up for one must not carry mail of the other unless both have the same policy
// for it, verified: keep the policy domain in the key of a connection cache.
//
// # What it does not do
//
// It sends no mail, and looks up no MX records. It does not check revocation; a
// VerifyConnection of the caller's may. An attacker who controls DNS and network
// at the first contact with a domain can hide its policy: that is what trust on
// first use means (RFC 8461, Section 10.2).
package mtasts

// Package mtasts is the sending side of MTA-STS (RFC 8461). For each message it says
// whether the message may be delivered to an MX host, and what the TLS session with that
// host must be like.
//
// A mail server needs one method: [Client.PolicyFor]. Open a client once:
//
//	sts, err := mtasts.Open("/var/lib/mta/mta-sts.db", nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer sts.Close()
//	go sts.Run(ctx) // refreshes policies in use
//
// # The delivery loop
//
// Then deliver each message like this. The loop is complete and uses only net/smtp.
//
//	// deliver hands a message for domain, whose MX hosts are mxs, to the first that takes it.
//	// A rejection is final. Any other error means: try again later.
//	func deliver(ctx context.Context, sts *mtasts.Client, domain string, mxs []string, msg message) error {
//		policy, err := sts.PolicyFor(ctx, domain)
//		if err != nil {
//			return err // not known
//		}
//		last := errors.New("no MX host")
//		for _, mx := range mxs { // in MX order, never filtered beforehand
//			host, err := policy.CheckMX(mx)
//			if err == nil {
//				err = attempt(ctx, host, mx, msg)
//			}
//			if _, final := errors.AsType[rejection](err); err == nil || final {
//				return err
//			}
//			last = err
//		}
//		return last
//	}
//
//	// attempt tries one MX host, with TLS and then, if the policy does not forbid it, without.
//	func attempt(ctx context.Context, host *mtasts.Host, mx string, msg message) error {
//		err := session(ctx, host, mx, msg, true)
//		noTLS, ok := errors.AsType[tlsFailure](err)
//		if !ok {
//			return err
//		}
//		if err := host.AllowFallback(noTLS.error); err != nil {
//			return err // a violation: on to the next MX host
//		}
//		return session(ctx, host, mx, msg, false)
//	}
//
//	func session(ctx context.Context, host *mtasts.Host, mx string, msg message, startTLS bool) error {
//		conn, err := msg.dial(ctx, "tcp", net.JoinHostPort(mx, "25"))
//		if err != nil {
//			return err
//		}
//		conn.SetDeadline(time.Now().Add(5 * time.Minute))
//		c, err := smtp.NewClient(conn, mx)
//		if err != nil {
//			conn.Close()
//			return err
//		}
//		defer c.Close()
//		if err := c.Hello("relay.example"); err != nil {
//			return err
//		}
//		if startTLS {
//			if err := secure(c, host); err != nil {
//				return err
//			}
//		}
//		if err := c.Mail(msg.from); err != nil {
//			return refusal(err, startTLS)
//		}
//		if err := c.Rcpt(msg.to); err != nil {
//			return refusal(err, startTLS)
//		}
//		w, err := c.Data()
//		if err != nil {
//			return refusal(err, startTLS)
//		}
//		if _, err := w.Write(msg.data); err != nil {
//			return err
//		}
//		if err := w.Close(); err != nil {
//			return refusal(err, startTLS)
//		}
//		c.Quit()
//		return nil
//	}
//
//	// secure sets up TLS. It asks for STARTTLS even if EHLO did not list it: net/smtp finds
//	// the keyword in capitals only.
//	func secure(c *smtp.Client, host *mtasts.Host) error {
//		err := c.StartTLS(host.TLSConfig(nil)) // and EHLO inside TLS
//		reply, isReply := errors.AsType[*textproto.Error](err)
//		state, inTLS := c.TLSConnectionState()
//		switch {
//		case !inTLS && isReply:
//			return tlsFailure{fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, reply)}
//		case err == nil || isReply: // the host has said something inside TLS, if only no to EHLO
//			return errors.Join(host.Verify(state), err)
//		}
//		return tlsFailure{err}
//	}
//
//	// refusal is a rejection if err is a 5xx reply to MAIL, RCPT or DATA. In clear text, 530
//	// is not about the message: the host wants TLS, which could not be had.
//	func refusal(err error, inTLS bool) error {
//		reply, ok := errors.AsType[*textproto.Error](err)
//		if ok && reply.Code/100 == 5 && (inTLS || reply.Code != 530) {
//			return rejection{err}
//		}
//		return err
//	}
//
//	type (
//		rejection  struct{ error } // of the message: return it to its sender
//		tlsFailure struct{ error } // before the first command that is about the message
//	)
//
//	type message struct {
//		from, to string
//		data     []byte
//		dial     func(ctx context.Context, network, address string) (net.Conn, error) // (&net.Dialer{}).DialContext
//	}
//
// An attempt has three calls. [Policy.CheckMX] decides about the host by its name.
// [Host.TLSConfig] makes the configuration for STARTTLS. After the first reply inside TLS,
// [Host.Verify] judges the session and reports the outcome. If there is no TLS,
// [Host.AllowFallback] says whether the message may go without it, and reports that.
//
// A violation of a policy is transient (RFC 8461, Section 5). [errors.As] finds no SMTP reply
// in its error, so nobody mistakes it for a 5xx. On another SMTP library, join
// [ErrNoSTARTTLS] with that library's error, as secure does.
//
// The nil in TLSConfig(nil) means that the sender itself demands nothing of TLS. Mode enforce
// still applies. See [Host.TLSConfig] for a sender that has its own roots, or demands more.
//
// # Caching and refreshing
//
// A fetched policy is cached, in memory and in a file, until its max_age is over. Until then
// only a newer policy that was fetched over verified HTTPS replaces it. DNS answers, failed
// fetches and restarts do not. An expired policy never applies again without a fetch.
//
// [Client.PolicyFor] returns a cached policy without I/O. If the last check is older than five
// minutes (see [Options.CheckInterval]), the client checks the TXT record in the background.
// A new id makes it fetch the policy.
//
// After a violation under mode enforce, the next caller waits for a check. For 30 seconds
// after a check that found no change, callers do not wait again. So when a publisher moves to
// other MX hosts, a message is deferred at most once, unless it comes within these 30 seconds.
//
// [Client.Run] refreshes the policies in use at random times, at least once a day. An attacker
// who wants a policy to expire has to block this for max_age less one day. Meanwhile the
// client reports each refresh that fails ([EventRefresh]).
//
// Relays that share a store share what they have cached: see [SharedStore]. Each policy is then
// fetched and refreshed once for all of them. Module cache/rediscache has such a store on a Redis
// or Valkey server.
//
// # What a caller may rely on
//
// Each guarantee has a test in this package:
//
//	a cached policy applies whatever DNS, HTTPS and      TestRFC8461_3_3_ACachedPolicyIsAppliedWhateverHappens
//	  restarts bring
//	no policy outlives its max_age without a fetch       TestRFC8461_5_1_NothingOutlivesMaxAgeWithoutAFetch
//	what memory evicts, the store keeps                  TestTheStoreKeepsWhatMemoryEvicts
//	if the store cannot be read, mail is deferred        TestAStoreThatCannotBeReadDefers
//	if the store cannot be written, nothing is lost      TestAStoreThatCannotBeWrittenLosesNothing
//	a damaged entry is never used as a policy            TestADamagedEntryIsNeverAPolicy
//	  and affects no other entry                         TestADamagedEntryKeepsNoOtherFromBeingRefreshed
//	a process killed at any moment loses nothing stored  TestKilledAtAnyMoment
//	all callers share one look-up of a domain            TestManyCallersShareOneDiscovery
//	all relays with one store share one fetch            TestAFleetFetchesAPolicyOnce
//	what a shared store loses, a relay that has it       TestAStoreThatLosesPoliciesTalksNoRelayDown
//	  writes back
//	a caller returns at its own deadline                 TestACallerReturnsAtItsDeadlineAndTheResultIsCached
//	a failed fetch is not repeated for five minutes      TestRFC8461_3_3_AFailedFetchBlocksThatIDForFiveMinutes
//	a dead policy host delays no delivery under a        TestABlockedIDIsNotFetchedOnEveryDelivery
//	  cached policy
//	a DNS error does not count as an absent record       TestADNSErrorIsNoAbsence
//	policies in use are refreshed at random, once a day  TestRFC8461_3_3_PoliciesInUseAreRefreshedLongBeforeTheyExpire
//	to end a policy, an attacker must block refreshes    TestRFC8461_10_2_AnAttackerMustBlockForALifetimeLessADay
//	  for max_age less a day, and raises alarms          TestRefreshFailuresAlarmWithRisingSeverity
//	a forged id silences no alarm                        TestTheAlarmRisesAlthoughCallersTryTheSameID
//	a publisher's move defers a message at most once     TestRFC8461_5_1_APublishersMoveCostsAtMostOneDeferral
//	enforce delivers to no host that fails               TestRFC8461_5_EnforceDeliversToNoHostThatFails
//	testing delivers, and reports                        TestRFC8461_5_TestingDeliversAndReports
//	a tls.Config is never looser than its base           TestTLSConfigOnlyEverTightensItsBase
//	an override shows in every answer and event          TestAnOverrideShowsInEveryEventAndLoosensNothingElse
//	the quota evicts first what protects least           TestTheQuotaEvictsFirstWhatProtectsLeast
//	what a full store refused is stored later            TestWhatAFullStoreHasRefusedIsStoredOnceThereIsRoom
//	name servers that disagree cause one fetch for each  TestRFC8461_3_3_IDsInTurnCauseOneFetchEachInFiveMinutes
//	  of four ids in five minutes
//	a caller that cannot wait gets the best answer       TestRFC8461_3_3_ACallerWithAShortDeadlineFailsOnceAtMost
//	a clock that is set loses no valid policy, and       TestAClockThatIsBehindLosesNothingThatWasValid
//	  revives no expired one                             TestAClockThatWasAheadBlocksNoLaterPolicy
//	a violation never looks like a rejection             TestRFC8461_5_AViolationIsNoRejection
//	the loop above bounces only on a rejection           TestTheDeliveryLoopBouncesOnNothingButARejection
//	a session is verified again before it is reused      TestASessionIsVerifiedAgainBeforeItIsReused
//	an attempt has one outcome                           TestAnAttemptHasOneOutcome
//	relays with a SharedStore fetch a policy once        TestAFleetFetchesAPolicyOnce
//	a shared store that loses policies takes none from   TestAStoreThatLosesPoliciesTalksNoRelayDown
//	  a relay that has them, nor from those that ask it
//	errors are one short line of printable ASCII         TestErrorsHoldNoUntrustedOctets
//
// # Which way it fails
//
//	what happened                                  PolicyFor, CheckMX             the MTA
//	---------------------------------------------  -----------------------------  -----------------
//	no TXT record, or not exactly one that is      mode none, with Cause          delivers as usual
//	  valid
//	a TXT record, but no valid policy file         mode none, with Cause          delivers as usual
//	the DNS does not answer, and no policy is      mode none, Cause is Temporary  delivers; a strict
//	  cached                                                                      one defers
//	any of these, and a policy is cached           the cached policy              applies it
//	the store cannot be read                       error                          defers
//	ctx ends during the first look-up              error                          defers
//	ctx ends during a later look-up                the cached policy, or the      as above
//	                                                 result of the last look-up
//	the domain is malformed                        ErrInvalidDomain               bounces
//	enforce: MX host not listed                    CheckMX: ErrNotListed          tries the next MX
//	enforce: no STARTTLS, or a bad certificate     AllowFallback or Verify:       tries the next MX
//	                                                 *Error
//	enforce: no MX host left                                                      defers; Recheck
//	                                                                              before a bounce
//	testing: any of the enforce failures           Event                          delivers
//
// # Before a message fails for good
//
// A violation defers the message. A sender must check for a newer policy before the message
// fails for good (RFC 8461, Section 5): call [Client.Recheck], which says what to do.
// [Error.EnhancedCode] has the status code for the queue and for the bounce.
//
// # Connection pools
//
// A session that was opened for one message may not be good for another. The policy may be
// new or changed, an override may have ended, and two domains with one MX host may have
// different policies. Before a session is used again, check it under the current policy:
//
//	host, err := policy.CheckMX(mx)
//	if err == nil {
//		host.TLSConfig(base)            // its RootCAs count
//		err = host.Verify(pooled.State) // the zero state for clear text
//	}
//	if err != nil {
//		// close it; a new connection needs a new Host
//	}
//
// # DANE comes first
//
// MTA-STS must not override a failing DANE validation (RFC 8461, Section 2). If an MX host
// has usable TLSA records (RFC 7672), do DANE, and do not use this package for the session.
// Or do the DANE check in VerifyConnection of the base passed to [Host.TLSConfig]: its error
// ends the attempt in every mode.
//
//	TLSA records, DNSSEC-validated     the MTA
//	---------------------------------  ---------------------------------------------------
//	usable                             does only DANE; a failure defers the message
//	present, none usable               requires TLS (RFC 7672, Section 2.2) and does MTA-STS
//	none, proven                       does MTA-STS
//	the look-up failed                 defers the message (RFC 7672, Section 2.1.2)
//
// # REQUIRETLS, and mail that needs no TLS
//
// A message can demand TLS, or waive it (RFC 8689). A message with REQUIRETLS needs a
// session that DANE or this package has verified, and a server that offers REQUIRETLS. So
// under modes testing and none, pass a base without InsecureSkipVerify, and never fall back.
//
// Use [NoPolicy] for mail that must arrive even if TLS fails, such as a message with the
// header field "TLS-Required: No".
//
// # Old servers
//
// Go's defaults refuse some old servers, and some old servers fail on Go. Change that in the
// base passed to TLSConfig:
//
//   - RSA key exchange and 3DES are off. A server that has nothing else fails with
//     tls-alert-40. Set CipherSuites to the suites of [tls.CipherSuites] and
//     tls.TLS_RSA_WITH_AES_128_GCM_SHA256.
//   - TLS 1.0 and 1.1 are off. MinVersion turns them on, but never under mode enforce.
//   - The ClientHello has some 1.5 KB because of post-quantum groups, and needs two packets.
//     If a server or middlebox cannot read it, the connection is reset or times out. Set
//     CurvePreferences to tls.X25519, tls.CurveP256.
//
// # Monitoring
//
// [Client.Stats] returns counters and gauges. These are their names for a Prometheus exporter,
// what they count, and when to alert. A metric without an alert is for a dashboard. Run sets
// the mtasts_stored gauges: it reads the whole store every 15 minutes.
//
//	LookupsPolicy    mtasts_lookups_total{outcome="policy"}    PolicyFor calls with a look-up that returned a published policy
//	LookupsNone      mtasts_lookups_total{outcome="none"}      PolicyFor calls with a look-up that returned a Cause; alert if its share jumps
//	LookupsError     mtasts_lookups_total{outcome="error"}     PolicyFor calls with a look-up that failed; alert if it rises (mail is deferred)
//	Discoveries      mtasts_discoveries_total                  checks of TXT records, for callers and for Run
//	FetchesOK        mtasts_fetches_total{result="ok"}         policy files fetched
//	FetchesFailed    mtasts_fetches_total{result="failed"}     fetches that failed; alert if most do
//	Backoffs         mtasts_backoffs_total                     fetches skipped within five minutes of a failed one
//	Refreshes        mtasts_refreshes_total{result="ok"}       refreshes by Run; alert if it stops rising (Run has ended)
//	RefreshesFailed  mtasts_refreshes_total{result="failed"}   refreshes that failed, except of mode none; alert on EventRefresh
//	Violations       mtasts_violations_total                   violations of mode enforce; alert if it jumps (mail is deferred)
//	Events           mtasts_events_total                       events passed to Options.Report
//	Evictions        mtasts_evictions_total                    policies evicted from the store; alert if any (raise Options.Quota)
//	StoreErrors      mtasts_store_errors_total                 failed reads and writes of the store; alert if any
//	Lookups          mtasts_lookups_in_progress                look-ups under way; alert near 20,000 (then callers get errors)
//	Memory           mtasts_memory_domains                     domains in memory, bounded by Options.MemoryEntries
//	Unsaved          mtasts_unsaved_policies                   policies not yet written; alert if above 0 for minutes
//	Unrefreshed      mtasts_unrefreshed_policies               policies whose last refresh failed; alert if it jumps
//	StoredOctets     mtasts_stored_bytes                       octets of stored policies; alert near Options.Quota
//	StoredEnforce    mtasts_stored_policies{mode="enforce"}    stored policies of mode enforce; alert if it falls
//	StoredTesting    mtasts_stored_policies{mode="testing"}    stored policies of mode testing
//	StoredNone       mtasts_stored_policies{mode="none"}       stored policies of mode none
//
// # In tests
//
// Package mtaststest has an Internet in memory. If a test needs only a decision, use a
// literal: &Policy{Domain: "example.com", Mode: ModeEnforce, MX: []string{"*.example.com"}}.
// It works like a fetched policy, but reports nothing.
//
// # What it does not do
//
// It does not send mail, look up MX records, or check revocation (a VerifyConnection in base
// can). An attacker who controls DNS and network at the first contact with a domain can hide
// its policy. This is the limit of trust on first use (RFC 8461, Section 10.2). [Client.Warm]
// moves the first contact to a time before the first message.
package mtasts

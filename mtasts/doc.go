// Package mtasts is the sending side of MTA-STS (RFC 8461). For each message it
// answers whether the message may be handed to an MX host, and how the TLS session
// with that host must look.
//
// The one function that a mail server needs is [Client.PolicyFor]. Open a client once:
//
//	sts, err := mtasts.Open("/var/lib/mta/mta-sts.db", nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer sts.Close()
//	go sts.Run(ctx) // refreshes what is in use
//
// # The delivery loop
//
// Then deliver each message like this. The loop is complete and uses net/smtp alone.
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
// [Host.TLSConfig] makes the configuration for STARTTLS. After the first reply inside
// TLS, [Host.Verify] judges the session and counts the success; if TLS could not be had,
// [Host.AllowFallback] says whether the message may go without it. At most one outcome is
// reported for an attempt. Ask CheckMX again for the next connection to the same host.
//
// A violation of a policy is transient (RFC 8461, Section 5). Its error leads to no SMTP
// reply by [errors.As], so that nobody takes it for a 5xx. A sender on another SMTP library
// joins [ErrNoSTARTTLS] with that library's error, as secure does.
//
// The nil in TLSConfig(nil) is what the sender itself demands of TLS, which is nothing
// where no policy speaks. A sender with roots of its own passes
// &tls.Config{RootCAs: pool, InsecureSkipVerify: true}: mode enforce verifies all the
// same. A base without InsecureSkipVerify verifies every MX host, and no policy loosens it.
//
// # What it promises
//
// A policy that was fetched once is cached, in memory and in a file, until its max_age is
// over. While it lives, nothing but a newer policy that was fetched over verified HTTPS
// takes its place: no answer of the DNS or lack of one, no failed fetch, no restart.
// What has expired does not come back without a fetch.
//
// A cached policy is answered without I/O. If the last check is older than five minutes
// (see [Options.CheckInterval]), the TXT record is checked behind the answer, and a new id
// makes the client fetch the new policy. A violation under mode enforce makes the next
// caller wait for such a check, but not again for 30 seconds after a check that told
// nothing new. So a publisher who has moved costs a message one deferral at most, unless
// it comes in these 30 seconds.
//
// A caller whose context ends gets the best answer there is: the cached policy, or else
// what the last look-up has found. It is an error only where memory holds neither: during
// the first look-up of the domain since the start, or since it was evicted from memory.
//
// [Client.Run] refreshes what is in use at random times, once a day at least. So an
// attacker has to block that for the whole life of the policy less a day, and is noticed
// ([EventRefresh]).
//
// # What a caller may rely on
//
// Each guarantee is shown by a test of this package:
//
//	a cached policy holds against DNS, HTTPS and         TestRFC8461_3_3_ACachedPolicyIsAppliedWhateverHappens
//	  restarts of every kind
//	no policy outlives its max_age without a fetch       TestRFC8461_5_1_NothingOutlivesMaxAgeWithoutAFetch
//	what memory evicts, the store keeps                  TestWhatMemoryForgetsTheStoreRemembers
//	a store that cannot be read defers, never opens      TestAStoreThatCannotBeReadDefers
//	a store that cannot be written loses nothing         TestAStoreThatCannotBeWrittenLosesNothing
//	a damaged entry is never a policy                    TestADamagedEntryIsNeverAPolicy
//	  and harms no other                                 TestADamagedEntryKeepsNoOtherFromBeingRefreshed
//	a process killed at any moment loses nothing stored  TestKilledAtAnyMoment
//	one discovery at a time for a domain, whoever asks   TestManyCallersShareOneDiscovery
//	a caller leaves at its own deadline                  TestACallerLeavesAtItsDeadlineAndTheDiscoveryIsRemembered
//	a failed fetch is not repeated for five minutes      TestRFC8461_3_3_AFailedFetchBlocksThatIDForFiveMinutes
//	a dead policy host delays no delivery with a         TestABlockedIDIsNotFetchedOnEveryDelivery
//	  cached policy
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
//	what a full store has refused is stored later         TestWhatAFullStoreHasRefusedIsStoredOnceThereIsRoom
//	a failed or a fresh fetch is not repeated for five   TestRFC8461_3_3_IDsInTurnCauseOneFetchEachInFiveMinutes
//	  minutes, for each of the last four ids
//	an impatient caller gets the best answer there is    TestRFC8461_3_3_AnImpatientCallerIsSentAwayOnceAtMost
//	a clock that is set loses nothing and revives        TestAClockThatIsBehindLosesNothingThatWasValid
//	  nothing                                            TestAClockThatWasAheadKeepsNoLaterPolicyOutOfTheStore
//	a violation is never taken for a rejection           TestRFC8461_5_AViolationIsNeverTakenForARejection
//	the loop above bounces on nothing but a rejection    TestTheDeliveryLoopBouncesOnNothingButARejection
//	a session is judged anew before it is reused         TestASessionIsJudgedAnewBeforeItIsReused
//	an attempt has one outcome                           TestAnAttemptHasOneOutcome
//	errors are one short line of printable ASCII         TestErrorsHoldNoStrangersOctets
//
// # Which way it fails
//
//	what happened                                  PolicyFor, CheckMX             the MTA
//	---------------------------------------------  -----------------------------  -----------------
//	no TXT record, or not exactly one that is      mode none, with Cause          delivers as usual
//	  valid
//	TXT record, but no valid policy file           mode none, with Cause          delivers as usual
//	the DNS does not answer, nothing is cached     mode none, Cause is Temporary  delivers, or
//	                                                                              defers if strict
//	any of these, with a policy cached             the cached policy              applies it
//	the store cannot be read                       error                          defers
//	ctx ends during the first look-up              error                          defers
//	ctx ends during a later look-up                the cached policy, or what     as above
//	                                                 the last look-up has found
//	the domain is malformed                        ErrInvalidDomain               bounces
//	enforce: MX not listed                         CheckMX: ErrNotListed          tries the next MX
//	enforce: no STARTTLS, or a bad certificate     AllowFallback or Verify:       tries the next MX
//	                                                 *Error
//	enforce: no MX left                                                           defers; Recheck
//	                                                                              before a bounce
//	testing: any of these three                    Event                          delivers
//
// # What to answer, and what a DSN says
//
// [Error.EnhancedCode] is the code of RFC 3463 for the log, the queue and the sender:
//
//	what happened                  while it is queued  when the queue time is over
//	-----------------------------  ------------------  ---------------------------
//	the policy does not list the   4.4.8               5.4.8
//	  MX host
//	TLS or a certificate failed    4.7.5               5.7.5
//	the DNS or store gave nothing  4.4.3, 4.3.0        5.4.7, as for any queue
//	the domain is malformed                            5.1.2, at once
//
// Before a message fails for good, ask [Client.Recheck] (Section 5: a sender must check for
// a newer policy first). It checks the DNS, and fetches the file whatever the id says
// unless it is younger than five minutes:
//
//	Recheck returns                do
//	-----------------------------  ------------------------------------------------
//	a policy of other Mode or Text try the message again under it
//	the same                       let the message fail: its text, the MX host and
//	                               Error() belong into the DSN
//	an error                       keep the message, and ask again at the next try
//	an error, and the queue time   let the message fail all the same: the DSN says
//	  has been over for a day      that the policy could not be checked
//
// # Connection pools
//
// A session that was opened for one message must not carry another because it is there.
// The policy may have come, or changed, or an override may have ended since, and two
// domains with one MX host may have different policies. Before a session is used again,
// ask CheckMX of the policy as it is now, and Verify of the Host:
//
//	host, err := policy.CheckMX(mx)
//	if err == nil {
//		host.TLSConfig(base)            // whose RootCAs count
//		err = host.Verify(pooled.State) // the zero state, if it is in clear text
//	}
//	if err != nil {
//		// close it; a new connection needs a new Host
//	}
//
// # DANE comes first
//
// MTA-STS must not override a failing DANE validation (RFC 8461, Section 2). For
// an MX host with usable TLSA records (RFC 7672) do DANE, and do not ask this
// package about the session. A check in the VerifyConnection of the base passed to
// [Host.TLSConfig] comes on top of what the policy demands. Its error ends the attempt in
// every mode.
//
//	TLSA records, DNSSEC-validated     the MTA does
//	---------------------------------  ---------------------------------------
//	usable                             DANE alone; its failure defers
//	present, none usable               TLS is mandatory by RFC 7672, Section 2.2;
//	                                   MTA-STS besides
//	none, proven                       MTA-STS
//	the look-up failed                 defers (RFC 7672, Section 2.1.2)
//
// # Mail that is to arrive in any case
//
// Two extensions let a message override policies (RFC 8689). One that came with
// REQUIRETLS needs a session that DANE or this package has verified, and a server
// that offers REQUIRETLS too: under mode testing or none verify by a base
// without InsecureSkipVerify, and never fall back. One with the header field
// "TLS-Required: No" is to arrive even where TLS fails: use [NoPolicy]. So do reports
// about TLS (RFC 8460, Section 3), which ask for no policy, and mail that is forwarded
// inside one's own network.
//
// # Smart hosts
//
// If all mail goes to a relay, the relay's domain is the policy domain, never the
// recipient's (RFC 8461, Section 3.4). [Client.PolicyFor] takes the next hop as it
// stands in a configuration, such as [relay.example]:587. An address literal,
// [192.0.2.1], has no policy. Domains and MX hosts may be given as A-labels or U-labels.
//
// # What a handshake cannot do
//
// Go's defaults refuse some old servers, and some old servers choke on Go. The base
// passed to TLSConfig changes that:
//
//   - RSA key exchange and 3DES are off. A server that knows nothing else fails with
//     tls-alert-40: add tls.TLS_RSA_WITH_AES_128_GCM_SHA256 to the suites of
//     [tls.CipherSuites], and set CipherSuites to all of these.
//   - TLS 1.0 and 1.1 are off. MinVersion turns them on, but never under mode enforce.
//   - The first message has some 1.5 KB because of post-quantum groups, so it comes in two
//     packets. A server or middlebox that cannot read that resets the connection or lets
//     it time out: set CurvePreferences to tls.X25519, tls.CurveP256.
//
// # Closing
//
// [Client.Close] ends all look-ups and writes what is not stored yet, mostly within some
// milliseconds. A store that hangs is left after half a minute, and the error says how
// many policies are lost.
//
// # In tests
//
// Package mtaststest has an Internet in memory. Where a decision is all that a test needs,
// a literal will do: a &Policy{Domain: "example.com", Mode: ModeEnforce, MX: []string{
// "*.example.com"}} decides and makes configurations like one that was fetched. It
// reports nothing.
//
// # What it does not do
//
// It sends no mail, and looks up no MX records. It does not check revocation; a
// VerifyConnection of the caller's may. An attacker who controls DNS and network
// at the first contact with a domain can hide its policy: that is what trust on
// first use means (RFC 8461, Section 10.2).
package mtasts

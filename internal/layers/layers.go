// Package layers holds a test of which package may import which. Imports point down
// only:
//
//	4  examples, internal/e2e, internal/soak
//	3  mtasts/diagnose
//	2  mtasts/mtaststest, mtasts/tlsrpt
//	1  mtasts
//	0  internal/sts, internal/fetch, internal/certcheck, internal/testpki, internal/leak, internal/testcost, resolver, cache
package layers

package testcost

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// OnAllCores is the loop of a benchmark that asks for each of keys in turn, beginning
// anew behind the last, on all cores at once. It fails if ask does not find one.
//
// [testing.B.RunParallel] has its workers count down in words that may, as chance has
// it, lie in one line of the processors' caches: in one run of three, two cores took
// nine nanoseconds longer for each operation.
func OnAllCores(b *testing.B, keys []string, ask func(key string) bool) {
	const share = 1000 // of the operations, that a worker takes at once
	var taken atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for end := taken.Add(share); end-share < int64(b.N); end = taken.Add(share) {
				i := int(end-share) % len(keys)
				for range min(share, int64(b.N)-(end-share)) {
					if !ask(keys[i]) {
						b.Errorf("%q is missing", keys[i])
						return
					}
					if i++; i == len(keys) {
						i = 0
					}
				}
			}
		})
	}
	wg.Wait()
}

package mtasts

import (
	"slices"
	"time"
)

const (
	// fetchSpacing is the least time between two fetches for one id. RFC 8461, Section 3.3:
	// "limiting further attempts to a period of five minutes or longer per version ID".
	fetchSpacing = 5 * time.Minute

	// maxFetchAttempts is how many ids are noted for each domain. Name servers that
	// disagree give several in turn, and must not cause a fetch at every check.
	maxFetchAttempts = 4
)

// A fetchAttempt is a fetch of a policy file under an id.
type fetchAttempt struct {
	id      string
	at      time.Duration // as Client.since counts
	failure *Error        // nil if it succeeded
}

// recentFetch returns the last fetch for an id, if another must not follow it yet. While all
// noted fetches are recent, no further id is fetched: it then returns the last of all.
func (e *cacheEntry) recentFetch(id string, now time.Duration) (fetchAttempt, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.fetches {
		if a.id == id {
			return a, now-a.at < fetchSpacing
		}
	}
	if len(e.fetches) == maxFetchAttempts && now-e.fetches[maxFetchAttempts-1].at < fetchSpacing {
		return e.fetches[0], true
	}
	return fetchAttempt{}, false
}

// noteFetch notes a fetch in place of the last one for the same id. It reports whether there
// was one.
func (e *cacheEntry) noteFetch(a fetchAttempt) (again bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	kept := slices.DeleteFunc(e.fetches, func(old fetchAttempt) bool { return old.id == a.id })
	again = len(kept) < len(e.fetches)
	e.fetches = slices.Insert(kept, 0, a)
	e.fetches = e.fetches[:min(len(e.fetches), maxFetchAttempts)]
	return again
}

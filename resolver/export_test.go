package resolver

import "time"

// WithLimit returns a System that gives up after d in place of Limit.
func (s System) WithLimit(d time.Duration) System {
	s.limit = d
	return s
}

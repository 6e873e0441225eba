package mtasts

import "slices"

// emitChanges reports what an operator may want to know about now, which replaces was. seenID
// means that its id was seen before: name servers that disagree are reported once.
func (c *Client) emitChanges(was, now *Policy, seenID bool) {
	change := func(reason string) {
		c.emit(Event{Kind: EventChange, Domain: now.Domain, Policy: now, Previous: was, Reason: reason})
	}
	if was.Mode == ModeEnforce && now.Mode != ModeEnforce {
		change(ReasonEnforcementEnded)
	}
	if was.speaks() && now.speaks() && widened(was.MX, now.MX) {
		change(ReasonPatternsAdded)
	}
	switch same := was.Text == now.Text; {
	case was.ID == now.ID && !same:
		change(ReasonSameIDOther)
	case was.ID != now.ID && same && !seenID:
		change(ReasonNewIDSame)
	}
}

// widened reports whether now has all patterns of was, and others besides. A move to other
// hosts removes some.
func widened(was, now []string) bool { return has(now, was) && !has(was, now) }

// has reports whether each of some is in all. There may be thousands.
func has(all, some []string) bool {
	known := make(map[string]bool, len(all))
	for _, mx := range all {
		known[mx] = true
	}
	return !slices.ContainsFunc(some, func(mx string) bool { return !known[mx] })
}

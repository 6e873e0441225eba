package mtasts

// An Action is what [Options].Override makes of a domain's policy.
type Action string

const (
	// ActionExempt: the domain is treated as one without a policy. It is for a
	// publisher whose mistake holds up mail that has to go out.
	ActionExempt Action = "exempt"

	// ActionObserve: a policy of mode enforce is applied as if its mode were
	// testing. Each refusal that there would have been is an [EventSession] with
	// its Result, whose Policy has Override set. It is for watching what would
	// happen, in one domain or all of them, before it does.
	ActionObserve Action = "observe"
)

// overridden is p as the operator wants it applied. The policy that is cached
// is not touched by that: it goes on to be refreshed, and applies again as soon as
// the override is gone.
func (c *Client) overridden(p *Policy) *Policy {
	if c.override == nil || p == nil {
		return p
	}
	action, ok := c.override(p.Domain)
	if !ok || action != ActionExempt && action != ActionObserve {
		return p
	}
	changed := *p
	changed.Override = action
	switch {
	case action == ActionExempt:
		changed.Mode = ModeNone
	case p.Mode == ModeEnforce:
		changed.Mode = ModeTesting
	}
	return &changed
}

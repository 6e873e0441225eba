package mtasts

// An Action is what [Options].Override does with a domain's policy.
type Action string

const (
	// ActionExempt: treat the domain as one without a policy. Use it when a publisher's
	// mistake holds up mail that has to go out.
	ActionExempt Action = "exempt"

	// ActionObserve: apply mode enforce as if it were testing. Each message that mode
	// enforce would have refused is an [EventSession] with its Result, whose Policy has
	// Override set. Use it to see what enforcing would do, for one domain or all.
	ActionObserve Action = "observe"
)

// overridden returns p as the operator wants it applied. The cached policy stays as it is:
// it is refreshed, and applies again once the override ends.
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

package diagnose

import "slices"

// judgeCached compares what a sender has cached with what is published now.
func (d *diagnosis) judgeCached() {
	cached := d.opts.Cached
	if cached == nil || cached.Policy == nil {
		return
	}
	p, published := cached.Policy, d.failed == nil && d.fileErr == nil
	c := &Cached{
		Mode: p.Mode, ID: clean(p.ID), MX: cleanAll(append([]string{}, p.MX...), maxLines),
		Fetched: p.Fetched.UTC(), Expires: p.Expires.UTC(), Expired: d.r.Time.After(p.Expires),
		LastUse: cached.LastUse.UTC(), NextRefresh: cached.NextRefresh.UTC(), Failures: cached.Failures,
		SameID: d.r.Record.ID == p.ID, SameText: published && d.body == p.Text,
		Lines: lines(p.Text),
	}
	d.r.Cached = c
	a := args{"id": d.r.Record.ID, "old": c.ID, "until": stamp(c.Expires)}
	switch {
	case !published || d.r.Record.ID == "":
		if d.r.Verdict.Source == "cached" {
			d.add("cached-in-use", "", a)
		}
	case c.SameID && !c.SameText:
		if now := lines(d.body); !slices.Equal(now, c.Lines) { // and not the line ends alone
			f := d.add("id-unchanged", "", a).publish(d.newRecord(""))
			f.showOther("cached", c.Lines, now)
			f.showOther("published", now, c.Lines)
		}
	case !c.SameID && c.SameText:
		d.add("file-behind-record", "", a)
	case !c.SameID:
		d.add("cached-differs", "", a)
	}
	if c.Failures > 0 {
		a["count"], a["since"] = plural(int64(c.Failures), "attempt"), stamp(cached.Since)
		d.add("cached-refresh-failing", "", a)
	}
}

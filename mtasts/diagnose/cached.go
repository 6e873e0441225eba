package diagnose

import (
	"strings"
	"time"
)

// judgeCached compares what a sender has cached with what is published now.
func (d *diagnosis) judgeCached() {
	cached := d.opts.Cached
	if cached == nil || cached.Policy == nil {
		return
	}
	p, published := cached.Policy, d.fetchErr == nil && d.fileErr == nil
	c := &Cached{
		Mode: p.Mode, ID: clean(p.ID), MX: cleanAll(append([]string{}, p.MX...), maxLines),
		Fetched: p.Fetched.UTC(), Expires: p.Expires.UTC(), Expired: d.r.Time.After(p.Expires),
		LastUse: cached.LastUse.UTC(), NextRefresh: cached.NextRefresh.UTC(), Failures: cached.Failures,
		SameID: d.r.Record.ID == p.ID, SameText: published && d.body == p.Text,
		Text: escape(p.Text, maxBody),
	}
	d.r.Cached = c
	a := args{"id": d.r.Record.ID, "old": c.ID, "until": c.Expires.Format(time.DateTime) + " UTC"}
	switch {
	case !published || d.r.Record.ID == "":
		if d.r.Verdict.Source == "cached" {
			d.add("cached-in-use", "", a)
		}
	case c.SameID && !c.SameText:
		d.add("id-unchanged", "", a).publish(d.newRecord()).
			show("cached", strings.Join(strings.Fields(c.Text), " "), 0).show("published", escape(d.body, maxBody), 0)
	case !c.SameID && c.SameText:
		d.add("file-behind-record", "", a)
	case !c.SameID:
		d.add("cached-differs", "", a)
	}
	if c.Failures > 0 {
		a["count"], a["since"] = plural(int64(c.Failures), "refresh"), cached.Since.UTC().Format(time.DateTime)+" UTC"
		d.add("cached-refresh-failing", "", a)
	}
}

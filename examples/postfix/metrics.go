package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// A metric is one family in Prometheus' text format.
type metric struct {
	name, kind, help string
	samples          []sample
}

type sample struct {
	labels string // {name="value"}, or ""
	value  float64
}

// metrics returns the current metrics. Those named mtasts_ are as in the documentation of
// package mtasts.
func (s *status) metrics() []metric {
	st := s.client.Stats()
	r := &s.answers.counts
	one := func(name, kind, help string, value float64) metric {
		return metric{name, kind, help, []sample{{"", value}}}
	}
	several := func(name, kind, help, label string, values ...any) metric {
		m := metric{name: name, kind: kind, help: help}
		for i := 0; i < len(values); i += 2 {
			m.samples = append(m.samples, sample{fmt.Sprintf("{%s=%q}", label, values[i]), values[i+1].(float64)})
		}
		return m
	}
	n := func(v uint64) float64 { return float64(v) }
	return []metric{
		several("mtasts_lookups_total", "counter", "Queries that needed a look-up, by its outcome.", "outcome",
			"policy", n(st.LookupsPolicy), "none", n(st.LookupsNone), "error", n(st.LookupsError)),
		one("mtasts_discoveries_total", "counter", "Checks of TXT records.", n(st.Discoveries)),
		several("mtasts_fetches_total", "counter", "Fetches of policy files.", "result",
			"ok", n(st.FetchesOK), "failed", n(st.FetchesFailed)),
		one("mtasts_backoffs_total", "counter", "Fetches skipped because one failed in the last five minutes.", n(st.Backoffs)),
		several("mtasts_refreshes_total", "counter", "Refreshes of policies in use.", "result",
			"ok", n(st.Refreshes), "failed", n(st.RefreshesFailed)),
		one("mtasts_violations_total", "counter", "Queries for domains of mode enforce that have no listed MX host in the DNS.", n(st.Violations)),
		one("mtasts_events_total", "counter", "Events.", n(st.Events)),
		one("mtasts_evictions_total", "counter", "Policies evicted from the store.", n(st.Evictions)),
		one("mtasts_store_errors_total", "counter", "Failed reads and writes of the store.", n(st.StoreErrors)),
		one("mtasts_lookups_in_progress", "gauge", "Look-ups under way.", float64(st.Lookups)),
		one("mtasts_memory_domains", "gauge", "Domains in memory.", float64(st.Memory)),
		one("mtasts_unsaved_policies", "gauge", "Policies not yet written to the store.", float64(st.Unsaved)),
		one("mtasts_unrefreshed_policies", "gauge", "Policies whose last refresh failed.", float64(st.Unrefreshed)),
		one("mtasts_stored_bytes", "gauge", "Size of the stored policies.", float64(st.StoredOctets)),
		several("mtasts_stored_policies", "gauge", "Stored policies.", "mode",
			"enforce", float64(st.StoredEnforce), "testing", float64(st.StoredTesting), "none", float64(st.StoredNone)),
		several("mtasts_postfix_replies_total", "counter", "Replies to Postfix.", "reply",
			"secure", n(r.secure.Load()), "dane-only", n(r.daneOnly.Load()), "testing", n(r.testing.Load()),
			"notfound", n(r.notFound.Load()), "temp", n(r.temp.Load()), "perm", n(r.perm.Load())),
		one("mtasts_postfix_connections_total", "counter", "Connections accepted.", n(s.server.accepted.Load())),
		one("mtasts_postfix_connections", "gauge", "Open connections.", float64(s.server.connections())),
		one("mtasts_postfix_connections_limit", "gauge", "Connections that may be open.", maxConns),
		one("mtasts_postfix_malformed_queries_total", "counter", "Connections closed because of a malformed query.", n(s.server.malformed.Load())),
		several("mtasts_postfix_build_info", "gauge", "Always 1.", "version", version(), 1.0),
		one("go_goroutines", "gauge", "Number of goroutines.", float64(runtime.NumGoroutine())),
		one("process_start_time_seconds", "gauge", "Start of the process, in Unix time.", float64(s.begun.Unix())),
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// writeMetrics writes Prometheus' text format, version 0.0.4.
func writeMetrics(w io.Writer, list []metric) {
	for _, m := range list {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		for _, s := range m.samples {
			fmt.Fprintf(w, "%s%s %v\n", m.name, s.labels, s.value)
		}
	}
}

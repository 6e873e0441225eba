// Plan says what a fleet of relays asks of its Redis server. It simulates two hours of mail on
// some relays at full scale: which domains are in memory, and which calls go to the server. The
// rest follows from the unit costs, which BenchmarkServer measures. See the README of rediscache.
//
//	go run ./plan
//	go run ./plan -relays 100 -rate 1000 -recipients 50e6 -policies 5e6
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"text/tabwriter"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// A world is a fleet and its mail.
type world struct {
	name       string
	relays     int
	rate       float64 // messages a second for each relay
	recipients float64 // recipient domains without a policy
	policies   float64 // recipient domains with one
	share      float64 // of the messages that go to domains with a policy
	memory     int     // mtasts.Options.MemoryEntries
}

// Unit costs of the server's CPU, and of its memory, as BenchmarkServer reports them.
const (
	getCost    = 4.3e-6 // seconds
	leaseCost  = 6.2e-6
	writeCost  = 67e-6 // alone; in a batch a tenth
	walkCost   = 1.9e-6
	noticeCost = 0.2e-6
	entrySize  = 390.0 // octets

	fetchCost   = 1.5e-3 // seconds of a relay's CPU
	fetchSize   = 6e3    // octets: a TLS handshake and a small file
	noticeSize  = 60.0
	commandSize = 400.0 // of a GET and its reply

	refreshesADay = 1.45 // after 30 to 70 % of 33 hours
	usesADay      = 1.0  // the last use is stored once a day
	walkInterval  = 450.0
	checkInterval = 300.0
)

// A load is what comes of it, a second and for the whole fleet.
type load struct {
	checks    float64 // look-ups in the store, each with a DNS query
	waiting   float64 // the part of all messages that wait for one
	held      float64 // the part of all policies that a relay has in memory
	refreshes float64
	rereads   float64 // because of notices
	notices   float64
	walk      float64 // entries read by walks
	core      float64 // of the server's CPU
	memory    float64 // octets
	recovery  float64 // seconds of the server's CPU until all relays have read their policies again
	traffic   float64 // octets
}

// simulate returns the load of w. It simulates a few relays, because they are alike.
func simulate(w world, relays int, warmUp, measured time.Duration) load {
	var checks, waiting, messages, held float64
	for i := range relays {
		random := rand.New(rand.NewPCG(8461, uint64(i)))
		with := rand.NewZipf(random, 1.05, 1, uint64(w.policies)-1)
		without := rand.NewZipf(random, 1.05, 1, uint64(w.recipients)-1)
		memory := cache.NewLRU[float64](w.memory) // the time of the last check
		end := warmUp.Seconds() + measured.Seconds()
		for now := 0.0; now < end; now += random.ExpFloat64() / w.rate {
			key := fmt.Sprint("n", without.Uint64())
			if random.Float64() < w.share {
				key = fmt.Sprint("p", with.Uint64())
			}
			measure := now > warmUp.Seconds()
			if measure {
				messages++
			}
			checked, known := memory.Get(key)
			if known && now-checked < checkInterval {
				continue
			}
			if measure {
				checks++
				if !known || key[0] == 'n' { // a policy is answered, and checked in the background
					waiting++
				}
			}
			memory.Add(key, now, 1)
		}
		for _, key := range memory.Keys() {
			if key[0] == 'p' {
				held++
			}
		}
	}
	scale := float64(w.relays) / float64(relays) / measured.Seconds()
	l := load{
		checks:    checks * scale,
		waiting:   waiting / messages,
		held:      held / float64(relays) / w.policies,
		refreshes: w.policies * refreshesADay / 86400,
		walk:      w.policies / walkInterval,
		memory:    w.policies * entrySize,
	}
	l.recovery = float64(w.relays) * l.held * w.policies * getCost
	writes := l.refreshes + w.policies*usesADay/86400
	l.notices = writes * float64(w.relays)
	l.rereads = l.notices * l.held
	gets := l.checks + l.rereads + 2*l.refreshes
	l.core = gets*getCost + l.refreshes*leaseCost + writes*writeCost + l.notices*noticeCost + l.walk*walkCost
	l.traffic = (gets+l.walk)*commandSize + writes*2*commandSize + l.notices*noticeSize
	return l
}

// report prints a column for each world.
func report(out io.Writer, worlds []world, loads []load) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name, format string, value func(w world, l load) float64) {
		fmt.Fprint(table, name, "\t")
		for i := range worlds {
			fmt.Fprintf(table, format+"\t", value(worlds[i], loads[i]))
		}
		fmt.Fprintln(table)
	}
	fmt.Fprint(table, "\t")
	for _, w := range worlds {
		fmt.Fprint(table, w.name, "\t")
	}
	fmt.Fprintln(table)
	row("relays", "%.0f", func(w world, l load) float64 { return float64(w.relays) })
	row("messages a second", "%.0f", func(w world, l load) float64 { return w.rate * float64(w.relays) })
	row("policies", "%.0f", func(w world, l load) float64 { return w.policies })
	row("domains in memory of each relay", "%.0f", func(w world, l load) float64 { return float64(w.memory) })
	row("server: memory, MB", "%.0f", func(w world, l load) float64 { return l.memory / 1e6 })
	row("server: look-ups for checks a second", "%.0f", func(w world, l load) float64 { return l.checks })
	row("server: entries read by walks a second", "%.0f", func(w world, l load) float64 { return l.walk })
	row("server: notices a second", "%.0f", func(w world, l load) float64 { return l.notices })
	row("server: entries read after notices a second", "%.0f", func(w world, l load) float64 { return l.rereads })
	row("server: CPU, % of a core", "%.1f", func(w world, l load) float64 { return 100 * l.core })
	row("server: CPU after it was lost, seconds of a core", "%.1f", func(w world, l load) float64 { return l.recovery })
	row("server: traffic, MB a second", "%.1f", func(w world, l load) float64 { return l.traffic / 1e6 })
	row("messages that wait for the server and the DNS, %", "%.1f", func(w world, l load) float64 { return 100 * l.waiting })
	row("fetches a second", "%.1f", func(w world, l load) float64 { return l.refreshes })
	row("fetches a second, without sharing", "%.1f", func(w world, l load) float64 { return l.refreshes * float64(w.relays) })
	row("fetches: CPU of the relay that walks, % of a core", "%.1f", func(w world, l load) float64 { return 100 * l.refreshes * fetchCost })
	row("fetches: traffic, MB a second", "%.2f", func(w world, l load) float64 { return l.refreshes * fetchSize / 1e6 })
	table.Flush()
}

func main() {
	var w world
	flag.IntVar(&w.relays, "relays", 0, "relays; 0: the two worlds of the README")
	flag.Float64Var(&w.rate, "rate", 100, "messages a second for each relay")
	flag.Float64Var(&w.recipients, "recipients", 2e6, "recipient domains without a policy")
	flag.Float64Var(&w.policies, "policies", 1e5, "recipient domains with a policy")
	flag.Float64Var(&w.share, "share", 0.5, "share of the messages that go to domains with a policy")
	flag.IntVar(&w.memory, "memory", 1<<16, "domains in the memory of each relay")
	flag.Parse()
	w.name = "fleet"
	worlds := []world{w}
	if w.relays == 0 {
		worlds = []world{
			{"today", 10, 100, 2e6, 1e5, 0.5, 1 << 16},
			{"stress", 100, 1000, 50e6, 5e6, 0.5, 1 << 16},
			{"stress, 1M in memory", 100, 1000, 50e6, 5e6, 0.5, 1 << 20},
		}
	}
	var loads []load
	for _, w := range worlds {
		loads = append(loads, simulate(w, 2, time.Hour, time.Hour))
	}
	report(os.Stdout, worlds, loads)
}

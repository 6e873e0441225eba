package rediscache_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/valkey-io/valkey-go"
)

var (
	fleetDomains = flag.Int("fleet.domains", 10_000, "domains of the test with four processes")
	relayServer  = flag.String("fleet.server", "", "run as a relay of the fleet on this server: used by the test itself")
)

// TestMain runs the relay if the process is one of the fleet.
func TestMain(m *testing.M) {
	flag.Parse()
	if *relayServer != "" {
		runRelay(*relayServer)
		return
	}
	// Most tests wait for servers, so more of them than there are cores run at a time.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// A round is what the test tells a relay to do: ask for all domains in random order, Workers at
// a time. If Forged, an attacker has removed all TXT records.
type round struct {
	Workers int
	Forged  bool
}

// A tally is what the relay answers.
type tally struct {
	Enforced, Deferred, None int
	Fetches                  int // since the relay began
}

func fleetDomain(i int) string { return fmt.Sprintf("host%d.example", i) }

// runRelay does rounds that it reads from standard input. Each process has a World of its own,
// and all Worlds are the same.
func runRelay(server string) {
	f := &fleet{World: mtaststest.NewWorld()}
	for i := range *fleetDomains {
		name := fleetDomain(i)
		f.publish(name, "1", "mx."+name)
		f.SetPolicyHost(name, mtaststest.PolicyHost{Delay: 20 * time.Millisecond, Body: mtaststest.Policy(mtasts.ModeEnforce, week, "mx."+name)})
	}
	store, err := rediscache.Open(valkey.ClientOption{InitAddress: []string{server}}, nil)
	if err != nil {
		panic(err)
	}
	client := mtasts.New(store, f.Options())
	defer client.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go client.Run(ctx)
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var r round
		if err := in.Decode(&r); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			panic(err)
		}
		if r.Forged {
			for i := range *fleetDomains {
				f.forge(fleetDomain(i))
			}
		}
		var enforced, deferred, none atomic.Int64
		var work sync.WaitGroup
		places := make(chan struct{}, r.Workers)
		for _, i := range rand.Perm(*fleetDomains) {
			places <- struct{}{}
			work.Go(func() {
				switch p, err := client.PolicyFor(ctx, fleetDomain(i)); {
				case err != nil:
					deferred.Add(1)
				case p.Mode == mtasts.ModeEnforce:
					enforced.Add(1)
				default:
					none.Add(1)
				}
				<-places
			})
		}
		work.Wait()
		for client.Stats().Unsaved > 0 && !r.Forged {
			<-time.After(10 * time.Millisecond) // until the store has what this relay has fetched
		}
		fetches := int(client.Stats().FetchesOK + client.Stats().FetchesFailed)
		if err := out.Encode(tally{int(enforced.Load()), int(deferred.Load()), int(none.Load()), fetches}); err != nil {
			panic(err)
		}
	}
}

// A process is a relay of the fleet.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startRelay(t *testing.T, s *server) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(program, "-fleet.server", s.addr, "-fleet.domains", fmt.Sprint(*fleetDomains))}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}

// play has all relays play a round at once, and returns their tallies. A relay that is killed
// meanwhile has none.
func play(t *testing.T, relays []*process, r round) []*tally {
	t.Helper()
	tallies := make([]*tally, len(relays))
	var work sync.WaitGroup
	for i, p := range relays {
		work.Go(func() {
			if err := json.NewEncoder(p.in).Encode(r); err != nil {
				return
			}
			line, err := p.out.ReadBytes('\n')
			if err != nil {
				return
			}
			got := new(tally)
			if err := json.Unmarshal(line, got); err != nil {
				t.Errorf("relay %d: %v: %q", i, err, line)
				return
			}
			tallies[i] = got
		})
	}
	work.Wait()
	return tallies
}

func TestFourRelaysFetchEachPolicyOnce(t *testing.T) {
	s := startServer(t)
	relays := make([]*process, 4)
	for i := range relays {
		relays[i] = startRelay(t, s)
	}
	began := time.Now()
	fetches := 0
	for i, got := range play(t, relays, round{Workers: 64}) {
		if got == nil || got.Enforced != *fleetDomains {
			t.Fatalf("relay %d: %+v; want %d policies of mode enforce", i, got, *fleetDomains)
		}
		fetches += got.Fetches
	}
	ratio := float64(fetches) / float64(*fleetDomains)
	t.Logf("4 relays, %d domains: %d fetches, %.4f for each domain, in %v", *fleetDomains, fetches, ratio, time.Since(began))
	if ratio > 1.05 {
		t.Errorf("%.4f fetches for each domain, want 1.05 at most", ratio)
	}
}

// An attacker has removed the TXT records after the fleet has fetched the policies. Whatever dies,
// no relay may take a domain for one without a policy.
func TestAFleetIsNotTalkedDownWhateverDies(t *testing.T) {
	s := startServer(t)
	relays := make([]*process, 4)
	for i := range relays {
		relays[i] = startRelay(t, s)
	}
	for i, got := range play(t, relays[:2], round{Workers: 64}) { // the others know nothing yet
		if got == nil || got.Enforced != *fleetDomains {
			t.Fatalf("relay %d: %+v; want %d policies of mode enforce", i, got, *fleetDomains)
		}
	}
	check := func(what string) {
		t.Helper()
		for i, got := range play(t, relays, round{Workers: 64, Forged: true}) {
			if got != nil && got.None > 0 {
				t.Errorf("%s: relay %d has no policy for %d of %d domains", what, i, got.None, *fleetDomains)
			}
			t.Logf("%s: relay %d: %+v", what, i, got)
		}
	}
	// The relays that know nothing yet ask while the server loses everything.
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		<-time.After(time.Duration(rand.IntN(1000)) * time.Millisecond)
		s.kill()
		s.start()
	}()
	check("the server dies during a round")
	<-restarted

	s.kill()
	s.start()
	relays[1].kill()
	relays[1] = startRelay(t, s)
	check("the server and a relay have died")

	s.freeze()
	relays[2].kill()
	relays[2] = startRelay(t, s)
	thawed := time.AfterFunc(5*time.Second, s.thaw)
	check("the server stands still, and a relay has died")
	if thawed.Stop() {
		s.thaw()
	}
	ready := func() bool {
		all := true
		for _, got := range play(t, relays, round{Workers: 64, Forged: true}) {
			all = all && got != nil && got.Enforced == *fleetDomains
		}
		return all
	}
	if !eventually(ready) {
		t.Error("at the end not all relays have all policies")
	}
}

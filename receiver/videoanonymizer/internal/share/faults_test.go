// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// faultRounds returns how many faults to inject: few, or the value of the environment variable FAULT_ROUNDS.
func faultRounds(t *testing.T, few int) int {
	t.Helper()
	if text := os.Getenv("FAULT_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return n
	}
	if testing.Short() {
		t.Skip("faults take a while")
	}
	return few
}

// faultSeed returns FAULT_SEED, or a different seed each time.
func faultSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FAULT_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("FAULT_SEED=%d", seed)
	return seed
}

const childEnv = "SHARE_TEST_CHILD"

// child is the role of a child process: a machine, or a server alone.
type child struct {
	Config  Config
	Machine string
	Broker  bool
	// Orders is a folder in which the test puts files that tell this child to stop or to die at a point.
	Orders string
	// Log is a file to which children append what they have renamed and committed.
	Log string
}

// beChild is the main function of a child process.
func beChild(text string) error {
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	logger, err := zap.NewDevelopment(zap.IncreaseLevel(zap.InfoLevel))
	if err != nil {
		return err
	}
	if c.Broker {
		n, err := startNode(&c.Config, nil, logger)
		if err != nil {
			return err
		}
		defer n.stop()
		<-ctx.Done()
		return nil
	}
	e, err := New(c.Config, Options{
		Machine: c.Machine, Made: "v1", Slots: 2, ScanInterval: 100 * time.Millisecond, Logger: logger.Named(c.Machine),
		Worker: &inverter{root: c.Config.Root, pace: 10 * time.Millisecond}, Source: folder{c.Config.Root},
		Deaths: 100, Attempts: 100, // injected faults are not the video's fault
		reached: c.reached,
		wall:    func() time.Time { return time.Now().Add(time.Duration(rand.IntN(7200)-3600) * time.Second) },
	})
	if err != nil {
		return err
	}
	return e.Run(ctx)
}

// reached carries out an order for the point, and logs what was renamed or committed.
func (c *child) reached(point string) {
	if kind, name, ok := strings.Cut(point, " "); ok {
		point = kind
		f, err := os.OpenFile(c.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, _ = fmt.Fprintf(f, "%s %s %s\n", kind, name, c.Machine)
			_ = f.Close()
		}
	}
	for _, order := range []struct {
		name   string
		signal syscall.Signal
	}{{"stop", syscall.SIGSTOP}, {"kill", syscall.SIGKILL}} {
		path := filepath.Join(c.Orders, fmt.Sprintf("%s-%s-%s", c.Machine, order.name, point))
		if os.Remove(path) == nil {
			_ = syscall.Kill(os.Getpid(), order.signal)
		}
	}
}

// machine is a child process.
type machine struct {
	child
	// wrap changes the command to start the process in its own namespaces; nil for none.
	wrap func(cmd *exec.Cmd)
	log  string
	cmd  *exec.Cmd
}

func (m *machine) start(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(m.child)
	require.NoError(t, err)
	exe, err := os.Executable()
	require.NoError(t, err)
	m.cmd = exec.Command(exe)
	m.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	log, err := os.OpenFile(m.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer log.Close()
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if m.wrap != nil {
		m.wrap(m.cmd)
	}
	require.NoError(t, m.cmd.Start())
}

func (m *machine) kill() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
}

// stopped reports whether the process is stopped by a signal.
func (m *machine) stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return err == nil && bytes.HasPrefix(rest, []byte("T"))
}

// gone reports whether the process has ended.
func (m *machine) gone() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return err != nil || bytes.HasPrefix(rest, []byte("Z"))
}

// site is the machines of a test, and the faults that can hit them.
type site struct {
	t        *testing.T
	root     string
	folder   string
	workers  []*machine
	brokers  []*machine
	embedded bool
	// share is the name of the share.
	share string
	// cut takes a machine off the network, or puts it back; nil if that is not possible.
	cut   func(name string, off bool)
	rand  *rand.Rand
	lease time.Duration
	count int
}

func newSite(t *testing.T) *site {
	t.Helper()
	seed := faultSeed(t)
	folder := t.TempDir()
	s := &site{
		t: t, folder: folder, root: filepath.Join(folder, "root"), share: "test", lease: testLease,
		rand: rand.New(rand.NewPCG(seed, 1)),
	}
	require.NoError(t, os.MkdirAll(filepath.Join(s.root, "in"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(folder, "orders"), 0o755))
	t.Cleanup(func() {
		for _, m := range s.all() {
			m.kill()
			if t.Failed() {
				text, _ := os.ReadFile(m.log)
				t.Logf("%s:\n%s", m.Machine, text)
			}
		}
	})
	return s
}

// all returns the processes, each once.
func (s *site) all() []*machine {
	if s.embedded {
		return s.workers
	}
	return append(append([]*machine{}, s.workers...), s.brokers...)
}

func (s *site) machine(name string, cfg Config, broker bool) *machine {
	return &machine{
		child: child{cfg, name, broker, filepath.Join(s.folder, "orders"), filepath.Join(s.folder, "log")},
		log:   filepath.Join(s.folder, name+".log"),
	}
}

// fault is a fault to inject. It is over when do returns.
type fault struct {
	name string
	do   func()
}

func (s *site) faults() []fault {
	faults := []fault{
		{"a machine dies", func() { s.atPoint("kill") }},
		{"a machine is stopped for longer than a lease", func() { s.atPoint("stop") }},
		{"a machine dies at some time", func() {
			m := s.workers[s.rand.IntN(len(s.workers))]
			m.kill()
			s.pause(0, s.lease)
			m.start(s.t)
		}},
		{"the data of one server are lost", func() { s.loseServers(1, true) }},
		{"the data of most servers are lost", func() { s.loseServers(2, true) }},
		{"the data of all servers are lost", func() { s.loseServers(3, true) }},
		{"one server is away", func() { s.loseServers(1, false) }},
		{"most servers are away", func() { s.loseServers(2, false) }},
	}
	if s.cut != nil {
		faults = append(faults,
			fault{"a machine is cut off", func() { s.cutOff(1) }}, fault{"two machines are cut off", func() { s.cutOff(2) }})
	}
	return faults
}

// points are where a worker may be stopped or killed.
var points = []string{
	"plan", "claim", "claimed", "seal", "seal", "commit", "commit", "join", "publish", "rename", "renamed", "published",
	"committed", "clean",
}

// atPoint stops or kills a worker when it reaches a point, if it does so soon.
func (s *site) atPoint(order string) {
	m := s.workers[s.rand.IntN(len(s.workers))]
	point := points[s.rand.IntN(len(points))]
	s.t.Logf("%s %s at %s", order, m.Machine, point)
	path := filepath.Join(m.Orders, fmt.Sprintf("%s-%s-%s", m.Machine, order, point))
	require.NoError(s.t, os.WriteFile(path, nil, 0o600))
	for end := time.Now().Add(3 * s.lease); time.Now().Before(end) && !m.stopped() && !m.gone(); {
		time.Sleep(5 * time.Millisecond)
	}
	_ = os.Remove(path)
	switch {
	case m.stopped():
		s.pause(s.lease*3/2, s.lease*5/2)
		require.NoError(s.t, m.cmd.Process.Signal(syscall.SIGCONT))
	case m.gone():
		m.kill()
		s.pause(0, s.lease*3/2)
		m.start(s.t)
	}
}

// loseServers kills n servers and restarts them, without their data if data is set.
func (s *site) loseServers(n int, data bool) {
	var hit []*machine
	for _, i := range s.rand.Perm(len(s.brokers))[:n] {
		s.brokers[i].kill()
		hit = append(hit, s.brokers[i])
	}
	s.pause(0, s.lease*3/2)
	for _, m := range hit {
		if data {
			require.NoError(s.t, os.RemoveAll(s.data(m)))
			require.NoError(s.t, os.MkdirAll(s.data(m), 0o700))
		}
		m.start(s.t)
	}
}

// data returns where a machine's server has its data, as this process sees it.
func (s *site) data(m *machine) string { return filepath.Join(s.folder, "nats-"+m.Machine) }

func (s *site) cutOff(n int) {
	hit := s.rand.Perm(len(s.workers))[:n]
	for _, i := range hit {
		s.cut(s.workers[i].Machine, true)
	}
	s.pause(s.lease*3/2, s.lease*3)
	for _, i := range hit {
		s.cut(s.workers[i].Machine, false)
	}
}

func (s *site) pause(from, to time.Duration) {
	time.Sleep(from + time.Duration(s.rand.Int64N(int64(to-from))))
}

// run injects faults while videos are anonymized, each about equally often. After each fault, all videos must finish:
// each with one output, published once, from units that were committed once.
func (s *site) run(rounds int) { s.runAll(s.faults(), rounds) }

func (s *site) runAll(faults []fault, rounds int) {
	order := s.rand.Perm(len(faults))
	for round := range rounds {
		f := faults[order[round%len(order)]]
		s.t.Logf("%s round %d: %s", time.Now().Format("15:04:05.000"), round, f.name)
		for range 3 {
			s.count++
			addVideo(s.t, s.root, fmt.Sprintf("v%d", s.count), 1+s.rand.IntN(4*unitBytes))
		}
		s.pause(0, s.lease)
		f.do()
		s.settled(f.name)
	}
}

func (s *site) settled(after string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return missing(s.root) == "" && len(leftovers(s.root, s.share)) == 0 },
		90*time.Second, 20*time.Millisecond, "after %s: without output is %s, left over are %v", after,
		lazily(func() string { return missing(s.root) }),
		lazily(func() string { return fmt.Sprint(leftovers(s.root, s.share)) }))
	checkOutputs(s.t, s.root)
	text, err := os.ReadFile(filepath.Join(s.folder, "log"))
	require.NoError(s.t, err)
	seen := map[string]string{}
	for line := range strings.Lines(string(text)) {
		what, by := path.Split(strings.ReplaceAll(strings.TrimSpace(line), " ", "/"))
		assert.Empty(s.t, seen[what], "%s twice, the second time by %s", what, by)
		seen[what] = by
	}
	require.False(s.t, s.t.Failed())
}

// lazily is a string that is computed when it is formatted.
type lazily func() string

func (l lazily) String() string { return l() }

// TestFaultsOfMachines runs machines with a server each.
func TestFaultsOfMachines(t *testing.T) {
	t.Parallel()
	rounds := faultRounds(t, 3)
	s := newSite(t)
	var peers []string
	for range 3 {
		peers = append(peers, freeAddress(t))
	}
	for i, name := range []string{"a", "b", "c"} {
		cfg := s.config()
		cfg.Embedded = &Embedded{name, filepath.Join(s.folder, "nats-"+name), freeAddress(t), &Cluster{peers[i], peers}}
		s.workers = append(s.workers, s.machine(name, cfg, false))
	}
	s.brokers, s.embedded = s.workers, true
	for _, m := range s.workers {
		m.start(t)
	}
	s.run(rounds)
}

// TestFaultsOfServers runs servers on separate machines.
func TestFaultsOfServers(t *testing.T) {
	t.Parallel()
	rounds := faultRounds(t, 3)
	s := newSite(t)
	var peers, servers []string
	for range 3 {
		peers = append(peers, freeAddress(t))
	}
	for i, name := range []string{"x", "y", "z"} {
		cfg := s.config()
		cfg.Embedded = &Embedded{name, filepath.Join(s.folder, "nats-"+name), freeAddress(t), &Cluster{peers[i], peers}}
		servers = append(servers, "nats://"+cfg.Embedded.Listen)
		s.brokers = append(s.brokers, s.machine(name, cfg, true))
	}
	for _, name := range []string{"a", "b", "c"} {
		cfg := s.config()
		cfg.Servers = servers
		s.workers = append(s.workers, s.machine(name, cfg, false))
	}
	for _, m := range s.all() {
		m.start(t)
	}
	s.run(rounds)
}

func (s *site) config() Config {
	cfg := DefaultConfig()
	cfg.Name, cfg.Root, cfg.Lease = "test", s.root, s.lease
	return cfg
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// faultLease is short, so that takeovers are quick. The default is 30 s.
const faultLease = 3 * time.Second

// lab is three machines that share work, and what they process.
type lab struct {
	*site
	machines []*machine
	rand     *rand.Rand
	want     []any // the frames in the report of a machine alone
	source   string
	videos   int
}

// TestFaultsOfCollectors injects FAULT_ROUNDS faults, 8 by default, into three machines that follow the guide while
// they anonymize videos of people. After each fault, all videos must be completed: each with one output and its
// companions, published once, with the masks that a machine alone makes, and with nothing left over.
func TestFaultsOfCollectors(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	if testing.Short() {
		t.Skip("faults take a while")
	}
	rounds := 8
	if text := os.Getenv("FAULT_ROUNDS"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	l := newLab(t)
	faults := l.faults()
	order := l.rand.Perm(len(faults))
	for round := range rounds {
		f := faults[order[round%len(order)]]
		began := time.Now()
		l.put()
		l.pause(0, 4*faultLease)
		f.do()
		l.settled(f.name)
		t.Logf("round %d: %s: %.1f s", round, f.name, time.Since(began).Seconds())
	}
}

func newLab(t *testing.T) *lab {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FAULT_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("FAULT_SEED=%d", seed)
	l := &lab{site: newSite(t, install(t), 3*time.Minute), rand: rand.New(rand.NewPCG(seed, 1))}
	l.source = peopleClip(t)
	for i, name := range []string{"a", "b", "c"} {
		l.machines = append(l.machines, l.add(name, fmt.Sprintf("10.0.0.%d", 11+i)))
	}
	l.follow(steps(l.t, setUp), l.machines, func(commands string) string {
		return strings.NewReplacer("name: lab", "name: lab\n      lease: "+faultLease.String()+"\n      unit_length: 10s",
			"stable_for: 7s", "stable_for: 1s").Replace(commands)
	})
	l.alone()
	return l
}

// peopleClip makes a small clip of people walking, 24 s long.
func peopleClip(t *testing.T) string {
	t.Helper()
	clip, err := footage.Clip("walk.mp4")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "walk.mp4")
	out, err := exec.Command("ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", clip, "-t", "24",
		"-vf", "fps=4,scale=384:-2", "-g", "8", "-an", "-y", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// alone processes the video on one machine that shares with none, and keeps its report.
func (l *lab) alone() {
	l.t.Helper()
	folder := l.t.TempDir()
	cfg := filepath.Join(folder, "alone.yaml")
	settings := "receivers: {videoanonymizer: {unit_length: 10s, console: null}}"
	require.NoError(l.t, os.WriteFile(cfg, []byte(settings), 0o600))
	out, err := exec.Command(filepath.Join(collector.Root(), "bin", "anonymizerctl"), "run", l.source, "-o", folder,
		"--config", filepath.Join(collector.Root(), "config", "config.yaml"), "--config", cfg).CombinedOutput()
	require.NoError(l.t, err, "%s", out)
	l.want = l.frames(filepath.Join(folder, "walk_anonymized.mp4"))
}

// frames returns the frames of an output's report. It leaves out track numbers, which depend on which machine processed
// which part.
func (l *lab) frames(output string) (frames []any) {
	l.t.Helper()
	text, err := os.ReadFile(output + ".report.json")
	require.NoError(l.t, err)
	var document struct{ Frames []map[string]any }
	require.NoError(l.t, json.Unmarshal(text, &document))
	require.NotEmpty(l.t, document.Frames)
	for _, f := range document.Frames {
		masks, _ := f["masks"].([]any)
		for _, m := range masks {
			delete(m.(map[string]any), "track")
		}
		slices.SortFunc(masks, func(x, y any) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
		frames = append(frames, f)
	}
	return frames
}

// put adds a video to the watched folder.
func (l *lab) put() {
	l.t.Helper()
	l.videos++
	text, err := os.ReadFile(l.source)
	require.NoError(l.t, err)
	temp := filepath.Join(l.folder, "video.mp4")
	require.NoError(l.t, os.WriteFile(temp, text, 0o600))
	require.NoError(l.t, os.Chown(temp, serviceID, serviceID))
	require.NoError(l.t, os.Rename(temp, filepath.Join(l.site.videos(), "incoming", fmt.Sprintf("v%d.mp4", l.videos))))
}

func (l *lab) output(n int) string {
	return filepath.Join(l.site.videos(), "anonymized", fmt.Sprintf("v%d_anonymized.mp4", n))
}

// settled waits until all videos are done and nothing is left over, and checks the last one's output.
func (l *lab) settled(after string) {
	l.t.Helper()
	require.Eventually(l.t, func() bool { return len(l.left()) == 0 }, l.patience, 100*time.Millisecond,
		"after: %s", after)
	outputs, err := os.ReadDir(filepath.Dir(l.output(1)))
	require.NoError(l.t, err)
	var names []string
	for _, o := range outputs {
		if !strings.HasPrefix(o.Name(), ".") {
			names = append(names, o.Name())
		}
	}
	var want []string
	for n := 1; n <= l.videos; n++ {
		for _, suffix := range []string{"", ".report.json", ".review.jpg"} {
			want = append(want, filepath.Base(l.output(n))+suffix)
		}
	}
	require.ElementsMatch(l.t, want, names, "after: %s", after)
	require.Equal(l.t, l.want, l.frames(l.output(l.videos)), "after: %s: the masks of video %d", after, l.videos)
	out, err := exec.Command(filepath.Join(collector.Root(), "bin", "anonymizerctl"), "compare", l.source,
		l.output(l.videos)).CombinedOutput()
	require.NoError(l.t, err, "after: %s: %s", after, out)
}

// left returns what remains to be done or removed.
func (l *lab) left() (left []string) {
	for n := 1; n <= l.videos; n++ {
		if _, err := os.Stat(l.output(n)); err != nil {
			left = append(left, l.output(n))
		}
	}
	works, _ := filepath.Glob(filepath.Join(l.site.videos(), ".anonymizing-share", "*", "work", "*"))
	hidden, _ := filepath.Glob(filepath.Join(l.site.videos(), "anonymized", ".anonymizing*"))
	return append(append(left, works...), hidden...)
}

// fault is an event that is over when do returns.
type fault struct {
	name string
	do   func()
}

func (l *lab) faults() []fault {
	return []fault{
		{"a machine dies", func() { l.die(1, false) }},
		{"a machine dies, and its server's data are lost", func() { l.die(1, true) }},
		{"two machines die", func() { l.die(2, false) }},
		{"two machines die, and their servers' data are lost", func() { l.die(2, true) }},
		{"all machines die, and all data of the servers are lost", func() { l.die(3, true) }},
		{"a machine is stopped for longer than a lease", l.stop},
		{"a machine is cut off", func() { l.cutOff(1) }},
		{"two machines are cut off", func() { l.cutOff(2) }},
	}
}

// some returns n random machines.
func (l *lab) some(n int) (some []*machine) {
	for _, i := range l.rand.Perm(len(l.machines))[:n] {
		some = append(some, l.machines[i])
	}
	return some
}

func (l *lab) pause(from, to time.Duration) {
	time.Sleep(from + time.Duration(l.rand.Int64N(int64(to-from))))
}

func (l *lab) die(n int, loseData bool) {
	hit := l.some(n)
	for _, m := range hit {
		m.kill()
	}
	l.pause(0, 2*faultLease)
	for _, m := range hit {
		if loseData {
			require.NoError(l.t, os.RemoveAll(filepath.Join(m.state(), "share")))
		}
		out, err := m.run("systemctl start otelcol-anonymizer")
		require.NoError(l.t, err, out)
	}
}

// stop suspends a machine's collector, which does not know for how long.
func (l *lab) stop() {
	m := l.some(1)[0]
	m.signal(syscall.SIGSTOP)
	l.pause(2*faultLease, 4*faultLease)
	m.signal(syscall.SIGCONT)
}

func (l *lab) cutOff(n int) {
	hit := l.some(n)
	for _, m := range hit {
		l.ip("-n", l.hub, "link", "set", "to-"+m.name, "down")
	}
	l.pause(2*faultLease, 4*faultLease)
	for _, m := range hit {
		l.ip("-n", l.hub, "link", "set", "to-"+m.name, "up")
	}
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// lab is a directory that several receivers share. Each of them uses one encoder thread and intervals short enough for
// tests.
type lab struct {
	root, in, out string
	address       string // of the NATS server that is embedded in the first machine
	host          component.Host
	machines      []*running
}

func newLab(t testing.TB) *lab {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	l := &lab{root: root, in: filepath.Join(root, "in"), out: filepath.Join(root, "out"),
		host: componenttest.NewNopHost()}
	require.NoError(t, os.Mkdir(l.in, 0o755))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.address = listener.Addr().String()
	require.NoError(t, listener.Close())
	return l
}

// config returns the configuration of the next machine.
func (l *lab) config(t testing.TB) *Config {
	t.Helper()
	cfg := newUnitsConfig(t, 1)
	cfg.Watch.Include = []string{filepath.Join(l.in, "*")}
	cfg.Output.Directory = l.out
	cfg.UnitLength = config.Default().UnitLength
	shared := share.DefaultConfig()
	shared.Name, shared.Root, shared.UnitLength, shared.Lease = "lab", l.root, 10*time.Second, 2*time.Second
	if len(l.machines) == 0 {
		shared.Embedded = &share.Embedded{Node: "a", Directory: filepath.Join(t.TempDir(), "nats"), Listen: l.address}
	} else {
		shared.Servers = []string{"nats://" + l.address}
	}
	cfg.Share = &shared
	return cfg
}

// add starts another machine.
func (l *lab) add(t testing.TB, change ...func(*Config)) *running {
	t.Helper()
	cfg := l.config(t)
	for _, c := range change {
		c(cfg)
	}
	r := startOn(t, l.host, cfg)
	r.in = l.in
	l.machines = append(l.machines, r)
	return r
}

// put links a file into the watched directory.
func (l *lab) put(t testing.TB, source string) {
	t.Helper()
	require.NoError(t, os.Link(source, filepath.Join(l.in, filepath.Base(source))))
}

// await waits until the output directory contains the given number of files that are not hidden.
func (l *lab) await(t testing.TB, files int) {
	t.Helper()
	require.Eventually(t, func() bool {
		entries, _ := os.ReadDir(l.out)
		n := 0
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				n++
			}
		}
		return n == files
	}, 10*time.Minute, 20*time.Millisecond)
}

// stop stops all machines, the one with the server last.
func (l *lab) stop(t testing.TB) {
	t.Helper()
	for _, r := range slices.Backward(l.machines) {
		require.NoError(t, r.Shutdown(t.Context()))
	}
}

// assertTidy checks that no working files of a video remain.
func (l *lab) assertTidy(t testing.TB) {
	t.Helper()
	works := filepath.Join(l.root, ".anonymizing-share", "lab", "work")
	assert.Eventually(t, func() bool {
		left, err := os.ReadDir(works)
		return err == nil && len(left) == 0
	}, time.Minute, 20*time.Millisecond, "nothing is left in %s", works)
}

// TestSharedIsTheWholeVideo checks that one, two or three machines produce the same output as a machine without a
// share, and report the video once, in one trace.
func TestSharedIsTheWholeVideo(t *testing.T) {
	const footage = "../../build/cache/footage/walk.mp4"
	require.FileExists(t, footage, "run `make footage` first")
	for name, tc := range map[string]struct {
		args     string
		machines []int
		frames   int
		change   func(*Config)
	}{
		"a pattern": {args: "-f lavfi -i testsrc2=size=128x96:rate=2:duration=32 -c:v libx264 -preset ultrafast -g 10 ",
			machines: []int{1, 2, 3}, frames: 64, change: func(*Config) {}},
		"people": {args: "-stream_loop 2 -i " + footage + " -t 21 -an -vf fps=4,scale=256:192 -c:v libx264 " +
			"-preset ultrafast -g 16 ", machines: []int{2}, frames: 84, change: func(c *Config) {
			c.Recall, c.DetectEvery, c.Detector.Survey.Enabled = config.Balanced, 0, true
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name == "people" {
				t.Skip("searches a video of 21 s, twice")
			}
			video := source(t, "a.mp4", tc.args)
			began := time.Now()
			alone := newUnitsConfig(t, 1)
			alone.UnitLength = 10 * time.Second
			tc.change(alone)
			want, _ := inUnits(t, alone, video)
			l := newLab(t)
			for _, machines := range tc.machines {
				for len(l.machines) < machines {
					l.add(t, tc.change)
				}
				name := fmt.Sprintf("by%d.mp4", machines)
				require.NoError(t, os.Link(video, filepath.Join(l.in, name)))
				l.awaitLog(t, "finished", name)
				l.assertTidy(t)
				assertSameVideo(t, want, filepath.Join(l.out, fmt.Sprintf("by%d_anonymized.mp4", machines)), time.Since(began))
			}
			l.stop(t)
			assert.Len(t, visible(t, l.out), 4*len(tc.machines))
			l.assertTraces(t, len(tc.machines), tc.frames)
		})
	}
}

// assertTraces checks that each video has a trace with all of its spans. Each has several units and the given number of
// frames.
func (l *lab) assertTraces(t *testing.T, videos, frames int) {
	t.Helper()
	roots := map[pcommon.TraceID]ptrace.Span{}
	for _, root := range l.spans("anonymize_video") {
		roots[root.TraceID()] = root
		counted, _ := root.Attributes().Get("anonymizer.video.frames")
		assert.EqualValues(t, frames, counted.Int())
	}
	assert.Len(t, l.spans("anonymize_video"), videos)
	assert.Len(t, roots, videos)
	for name, least := range map[string]int{"plan": 1, "anonymize_unit": 2, "join": 1, "publish": 1} {
		spans := l.spans(name)
		assert.GreaterOrEqual(t, len(spans), least*videos, name)
		for _, span := range spans {
			require.Contains(t, roots, span.TraceID(), name)
			assert.Equal(t, roots[span.TraceID()].SpanID(), span.ParentSpanID(), name)
		}
	}
}

// spans returns the spans of all machines.
func (l *lab) spans(name string) (spans []ptrace.Span) {
	for _, r := range l.machines {
		spans = append(spans, r.spans(name)...)
	}
	return spans
}

// TestSharedKinds checks that files of all kinds have the same outcome as on a machine without a share.
func TestSharedKinds(t *testing.T) {
	l := newLab(t)
	for range 2 {
		l.add(t, func(cfg *Config) {
			cfg.OnDamaged, cfg.Report.Preview = config.OnDamagedSalvage, config.NoPreview
			cfg.Output.OnSuccess = watch.OnSuccessDelete
			cfg.Report.ContactSheet = false
		})
	}
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	clip(t, in("short.mp4"), "-i", "testsrc2=size=128x96:rate=10:duration=1")
	clip(t, in("stream.ts"), "-i", "testsrc2=size=128x96:rate=4:duration=25", "-g", "20") // without an index
	still(t, in("still.png"), gray)
	whole := in("whole.mkv.keep")
	clip(t, whole, "-i", "testsrc2=size=128x96:rate=10:duration=4", "-g", "10", "-f", "matroska")
	data, err := os.ReadFile(whole)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(in("cut.mkv"), data[:len(data)*6/10], 0o600))
	require.NoError(t, os.WriteFile(in("text.mp4"), []byte("this is no video\n"), 0o600))
	names := []string{"short.mp4", "stream.ts", "still.png", "cut.mkv", "text.mp4"}
	for _, name := range names {
		l.put(t, in(name))
	}
	l.await(t, 8)
	l.awaitLog(t, "failed", "text.mp4")
	require.Eventually(t, func() bool { return len(visible(t, l.in)) == 2 }, 5*time.Minute, 20*time.Millisecond)
	l.assertTidy(t)
	l.stop(t)
	assert.Equal(t, []string{"cut.mkv", "text.mp4"}, visible(t, l.in), "what was salvaged, and what failed, is kept")
	for _, output := range []string{"short_anonymized.mp4", "stream_anonymized.ts", "still_anonymized.png",
		"cut_anonymized.mkv"} {
		checkReport(t, filepath.Join(l.out, output))
	}
	damage, _ := l.awaitLog(t, "finished", "cut.mkv").Attributes().Get("anonymizer.video.damage")
	assert.NotEmpty(t, damage.Str())
	reason, _ := l.awaitLog(t, "failed", "text.mp4").Attributes().Get("error.type")
	assert.Equal(t, "not_video", reason.Str())
	assert.Len(t, l.spans("anonymize_video"), 4)
	assert.Len(t, l.spans("anonymize_picture"), 1)
}

// awaitLog waits for the log record on any machine.
func (l *lab) awaitLog(t testing.TB, event, video string) plog.LogRecord {
	t.Helper()
	var found plog.LogRecord
	require.Eventually(t, func() bool {
		for _, r := range l.machines {
			if rec, ok := r.findLog(event, video); ok {
				found = rec
				return true
			}
		}
		return false
	}, 5*time.Minute, 20*time.Millisecond, "no log record says that %s %s", video, event)
	return found
}

// TestSharedSecondPass checks that a video in which nobody is found at first gets a second pass.
func TestSharedSecondPass(t *testing.T) {
	l := newLab(t)
	for range 2 {
		l.add(t, func(cfg *Config) { setRecall(t, cfg, "fast") })
	}
	video := source(t, "people.mp4",
		"-f lavfi -i testsrc2=size=320x240:rate=1:duration=24 -c:v libx264 -preset ultrafast -g 5 ")
	l.put(t, video)
	finished := l.awaitLog(t, "finished", "people.mp4")
	l.assertTidy(t)
	l.stop(t)
	reason, _ := finished.Attributes().Get("anonymizer.video.second_pass")
	assert.Equal(t, report.SampleShowsPeople, reason.Str())
	w := readReport(t, filepath.Join(l.out, "people_anonymized.mp4"))
	assert.Equal(t, "thorough", w.Settings.Recall)
	assert.Positive(t, w.Summary.Masks)
	require.NotNil(t, w.SecondPass)
	assert.Equal(t, 24, w.SecondPass.FirstFrames)
}

// TestSharedOutputsAreNoSources checks that outputs in a watched directory, and copies of them, are left alone, and
// that an existing file with the name of an output is not overwritten.
func TestSharedOutputsAreNoSources(t *testing.T) {
	l := newLab(t)
	l.out = l.in
	taken := filepath.Join(l.out, "a_anonymized.mp4")
	clip(t, taken, "-i", "color=gray:size=64x48:rate=5:duration=0.4")
	mine, err := os.ReadFile(taken)
	require.NoError(t, err)
	for range 2 {
		l.add(t, func(cfg *Config) {
			cfg.Report.Preview, cfg.Report.ContactSheet = config.NoPreview, false
		})
	}
	clip(t, filepath.Join(l.in, "a.mp4"), "-i", "testsrc2=size=64x48:rate=5:duration=1")
	l.awaitLog(t, "finished", "a.mp4")
	l.awaitLog(t, "finished", "a_anonymized.mp4") // not an output of this share
	output := filepath.Join(l.out, "a_anonymized-2.mp4")
	data, err := os.ReadFile(output)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(l.in, "copy.mp4"), data, 0o600))
	require.NoError(t, os.Rename(filepath.Join(l.in, "a.mp4"), filepath.Join(l.in, "b.mp4")))
	clip(t, filepath.Join(l.in, "c.mp4"), "-i", "testsrc2=size=64x48:rate=5:duration=0.6")
	l.awaitLog(t, "finished", "c.mp4")
	l.assertTidy(t)
	l.stop(t)
	assert.Len(t, l.spans("anonymize_video"), 3)
	left, err := os.ReadFile(taken)
	require.NoError(t, err)
	assert.Equal(t, mine, left)
}

// TestSharedSourceChanges checks that work on a video is discarded if its source changes meanwhile.
func TestSharedSourceChanges(t *testing.T) {
	l := newLab(t)
	r := l.add(t, func(cfg *Config) { cfg.Report.Preview, cfg.Report.ContactSheet = config.NoPreview, false })
	l.add(t, func(cfg *Config) { cfg.Report.Preview, cfg.Report.ContactSheet = config.NoPreview, false })
	video := filepath.Join(l.in, "a.mp4")
	clip(t, filepath.Join(l.root, "first.mp4"), "-i", "testsrc2=size=128x96:rate=5:duration=40", "-g", "20")
	clip(t, filepath.Join(l.root, "second.mp4"), "-i", "testsrc2=size=128x96:rate=5:duration=2")
	require.NoError(t, os.Rename(filepath.Join(l.root, "first.mp4"), video))
	require.Eventually(t, func() bool { return r.engine.Load().Stats().Units[share.UnitClaimed] > 0 }, time.Minute,
		time.Millisecond)
	require.NoError(t, os.Rename(filepath.Join(l.root, "second.mp4"), video))
	l.awaitLog(t, "finished", "a.mp4")
	l.assertTidy(t)
	l.stop(t)
	assert.Equal(t, "10", countFrames(t, filepath.Join(l.out, "a_anonymized.mp4")))
	assert.Len(t, l.spans("anonymize_video"), 1)
}

// TestSharedSchedule checks that a machine takes no work outside its hours.
func TestSharedSchedule(t *testing.T) {
	l := newLab(t)
	r := l.add(t, func(cfg *Config) {
		cfg.Report.Preview = config.NoPreview
		cfg.Schedule.Hours = []string{time.Now().Add(24 * time.Hour).Format("Mon")}
		require.NoError(t, cfg.Validate())
	})
	clip(t, filepath.Join(l.in, "a.mp4"), "-i", "testsrc2=size=64x48:rate=5:duration=0.4")
	require.Eventually(t, func() bool { return r.engine.Load().Stats().Videos[share.VideoFound] == 1 }, time.Minute,
		20*time.Millisecond)
	require.Eventually(t, func() bool {
		machines := r.engine.Load().Status().Machines
		return len(machines) == 1 && machines[0].Draining
	}, time.Minute, 20*time.Millisecond)
	r.engine.Load().Hold(false, false)
	l.awaitLog(t, "finished", "a.mp4")
	l.stop(t)
}

// TestSharedStatus checks that a machine that cannot reach a server reports so, and takes part once it can.
func TestSharedStatus(t *testing.T) {
	l := newLab(t)
	l.machines = []*running{nil} // the machine with the server is added later
	cfg := l.config(t)
	host := &statusHost{Host: componenttest.NewNopHost()}
	r, err := newReceiver(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), host))
	require.Eventually(t, func() bool {
		return slices.Equal(host.statuses(), []componentstatus.Status{componentstatus.StatusRecoverableError})
	}, time.Minute, 20*time.Millisecond)
	l.machines = nil
	l.add(t)
	require.Eventually(t, func() bool { return len(host.statuses()) == 2 }, time.Minute, 20*time.Millisecond)
	assert.Equal(t, componentstatus.StatusOK, host.statuses()[1])
	require.NoError(t, r.Shutdown(t.Context()))
	l.stop(t)
}

// TestSharedFolderIsAway checks the error if outputs cannot be written because the shared folder is not mounted.
func TestSharedFolderIsAway(t *testing.T) {
	l := newLab(t)
	require.NoError(t, os.WriteFile(l.out, nil, 0o600)) // not even root can create a directory here
	r, err := newReceiver(t.Context(), receivertest.NewNopSettings(metadata.Type), l.config(t))
	require.NoError(t, err)
	err = r.Start(t.Context(), l.host)
	require.ErrorContains(t, err, "share::root: see that the shared folder is mounted at "+l.root)
	require.ErrorContains(t, err, "mkdir "+l.out)
	require.NoError(t, r.Shutdown(t.Context()))
}

// shareConsole is a console that shows machines.
type shareConsole struct {
	component.StartFunc
	component.ShutdownFunc
	read     func() consoleapi.Share
	detached bool
}

func (c *shareConsole) AttachMachines(_ component.ID, read func() consoleapi.Share) (detach func()) {
	c.read = read
	return func() { c.detached = true }
}

// TestSharedConsole checks that the console of one machine shows all machines, and the progress of the videos.
func TestSharedConsole(t *testing.T) {
	l := newLab(t)
	console := &shareConsole{}
	l.host = testHost{consoleID: console}
	l.add(t, func(cfg *Config) {
		cfg.Console = &consoleID
		cfg.Report.Preview = config.NoPreview
		require.NoError(t, cfg.Validate())
	})
	second := l.add(t)
	until := func(what string, ok func(consoleapi.Share) bool) {
		t.Helper()
		require.Eventually(t, func() bool { return ok(console.read()) }, 2*time.Minute, 20*time.Millisecond, what)
	}
	states := func(s consoleapi.Share) (states []string) {
		for _, m := range s.Machines {
			states = append(states, m.State)
		}
		slices.Sort(states)
		return states
	}
	until("both work", func(s consoleapi.Share) bool { return slices.Equal(states(s), []string{"works", "works"}) })
	clip(t, filepath.Join(l.in, "a.mp4"), "-i", "testsrc2=size=320x240:rate=25:duration=8")
	until("one has it in hand", func(s consoleapi.Share) bool {
		return slices.ContainsFunc(s.Machines, func(m consoleapi.Machine) bool {
			return len(m.Doing) == 1 && m.Doing[0].Video == "in/a.mp4" && !m.Doing[0].Since.IsZero()
		})
	})
	until("it is done", func(s consoleapi.Share) bool { return s.Videos["done"] == 1 })
	require.NoError(t, second.Shutdown(t.Context()))
	until("the second has stopped", func(s consoleapi.Share) bool {
		return slices.Equal(states(s), []string{"stopped", "works"})
	})
	l.stop(t)
	assert.True(t, console.detached)
}

// TestSharedMachineIsKilled kills a collector in the middle of a unit. Another one finishes the unit from the last
// sealed segment. The output is the same as on a machine without a share, and is published once.
func TestSharedMachineIsKilled(t *testing.T) {
	if root, address, ok := strings.Cut(os.Getenv(labEnv), " "); ok {
		l := &lab{root: root, in: filepath.Join(root, "in"), out: filepath.Join(root, "out"), address: address}
		l.machines = []*running{nil} // this is the second machine
		l.add(t)
		<-t.Context().Done() // until it is killed
	}
	const pattern = "-f lavfi -i testsrc2=size=128x96:rate=4:duration=24 -c:v libx264 -preset ultrafast -g 20 "
	for name, video := range map[string]string{
		"units": source(t, "a.mp4", pattern), "in one piece": source(t, "a.ts", pattern),
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name == "units" {
				t.Skip("one will do")
			}
			began := time.Now()
			alone := newUnitsConfig(t, 1)
			alone.UnitLength = 10 * time.Second
			want, _ := inUnits(t, alone, video)

			l := newLab(t)
			first := l.add(t)
			first.engine.Load().Drain(true)
			victim := l.child(t)
			l.put(t, video)
			require.Eventually(t, func() bool {
				for _, v := range first.engine.Load().Status().Videos {
					for _, u := range v.Units {
						if u.State == share.UnitClaimed && u.Sealed > 0 {
							return true
						}
					}
				}
				return false
			}, 5*time.Minute, time.Millisecond)
			require.NoError(t, victim.Process.Kill())
			_ = victim.Wait()
			first.engine.Load().Drain(false)
			l.await(t, 4)
			l.assertTidy(t)
			l.stop(t)
			assertSameVideo(t, want, filepath.Join(l.out, filepath.Base(want)), time.Since(began))
			assert.Len(t, l.spans("anonymize_video"), 1)
			assert.Less(t, len(l.spans("process_single_frame")), 96, "what was sealed is not done again")
			assert.Positive(t, first.engine.Load().Stats().Takeovers)
		})
	}
}

const labEnv = "SHARE_TEST_LAB"

// child starts a machine in a separate process.
func (l *lab) child(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSharedMachineIsKilled$")
	cmd.Env = append(os.Environ(), labEnv+"="+l.root+" "+l.address)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// TestOnOneDisk checks that an output directory that does not allow hard links is rejected at the start, and that the
// check leaves no files behind.
func TestOnOneDisk(t *testing.T) {
	root := t.TempDir()
	out := filepath.Join(root, "out")
	require.NoError(t, os.Mkdir(out, 0o755))
	require.NoError(t, onOneDisk(root, out))
	for _, folder := range []string{root, out} {
		left, err := filepath.Glob(filepath.Join(folder, ".*"))
		require.NoError(t, err)
		assert.Empty(t, left)
	}
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	require.NoError(t, os.Chmod(out, 0o555))
	assert.ErrorContains(t, onOneDisk(root, out), "hard links")
}

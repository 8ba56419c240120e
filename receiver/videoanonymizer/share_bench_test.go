// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip/oiptest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
)

// BenchmarkShareSpeedUp divides one long video among one, two and three machines. It simulates machines that spend all
// their time on inference: the server answers after 150 ms, and decoding, analyzing and encoding cost next to nothing,
// so that the machines do not compete for the cores of this one. Run it with -benchtime 1x.
func BenchmarkShareSpeedUp(b *testing.B) {
	v := newLongVideo(b, 18*60, 1) // nine units
	server := serveLate(b, 150*time.Millisecond)
	var alone time.Duration
	for machines := 1; machines <= 3; machines++ {
		b.Run(fmt.Sprintf("machines=%d", machines), func(b *testing.B) {
			for b.Loop() {
				took := v.divide(b, server, machines)
				if alone == 0 {
					alone = took
				}
				b.ReportMetric(took.Seconds(), "s")
				b.ReportMetric(alone.Seconds()/took.Seconds(), "x-one-machine")
			}
			b.Logf("latency-bound simulation; %s", load(b))
		})
	}
}

// BenchmarkShareRunIn measures how many frames are decoded in addition to those of each unit, at a camera's frame rate:
// a constant number of seconds, plus up to 30 frames.
func BenchmarkShareRunIn(b *testing.B) {
	v := newLongVideo(b, 6*60, 25)
	server := serveLate(b, 0)
	for b.Loop() {
		v.divide(b, server, 1)
	}
}

// longVideo is a video of tiny frames with a key frame every other second.
type longVideo struct {
	path          string
	seconds, rate int
}

func newLongVideo(b *testing.B, seconds, rate int) longVideo {
	b.Helper()
	return longVideo{seconds: seconds, rate: rate, path: source(b, "long.mp4", fmt.Sprintf(
		"-f lavfi -i testsrc2=size=64x48:rate=%d:duration=%d -c:v libx264 -preset ultrafast -g %d ", rate, seconds, 2*rate))}
}

// late is a model that answers after a delay, with the same outputs for all inputs of the same shape.
type late struct {
	inference.Session
	delay time.Duration

	mu    sync.Mutex
	known map[string][]inference.Tensor
}

// serveLate starts a server on which all models are late.
func serveLate(b *testing.B, delay time.Duration) *oiptest.Server {
	b.Helper()
	return serve(b, oiptest.Options{}, func(s inference.Session) inference.Session {
		return &late{Session: s, delay: delay, known: map[string][]inference.Tensor{}}
	})
}

func (l *late) Run(ctx context.Context, inputs []inference.Tensor, read func([]inference.Tensor) error) error {
	time.Sleep(l.delay)
	outputs, err := l.answer(ctx, inputs)
	if err != nil {
		return err
	}
	return read(outputs)
}

func (l *late) answer(ctx context.Context, inputs []inference.Tensor) (outputs []inference.Tensor, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	shapes := ""
	for _, in := range inputs {
		shapes += fmt.Sprint(in.Shape)
	}
	if l.known[shapes] == nil {
		err = l.Session.Run(ctx, inputs, func(outputs []inference.Tensor) error {
			for _, out := range outputs {
				l.known[shapes] = append(l.known[shapes], inference.Tensor{
					Shape: slices.Clone(out.Shape), Uint8: slices.Clone(out.Uint8), Int64: slices.Clone(out.Int64),
					Float32: slices.Clone(out.Float32),
				})
			}
			return nil
		})
	}
	return l.known[shapes], err
}

// divide has the given number of machines process the video in units, and returns the time from claim to publication.
func (v longVideo) divide(b *testing.B, server *oiptest.Server, machines int) time.Duration {
	b.Helper()
	l := newLab(b)
	for range machines {
		l.add(b, func(cfg *Config) {
			likeDefaults(cfg)
			cfg.Inference.Remote.Endpoint, cfg.Inference.Sessions = server.Endpoint(), 2
			// Run one inference per analyzed frame, and do not double-check videos in which nobody was found.
			cfg.Detector.Faces, cfg.Detector.Survey.Enabled, cfg.Detector.InputSize.LongSide = "", false, 96
			cfg.Recall, cfg.DetectEvery = config.Thorough, 6
		})
	}
	l.put(b, v.path)
	l.awaitLog(b, "finished", filepath.Base(v.path))
	l.stop(b)
	begin, end := l.period(b, "plan", "publish")
	_, lastUnit := l.period(b, "anonymize_unit", "anonymize_unit")
	written, decoded, units := 0, 0, 0
	for _, r := range l.machines {
		written, decoded = written+r.framesOfUnits("frames"), decoded+r.framesOfUnits("frames_decoded")
		units += len(r.spans("anonymize_unit"))
	}
	require.Equal(b, v.seconds*v.rate, written, "no unit was done again")
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(decoded)/float64(written), "decoded/written")
	b.ReportMetric(float64(decoded-written)/float64(v.rate*(units-1)), "s-decoded-twice/seam")
	b.ReportMetric(end.Sub(lastUnit).Seconds(), "s-after-last-unit")
	return end.Sub(begin)
}

// likeDefaults undoes the settings that make tests fast or strict, but would distort the measurement.
func likeDefaults(cfg *Config) {
	defaults := config.Default()
	cfg.Recall, cfg.DetectEvery, cfg.Detector.Survey = defaults.Recall, defaults.DetectEvery, defaults.Detector.Survey
	cfg.LookAhead = defaults.LookAhead
	cfg.Output.SegmentLength, cfg.MaxConcurrentVideos = defaults.Output.SegmentLength, defaults.MaxConcurrentVideos
	cfg.Report.Preview = defaults.Report.Preview
	if cfg.Share != nil {
		cfg.Share.UnitLength, cfg.Share.Lease = share.DefaultConfig().UnitLength, share.DefaultConfig().Lease
	}
}

// period returns the time from the start of the first span of one name to the end of the last span of another, across
// all machines.
func (l *lab) period(b *testing.B, first, last string) (begin, end time.Time) {
	b.Helper()
	for _, span := range l.spans(first) {
		if at := span.StartTimestamp().AsTime(); begin.IsZero() || at.Before(begin) {
			begin = at
		}
	}
	for _, span := range l.spans(last) {
		if at := span.EndTimestamp().AsTime(); at.After(end) {
			end = at
		}
	}
	require.True(b, !begin.IsZero() && end.After(begin), "%s, %s", first, last)
	return begin, end
}

// load describes how busy the machine is.
func load(b *testing.B) string {
	b.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	require.NoError(b, err)
	return "load average " + strings.Join(strings.Fields(string(text))[:3], ", ")
}

// BenchmarkShareCost compares the only machine of a share with a machine without a share, alternately, on a short video
// of people with real models. Each iteration is a round; it reports medians.
func BenchmarkShareCost(b *testing.B) {
	const footage = "../../build/cache/footage/walk.mp4"
	require.FileExists(b, footage, "run `make footage` first")
	video := filepath.Join(b.TempDir(), "walk.mp4")
	out, err := exec.Command("ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", footage, "-t", "30", "-an", "-vf",
		"fps=10,scale=320:240", "-preset", "ultrafast", video).CombinedOutput()
	require.NoError(b, err, "%s", out)
	var wall, cpu []float64
	for round := 0; b.Loop(); round++ {
		var with, without cost
		if round%2 == 0 {
			without = costWithout(b, video)
		}
		with = costWith(b, video)
		if round%2 == 1 {
			without = costWithout(b, video)
		}
		wall = append(wall, with.wall.Seconds()/without.wall.Seconds())
		cpu = append(cpu, with.cpu.Seconds()/without.cpu.Seconds())
		b.Logf("round %d: without %v of wall, %v of CPU, with %v, %v; %s", round+1, without.wall, without.cpu, with.wall,
			with.cpu, load(b))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(wall), "x-wall")
	b.ReportMetric(median(cpu), "x-cpu")
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// cost is the time that a video takes, from claim to publication. The CPU time is that of this process and its
// children, from when the video appears in the watched directory.
type cost struct{ wall, cpu time.Duration }

func costWith(b *testing.B, video string) cost {
	b.Helper()
	l := newLab(b)
	l.add(b, likeDefaults)
	before := cpuTime(b)
	l.put(b, video)
	l.awaitLog(b, "finished", filepath.Base(video))
	l.assertTidy(b)
	after := cpuTime(b)
	l.stop(b)
	begin, end := l.period(b, "plan", "publish")
	return cost{end.Sub(begin), after - before}
}

func costWithout(b *testing.B, video string) cost {
	b.Helper()
	cfg := newUnitsConfig(b, 1)
	likeDefaults(cfg)
	r := start(b, cfg)
	before := cpuTime(b)
	require.NoError(b, os.Link(video, filepath.Join(r.in, filepath.Base(video))))
	r.awaitLog(b, "finished", filepath.Base(video))
	after := cpuTime(b)
	require.NoError(b, r.Shutdown(b.Context()))
	begin, end := (&lab{machines: []*running{r}}).period(b, "anonymize_video", "anonymize_video")
	return cost{end.Sub(begin), after - before}
}

// cpuTime returns the CPU time of this process and of its children that have ended.
func cpuTime(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		require.NoError(b, unix.Getrusage(who, &usage))
		sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return sum
}

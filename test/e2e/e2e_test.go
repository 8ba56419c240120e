// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the built program on real footage, with its default configuration, from the outside.
package e2e

import (
	"bytes"
	"context"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// quick makes the receiver notice files, and report metrics, sooner than by default.
const quick = `yaml:{
	receivers: {videoanonymizer: {
		watch: {poll_interval: 100ms, stable_for: 300ms}, telemetry: {metrics_interval: 200ms}}},
	connectors: {span_metrics: {metrics_flush_interval: 1s}}}`

// site is a directory in which collectors run one after the other.
type site struct {
	*testing.T
	dir     string
	binary  string   // empty means the built one
	configs []string // override the default configuration
}

func skipIfShort(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the built collector on real footage")
	}
}

func newSite(t *testing.T) site {
	skipIfShort(t)
	return site{T: t, dir: t.TempDir(), configs: []string{quick}}
}

// start starts a collector whose output is logged if the test fails.
func (s site) start() *collector.Collector {
	s.Helper()
	var output bytes.Buffer
	options, err := collector.Options{Binary: s.binary, Dir: s.dir, Configs: slices.Clone(s.configs),
		Output: &output}.OnFreePorts()
	require.NoError(s, err)
	c, err := collector.Start(s.Context(), options)
	require.NoError(s, err, "%s", &output)
	s.Cleanup(func() {
		c.Kill()
		if s.Failed() {
			s.Logf("the collector printed:\n%s", &output)
		}
	})
	return c
}

// clip returns the path of a clip of real people.
func (s site) clip(name string) string {
	s.Helper()
	path, err := footage.Clip(name)
	require.NoError(s, err)
	return path
}

// drop copies a file into the incoming directory.
func (s site) drop(source, name string) (incoming string) {
	s.Helper()
	incoming, err := collector.Drop(source, filepath.Join(s.dir, "videos", "incoming"), name)
	require.NoError(s, err)
	return incoming
}

func (s site) output(name string) string {
	return filepath.Join(s.dir, collector.OutputOf(name))
}

// await waits until the metrics meet a condition.
func (s site) await(c *collector.Collector, what string, done func(collector.Metrics) bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 5*time.Minute)
	defer cancel()
	require.NoError(s, c.Await(ctx, what, 50*time.Millisecond, func() (bool, error) {
		metrics, err := c.Scrape(ctx)
		return err == nil && done(metrics), err
	}))
}

// awaitVideos waits until count videos have had the outcome since the collector started.
func (s site) awaitVideos(c *collector.Collector, outcome string, count int) {
	s.Helper()
	s.await(c, outcome+" videos", func(metrics collector.Metrics) bool {
		return int(metrics.Sum("anonymizer_videos_total",
			collector.Labels{"anonymizer_video_outcome": outcome})) >= count
	})
}

// produced lists the files in the output directory, including hidden ones, but without the receiver's own state.
func (s site) produced() []string {
	s.Helper()
	root := filepath.Join(s.dir, "videos", "anonymized")
	var files []string
	require.NoError(s, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".otelcol-anonymizer":
			return fs.SkipDir
		case !entry.IsDir():
			files = append(files, strings.TrimPrefix(path, root+"/"))
		}
		return nil
	}))
	slices.Sort(files)
	return files
}

func TestPeopleAreMaskedAndReported(t *testing.T) {
	s := newSite(t)
	// Keep the first video's series until the second one is done, however slow the machine is.
	s.configs = append(s.configs, "yaml:{connectors: {attrtometrics: {expiration: 10m}}}")
	walk, talk := s.clip("walk.mp4"), s.clip("talk.mp4")
	walkFrames, talkFrames := probe(t, walk), probe(t, talk)

	c := s.start()
	dropped := []string{s.drop(walk, "walk.mp4"), s.drop(talk, "talk.mp4")}
	s.awaitVideos(c, "finished", 2)
	frames := len(walkFrames.Times) + len(talkFrames.Times)
	s.await(c, "all frames to be counted", func(metrics collector.Metrics) bool {
		return metrics.SpanCount("process_single_frame") == frames
	})
	metrics, err := c.Scrape(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Stop(20*time.Second))

	t.Run("metrics", func(t *testing.T) { checkMetrics(t, metrics, frames) })
	t.Run("outputs", func(t *testing.T) {
		assert.Equal(t, reviewed("talk_anonymized.mp4", "walk_anonymized.mp4"), s.produced())
		assert.Equal(t, walkFrames, probe(t, s.output("walk.mp4")), "size, number and times of frames")
		assert.Equal(t, talkFrames, probe(t, s.output("talk.mp4")), "size, number and times of frames")
		checkReview(t, walk, s.output("walk.mp4"), walkFrames)
		talked := checkReview(t, talk, s.output("talk.mp4"), talkFrames)
		assert.Less(t, talked.Summary.Analyzed, talked.Summary.Frames, "not every frame is analyzed")
		assert.Positive(t, talked.Summary.MasksByOrigin["interpolated"])
		checkTalkMasked(t, decode(t, talk), decode(t, s.output("talk.mp4")))
		checkWalkMasked(t, decode(t, walk), decode(t, s.output("walk.mp4")))
	})
	t.Run("sources", func(t *testing.T) {
		for i, original := range []string{walk, talk} {
			assert.Equal(t, read(t, original), read(t, dropped[i]), "the source is untouched")
		}
	})
	t.Run("spans", func(t *testing.T) {
		checkSpans(t, readSpans(t, s.dir), map[string]int{"walk.mp4": len(walkFrames.Times),
			"talk.mp4": len(talkFrames.Times)})
	})
	t.Run("logs", func(t *testing.T) {
		logs := readLogs(t, s.dir)
		for _, name := range []string{"walk.mp4", "talk.mp4"} {
			assert.GreaterOrEqual(t, len(logs.about(name)), 2, "%s started and finished", name)
			assert.Empty(t, logs.about(name).errors(), "%s has no error", name)
		}
	})
	t.Run("restart", func(t *testing.T) { checkNotRedone(t, s, talk) })
}

// checkNotRedone restarts the collector with two finished videos and a new one, and checks that it processes only the
// new one.
func checkNotRedone(t *testing.T, s site, talk string) {
	before := map[string]fs.FileInfo{}
	for _, name := range []string{"walk.mp4", "talk.mp4"} {
		before[name] = stat(t, s.output(name))
	}
	short := filepath.Join(t.TempDir(), "short.mp4")
	require.NoError(t, footage.Cut(talk, short, 1))

	c := s.start()
	s.drop(short, "short.mp4")
	s.awaitVideos(c, "finished", 1)
	s.await(c, "the new video's frames", func(metrics collector.Metrics) bool {
		return metrics.SpanCount("process_single_frame") == len(probe(t, short).Times)
	})
	require.NoError(t, c.Stop(20*time.Second))

	assert.Equal(t, reviewed("short_anonymized.mp4", "talk_anonymized.mp4", "walk_anonymized.mp4"), s.produced())
	for name, info := range before {
		after := stat(t, s.output(name))
		assert.True(t, os.SameFile(info, after) && info.ModTime().Equal(after.ModTime()), "%s was written again", name)
	}
}

func checkMetrics(t *testing.T, metrics collector.Metrics, frames int) {
	assert.Equal(t, frames, int(metrics.Sum("anonymizer_frames_total", nil)), "frames written")
	assert.Positive(t, metrics.Sum("anonymizer_masks_total", nil), "masks")
	assert.Zero(t, metrics.Sum("anonymizer_whole_frames_total", nil), "no frame had to be masked completely")
	for _, name := range []string{"walk.mp4", "talk.mp4"} {
		series := metrics.Series("detected_people_count", collector.Labels{"anonymizer_video_name": name})
		if assert.Len(t, series, 1, "detected_people_count of %s", name) {
			assert.GreaterOrEqual(t, series[0].GetGauge().GetValue(), 1.0, "people in the last analyzed frame of %s",
				name)
		}
	}
	assert.NotEmpty(t, metrics.Series("pose_time_per_person_seconds", nil))
	for _, span := range []string{"process_single_frame", "decode", "person_detection", "pose_estimation",
		"visualization", "encode"} {
		durations := metrics.SpanDurations(span)
		assert.Positive(t, durations.GetSampleCount(), "durations of %s", span)
		assert.Positive(t, durations.GetSampleSum(), "durations of %s", span)
		// A quantile is meaningful only if the spans fall into finite buckets.
		assert.Less(t, collector.Quantile(durations, 0.99), 60_000.0, "buckets suitable for %s", span)
	}
}

// checkTalkMasked compares a clip of one almost still face with its output.
func checkTalkMasked(t *testing.T, before, after []footage.Gray) {
	require.Len(t, after, len(before))
	for i := range before {
		// From the eyes to the mouth, measured by eye.
		dark := share(after[i], 170, 140, 245, 210, func(x, y int) bool { return after[i].At(x, y) <= 16 })
		require.Greater(t, dark, 0.99, "masked part of the face in frame %d", i)
		// A wall far from the face.
		same := share(after[i], 320, 20, 400, 200, func(x,
			y int) bool {
			return near(before[i].At(x, y), after[i].At(x, y), 12)
		})
		require.Greater(t, same, 0.99, "unchanged part of the wall in frame %d", i)
	}
}

// checkWalkMasked compares a clip of several people, small in a wide view, with its output.
func checkWalkMasked(t *testing.T, before, after []footage.Gray) {
	require.Len(t, after, len(before))
	for i := range before {
		bounds := after[i]
		masked := share(bounds, 0, 0, bounds.Width, bounds.Height, func(x, y int) bool {
			return after[i].At(x, y) <= 16 && !near(before[i].At(x, y), after[i].At(x, y), 24)
		})
		require.Greater(t, masked, 0.0002, "masked heads in frame %d", i)
		same := share(bounds, 0, 0, bounds.Width, bounds.Height, func(x, y int) bool {
			return near(before[i].At(x, y), after[i].At(x, y), 24)
		})
		require.Greater(t, same, 0.95, "frame %d is unchanged except for the heads", i)
	}
}

func TestBadFilesDoNotBlockOthers(t *testing.T) {
	s := newSite(t)
	scratch := t.TempDir()
	talk := s.clip("talk.mp4")

	whole := filepath.Join(scratch, "whole.mp4")
	require.NoError(t, footage.Cut(talk, whole, 3))
	good := filepath.Join(scratch, "good.mp4")
	require.NoError(t, footage.Cut(talk, good, 1))
	tone := filepath.Join(scratch, "tone.mp4")
	require.NoError(t, footage.Tone(tone))
	movie := read(t, whole)

	bad := map[string][]byte{
		"text.mp4":      []byte("This is not a video, whatever its name says.\n"),
		"empty.mp4":     {},
		"truncated.mp4": movie[:len(movie)*6/10], // its index is at the front: the rest decodes
		"headless.mp4":  movie[len(movie)/2:],
		"tone.mp4":      read(t, tone),
	}
	c := s.start()
	for name, data := range bad {
		path := filepath.Join(scratch, "bad-"+name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		s.drop(path, name)
	}
	s.awaitVideos(c, "failed", len(bad))
	s.drop(good, "good.mp4")
	s.awaitVideos(c, "finished", 1)
	require.NoError(t, c.Stop(20*time.Second))

	assert.Equal(t, reviewed("good_anonymized.mp4"), s.produced())
	logs := readLogs(t, s.dir)
	for name, data := range bad {
		assert.Equal(t, data, read(t, filepath.Join(s.dir, "videos", "incoming", name)), "%s is untouched", name)
		assert.NotEmpty(t, logs.about(name).errors(), "an error record names %s", name)
	}
}

func TestStopDuringVideo(t *testing.T) {
	s := newSite(t)
	long := filepath.Join(t.TempDir(), "long.mp4")
	require.NoError(t, footage.Loop(s.clip("walk.mp4"), long, 4))

	c := s.start()
	s.drop(long, "long.mp4")
	var seen int
	s.await(c, "some frames", func(metrics collector.Metrics) bool {
		seen = metrics.SpanCount("process_single_frame")
		return seen > 0
	})
	require.NoError(t, c.Stop(10*time.Second), "SIGTERM during a video")
	assert.NotContains(t, s.produced(), "long_anonymized.mp4", "no unfinished file has its final name")
	assert.GreaterOrEqual(t, len(readSpans(t, s.dir).Named("process_single_frame")), seen, "no span is lost")

	c = s.start()
	s.awaitVideos(c, "finished", 1)
	require.NoError(t, c.Stop(20*time.Second))
	assert.Equal(t, reviewed("long_anonymized.mp4"), s.produced(), "no temporary file is left")
	assert.Equal(t, probe(t, long), probe(t, s.output("long.mp4")))
}

// share returns the share, 0 to 1, of the pixels in a rectangle that have a property.
func share(frame footage.Gray, left, top, right, bottom int, has func(x, y int) bool) float64 {
	count := 0
	for y := top; y < min(bottom, frame.Height); y++ {
		for x := left; x < min(right, frame.Width); x++ {
			if has(x, y) {
				count++
			}
		}
	}
	return float64(count) / float64((right-left)*(bottom-top))
}

func near(a, b byte, tolerance float64) bool {
	return math.Abs(float64(a)-float64(b)) <= tolerance
}

func probe(t *testing.T, path string) footage.Info {
	t.Helper()
	info, err := footage.Probe(path)
	require.NoError(t, err)
	return info
}

func decode(t *testing.T, path string) []footage.Gray {
	t.Helper()
	frames, err := footage.Decode(path)
	require.NoError(t, err)
	return frames
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info
}

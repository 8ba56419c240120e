// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/plan"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

func TestUnitsAtOnce(t *testing.T) {
	for _, tc := range []struct{ units, videos, cores, want int }{
		{0, 1, 2, 1},
		{0, 1, 15, 1},
		{0, 1, 16, 2},
		{0, 1, 64, 8},
		{0, 4, 64, 2},
		{0, 100, 64, 1},
		{3, 4, 2, 3},
	} {
		cfg := config.Default()
		cfg.MaxConcurrentUnits, cfg.MaxConcurrentVideos = tc.units, tc.videos
		assert.Equal(t, tc.want, unitsOf(cfg, tc.cores), "%+v", tc)
	}
	v := &video{Runner: &Runner{Config: config.Default()}}
	v.Config.MaxConcurrentUnits = 5
	assert.Equal(t, 1, v.unitsAtOnce(nil), "a video that is not divided")
	v.division.units = make([]plan.Unit, 3)
	assert.Equal(t, 3, v.unitsAtOnce(nil), "no more than there are")
	assert.Equal(t, 1, v.unitsAtOnce(&checkpoint{}), "a video that was begun in one piece")
	v.division.undivided = true
	assert.Equal(t, 1, v.unitsAtOnce(nil))
}

// TestUnitsShareMemory checks that the memory for frames in analysis does not grow with the number of units at once,
// except by at most twice queueMemory per unit.
func TestUnitsShareMemory(t *testing.T) {
	for _, sessions := range []int{1, 7, 16} {
		r := &Runner{Config: config.Default(), Models: &Models{}}
		r.Config.Inference.Sessions = sessions
		for _, units := range []int{1, 2, 3, 16} {
			o := r.pipelineOptions(units)
			assert.Positive(t, o.Workers)
			assert.LessOrEqual(t, int64(units)*o.QueueMemory, int64(queueMemory*(sessions+2*units)), "%d of %d", units, sessions)
			assert.EqualValues(t, frameMemory, o.FrameMemory, "it decides what is masked")
		}
	}
}

func TestDivisionCuts(t *testing.T) {
	d := division{units: []plan.Unit{{First: 0, End: 10}, {First: 10, End: 25}, {First: 25, End: 30}}}
	var cuts []int
	for i := range 31 {
		if d.cutsAt(i) {
			cuts = append(cuts, i)
		}
	}
	assert.Equal(t, []int{10, 25}, cuts)
	d.units = d.units[:1]
	assert.False(t, d.cutsAt(0))
	assert.False(t, new(division).cutsAt(0))
}

// TestGoesOn checks that a unit continues another only if the frame before it shows people at the same places.
func TestGoesOn(t *testing.T) {
	head := mask.Head{X: 100, Y: 80, RX: 20, RY: 30}
	for _, tc := range []struct {
		before, whole bool // what the unit before shows of someone
		now, nowWhole bool
		want          bool
	}{
		{want: true},
		{before: true, now: true, want: true},
		{before: true},
		{now: true},
		{whole: true},
		{nowWhole: true},
		{whole: true, nowWhole: true},
		{before: true, whole: true, now: true, nowWhole: true},
	} {
		last, next := &checkpoint{Whole: tc.whole}, &unitState{BeforeWhole: tc.nowWhole}
		if tc.before {
			last.Heads = []mask.Head{head}
		}
		if tc.now {
			next.Before = []mask.Head{head}
		}
		assert.Equal(t, tc.want, last.goesOn(next), "%+v", tc)
	}
}

// TestTrackNumbersResume checks that people keep their numbers across a boundary, and that no two get the same one.
func TestTrackNumbersResume(t *testing.T) {
	at := func(track int, x float32) mask.Head { return mask.Head{Track: track, X: x, Y: 80, RX: 20, RY: 30} }
	for name, tc := range map[string]struct {
		before, now []mask.Head
		want        map[int]int
	}{
		"two people":        {[]mask.Head{at(4, 1), at(2, 99)}, []mask.Head{at(1, 99), at(2, 1)}, map[int]int{1: 2, 2: 4}},
		"at the same place": {[]mask.Head{at(4, 1), at(2, 1)}, []mask.Head{at(1, 1), at(2, 1)}, map[int]int{1: 4, 2: 2}},
		"one became two":    {[]mask.Head{at(4, 1)}, []mask.Head{at(1, 1), at(2, 1)}, map[int]int{1: 4, 2: 8}},
		"one with two masks": {[]mask.Head{at(4, 1), at(4, 1)}, []mask.Head{at(1, 1), at(1, 1), at(2, 1)},
			map[int]int{1: 4, 2: 8}},
		"nobody's mask": {[]mask.Head{at(0, 1), at(4, 1)}, []mask.Head{at(0, 1), at(1, 1)}, map[int]int{0: 0, 1: 4}},
		"somebody new":  {nil, []mask.Head{at(1, 1)}, map[int]int{1: 8}},
	} {
		t.Run(name, func(t *testing.T) {
			var n trackNumbers
			n.resume(7, tc.before, tc.now)
			got := map[int]int{}
			for _, h := range tc.now {
				got[h.Track] = n.of(h.Track)
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

// longClip makes a video of 4 s, and probes it.
func longClip(t *testing.T, name string) (media.Tools, media.Info) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=5:duration=4",
		"-c:v", "mpeg4", "-g", "5", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	tools, err := media.FindTools("", "")
	require.NoError(t, err)
	info, err := tools.Probe(t.Context(), path, media.Limits{})
	require.NoError(t, err)
	return tools, info
}

// TestDivide checks that a video whose frames are in doubt is processed in one piece, and that units that were left are
// removed. After an error that says nothing about the frames, they stay, and the video is tried again.
func TestDivide(t *testing.T) {
	killed := filepath.Join(t.TempDir(), "ffprobe")
	require.NoError(t, os.WriteFile(killed, []byte("#!/bin/sh\nkill -9 $$\n"), 0o700)) //nolint:gosec // it runs
	for name, tc := range map[string]struct {
		file, ffprobe string
		length        time.Duration
		units         int
		kept          bool
		want          error
	}{
		"exact":    {file: "a.mp4", length: time.Second, units: 4, kept: true},
		"in doubt": {file: "a.avi", length: time.Second},
		"short":    {file: "a.mp4", length: time.Minute},
		"killed":   {file: "a.mp4", length: time.Second, ffprobe: killed, kept: true, want: media.ErrInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			tools, info := longClip(t, tc.file)
			tools.FFprobe = cmp.Or(tc.ffprobe, tools.FFprobe)
			job := &watch.Job{Temp: filepath.Join(t.TempDir(), ".anonymizing-0123456789abcdef.mp4")}
			left := job.TempFor(".unit-000001.checkpoint.json")
			require.NoError(t, os.WriteFile(left, nil, 0o600))
			v := &video{Runner: &Runner{Config: config.Default(), Tools: tools}, job: job, logger: zap.NewNop()}
			v.Config.UnitLength = tc.length
			v.division.saved = map[int]*checkpoint{1: {}}
			d, err := v.divide(t.Context(), info)
			require.ErrorIs(t, err, tc.want)
			assert.Len(t, d.units, tc.units)
			assert.Equal(t, tc.kept, len(d.saved) == 1)
			_, err = os.Stat(left)
			assert.Equal(t, tc.kept, err == nil)
		})
	}
}

// TestUndividedUnlessPassing checks that temporary damage does not count against units.
func TestUndividedUnlessPassing(t *testing.T) {
	tools, info := longClip(t, "a.avi")
	plan, err := media.NewPlan(info, media.WriteOptions{Container: "mp4", Audio: media.AudioDrop})
	require.NoError(t, err)
	a := &attempt{video: &video{Runner: &Runner{Config: config.Default(), Tools: tools}, logger: zap.NewNop()}, plan: plan}
	damage := fmt.Errorf("a unit: %w", media.ErrDamaged)
	err = a.undividedUnlessPassing(t.Context(), damage)
	require.ErrorIs(t, err, media.ErrIO)
	require.NotErrorIs(t, err, errUndivided)
	assert.True(t, leavesSegments(err))
	require.ErrorIs(t, a.undividedUnlessPassing(t.Context(), media.ErrResume), errUndivided)

	data, err := os.ReadFile(info.Path)
	require.NoError(t, err)
	copy(data[len(data)/2:], make([]byte, 2000))
	require.NoError(t, os.WriteFile(info.Path, data, 0o600))
	info, err = tools.Probe(t.Context(), info.Path, media.Limits{})
	require.NoError(t, err)
	a.plan, err = media.NewPlan(info, media.WriteOptions{Container: "mp4", Audio: media.AudioDrop})
	require.NoError(t, err)
	require.ErrorIs(t, a.undividedUnlessPassing(t.Context(), damage), errUndivided)
}

// TestUndividedIf checks that errors that a single pass over the video may avoid lead to one, and that no others do.
func TestUndividedIf(t *testing.T) {
	for err, again := range map[error]bool{
		media.ErrResume: true, media.ErrDamaged: true, media.ErrUnsupported: true, errUndivided: true,
		media.ErrNoSpace: false, media.ErrIO: false, media.ErrTool: false, errReserved: false,
	} {
		got := undividedIf(fmt.Errorf("a unit: %w", err))
		assert.Equal(t, again, errors.Is(got, errUndivided), err)
		assert.ErrorContains(t, got, err.Error())
		assert.False(t, media.Permanent(got) && again, "%v: what the single pass finds decides", err)
	}
	assert.NoError(t, undividedIf(nil))
}

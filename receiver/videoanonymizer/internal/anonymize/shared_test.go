// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/plan"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// TestCollect checks that the files of units decide what is redone: a unit that does not continue where the one before
// it ends, once, and then the video in one piece; a unit that belongs to something else; or nothing.
func TestCollect(t *testing.T) {
	someone := []mask.Head{{X: 10, Y: 10, RX: 5, RY: 5}}
	type change func(n int, c *checkpoint)
	unit := func(n int, do func(c *checkpoint)) change {
		return func(m int, c *checkpoint) {
			if m == n {
				do(c)
			}
		}
	}
	for name, tc := range map[string]struct {
		change    change
		attempt   int // at the second unit
		edges     sharedEdges
		again     []int
		undivided bool
	}{
		"they fit":           {attempt: 1},
		"one does not":       {attempt: 1, change: unit(1, func(c *checkpoint) { c.Unit.Before = nil }), again: []int{1}},
		"one does not again": {attempt: 2, change: unit(1, func(c *checkpoint) { c.Unit.Before = nil }), undivided: true},
		"one says so":        {attempt: 1, edges: sharedEdges{Undivided: "fields"}, undivided: true},
		"other models": {attempt: 1, change: unit(0, func(c *checkpoint) { c.Fingerprint = "other" }),
			again: []int{0}},
		"not complete": {attempt: 1, change: unit(1, func(c *checkpoint) { c.Unit.Complete = false }), again: []int{1}},
		"another pass": {attempt: 1, change: unit(0, func(c *checkpoint) { c.SecondPass = &report.SecondPass{} }),
			again: []int{0}},
		"another unit": {attempt: 1, change: unit(1, func(c *checkpoint) { c.Unit.End++ }), again: []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			cfg.Report = config.Report{Preview: config.NoPreview}
			folder := t.TempDir()
			v := &sharedVideo{
				video: &video{Runner: &Runner{Config: cfg}, logger: zap.NewNop(), file: file{Output: "/out/a.mp4"}},
				job:   &sharedJob{temp: filepath.Join(folder, "j.1-1.1.mp4")}, plan: sharedPlan{Times: "known"},
			}
			a := &attempt{video: v.video, fingerprint: "fingerprint"}
			var units []share.JoinUnit
			for n := range 2 {
				u := unitState{Unit: plan.Unit{Number: n, First: 5 * n, End: 5*n + 5}, Attempt: 1}
				if n == 1 {
					u.Attempt = tc.attempt
				}
				spec, err := json.Marshal(u)
				require.NoError(t, err)
				u.Before, u.Complete = someone, true
				c := checkpoint{Fingerprint: "fingerprint", Heads: someone, Unit: &u, Done: record.Summary{Frames: 5}}
				c.Video.Frames = 5
				if tc.change != nil {
					tc.change(n, &c)
				}
				text, err := c.encode()
				require.NoError(t, err)
				paths := []string{filepath.Join(folder, fmt.Sprint("c", n)), filepath.Join(folder, fmt.Sprint("t", n)),
					filepath.Join(folder, fmt.Sprint("s", n))}
				for i, path := range paths {
					require.NoError(t, os.WriteFile(path, [][]byte{text, []byte("times"), []byte("segment")}[i], 0o600))
				}
				edges, err := json.Marshal(tc.edges)
				require.NoError(t, err)
				units = append(units, share.JoinUnit{
					Spec: spec, Edges: edges, Segments: []share.SealedSegment{{Paths: paths, Note: []byte(`{"video":1}`)}},
				})
			}
			done, err := v.collect(a, units)
			if tc.again == nil && !tc.undivided {
				require.NoError(t, err)
				assert.Len(t, done, 2)
				assert.FileExists(t, filepath.Join(folder, "j.1-1.1.unit-000001.00000.segment"))
				return
			}
			var redo *share.Redo
			require.ErrorAs(t, err, &redo)
			if tc.undivided {
				require.NotNil(t, redo.Plan)
				assert.Equal(t, []json.RawMessage{nil}, redo.Plan.Units)
				return
			}
			assert.Nil(t, redo.Plan)
			require.Len(t, redo.Units, len(tc.again))
			assert.Equal(t, name == "other models", redo.Free)
			for _, n := range tc.again {
				var u unitState
				require.NoError(t, json.Unmarshal(redo.Units[n], &u))
				assert.Equal(t, n, u.Number)
				if name == "one does not" {
					assert.Equal(t, 2, u.Attempt, "from twice as far before it")
				}
			}
		})
	}
}

// TestRestore checks that what several claims sealed in several segments is reassembled into what a writer left.
func TestRestore(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	var sealed []share.SealedSegment
	for n, note := range []sealedNote{{Video: 2, Preview: 1, Frames: true}, {Video: 1, Preview: 2, Frames: true}} {
		text, err := checkpoint{Tracks: n + 1}.encode()
		require.NoError(t, err)
		s := share.SealedSegment{Paths: []string{write(fmt.Sprint("c", n), string(text)), write(fmt.Sprint("t", n), "T")}}
		for i := range note.Video {
			s.Paths = append(s.Paths, write(fmt.Sprint("v", n, i), fmt.Sprint("video", n, i)))
		}
		s.Paths = append(s.Paths, write(fmt.Sprint("pt", n), "P"))
		for i := range note.Preview {
			s.Paths = append(s.Paths, write(fmt.Sprint("p", n, i), fmt.Sprint("preview", n, i)))
		}
		s.Paths = append(s.Paths, write(fmt.Sprint("f", n), fmt.Sprint("frames", n)))
		s.Note, err = json.Marshal(note)
		require.NoError(t, err)
		sealed = append(sealed, s)
	}
	to := restoredTo{filepath.Join(folder, "x.mp4"), filepath.Join(folder, "y.mp4"), filepath.Join(folder, "x.frames")}
	c, err := restore(sealed, to)
	require.NoError(t, err)
	assert.Equal(t, 2, c.Tracks)
	for path, want := range map[string]string{
		media.TimesPath(to.video): "TT", media.TimesPath(to.preview): "PP", to.frames: "frames0frames1",
		media.SegmentPath(to.video, 0): "video0 0", media.SegmentPath(to.video, 2): "video1 0",
		media.SegmentPath(to.preview, 0): "preview0 0", media.SegmentPath(to.preview, 2): "preview1 1",
	} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, want, string(text), path)
	}
	sealed[1].Paths = sealed[1].Paths[1:]
	_, err = restore(sealed, restoredTo{to.video + "2.mp4", to.preview + "2.mp4", to.frames + "2"})
	require.ErrorIs(t, err, media.ErrResume)
}

// TestSegmentsAreBounded checks that a unit does not have too many segments: a record names the files of all of them.
func TestSegmentsAreBounded(t *testing.T) {
	s := &sealer{length: 2 * time.Minute, begun: time.Now()}
	playing, working := s.segment(20*time.Second, segmentWork)
	assert.Equal(t, 20*time.Second, playing)
	assert.Equal(t, segmentWork, working)
	s = &sealer{length: 48 * time.Hour, begun: time.Now().Add(-100 * time.Hour)}
	playing, working = s.segment(20*time.Second, segmentWork)
	assert.Equal(t, 48*time.Hour/mostSegments, playing)
	assert.GreaterOrEqual(t, working, time.Hour)
}

// TestVerdict checks that a fault of the file fails it, that an error that says nothing about it does not count, and
// that all others are retried.
func TestVerdict(t *testing.T) {
	redo := &share.Redo{Cause: media.ErrDamaged}
	for _, tc := range []struct {
		err, want error
	}{
		{nil, nil},
		{media.ErrDamaged, share.Permanent(media.ErrDamaged)},
		{media.ErrNoSpace, share.Passing(media.ErrNoSpace)},
		{fmt.Errorf("%w: %w", errReserved, media.ErrNoSpace), nil},
		{inference.ErrUnavailable, share.Passing(inference.ErrUnavailable)},
		{media.ErrTool, media.ErrTool},
		{media.ErrIO, media.ErrIO},
		{media.ErrUnwritable, media.ErrUnwritable},
		{media.ErrNoHEVC, media.ErrNoHEVC},
		{media.ErrUnsupported, share.Permanent(media.ErrUnsupported)},
		{watch.ErrChanged, share.Passing(fmt.Errorf("%w: %w", share.ErrStale, watch.ErrChanged))},
		{redo, redo},
	} {
		got := verdict(t.Context(), tc.err)
		if tc.want == nil && tc.err != nil {
			tc.want = share.Passing(tc.err)
		}
		assert.Equal(t, tc.want, got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := errors.Join(media.ErrDamaged)
	assert.Equal(t, err, verdict(ended, err))
}

// TestMadeSaysWhatBecomesOfSources checks that machines that would dispose of sources differently do not work together,
// and that it does not matter where each one sees the root.
func TestMadeSaysWhatBecomesOfSources(t *testing.T) {
	made := func(root string, change func(o *config.Output)) string {
		cfg := config.Default()
		cfg.Output.Directory = filepath.Join(root, "out")
		change(&cfg.Output)
		sum, err := NewShared(&Runner{Config: cfg, Models: &Models{}}, nil, root).Made()
		require.NoError(t, err)
		return sum
	}
	plain := func(*config.Output) {}
	assert.Equal(t, made("/srv/a", plain), made("/mnt/b", plain))
	for name, change := range map[string]func(o *config.Output){
		"on_success": func(o *config.Output) { o.OnSuccess = watch.OnSuccessDelete },
		"on_salvage": func(o *config.Output) { o.OnSalvage = config.OnSalvageAsSuccess },
		"move_to":    func(o *config.Output) { o.MoveTo = "/srv/a/done" },
		"directory":  func(o *config.Output) { o.Directory = "/srv/a/other" },
	} {
		assert.NotEqual(t, made("/srv/a", plain), made("/srv/a", change), name)
	}
}

// TestDivisionsAreRemembered checks that divisions that take long to find are remembered: each once, and the most
// recently used ones.
func TestDivisionsAreRemembered(t *testing.T) {
	s := &Shared{}
	long := division{units: make([]plan.Unit, 2)}
	video := func(n int) share.Video { return share.Video{Path: fmt.Sprint(n)} }
	s.remember(video(0), division{})
	_, known := s.remembered(video(0))
	assert.False(t, known, "it may only have been in doubt")
	for n := range mostDivisions {
		s.remember(video(n), long)
		s.remember(video(n), long)
	}
	_, known = s.remembered(video(0))
	assert.True(t, known)
	s.remember(video(mostDivisions), long)
	_, known = s.remembered(video(0))
	assert.True(t, known, "it was used after the second")
	_, known = s.remembered(video(1))
	assert.False(t, known)
}

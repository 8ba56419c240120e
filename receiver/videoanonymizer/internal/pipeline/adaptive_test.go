// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"image"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// stage is a video with known people: light boxes on a texture, which detectors find in the pixels.
type stage struct {
	frames int
	// people returns where people are in a frame.
	people func(index int) []image.Rectangle
	// pan returns how far the camera has turned in a frame, in pixels.
	pan func(index int) int
	// begin is the index of the first frame that the source returns.
	begin int
}

// Heights of people in pixels. The detectors find those who are at least this tall.
const nearHeight, farHeight = 80, 24

type stageSource struct {
	stage
	next   int
	clip   clip // counts released frames
	opened bool
}

func (s *stageSource) Next() (*media.Frame, error) {
	if !s.opened {
		s.opened, s.next = true, s.begin
	}
	if s.next == s.frames {
		return nil, io.EOF
	}
	f := s.frame(s.next)
	s.next++
	s.clip.inFlight.Add(1)
	return f, nil
}

func (s *stage) frame(index int) *media.Frame {
	f := newFrame(index, false)
	f.Time = time.Duration(index) * time.Second / 30
	moved := 0
	if s.pan != nil {
		moved = s.pan(index)
	}
	data := f.Planes[0].Data
	for i := range data {
		x, y := i%width+moved, i/width
		data[i] = byte(60 + x/11%4*17 + y/13%3*10)
	}
	for _, r := range s.people(index) {
		r = r.Intersect(image.Rect(0, 0, width, height))
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				data[y*width+x] = 220
			}
		}
	}
	return f
}

// boxes finds the light boxes with a minimum height in pixels, in a frame, or in a part or turned copy of it.
type boxes struct {
	least int
	looks atomic.Int64
}

func (b *boxes) Detect(_ context.Context, f *media.Frame) (found []vision.Detection, _ vision.Steps, _ error) {
	b.looks.Add(1)
	plane := f.Planes[0]
	light := func(x, y int) bool { return x >= 0 && y >= 0 && plane.Data[y*plane.Width+x] == 220 }
	for y := range plane.Height {
		for x := range plane.Width {
			if !light(x, y) || light(x-1, y) || y > 0 && light(x, y-1) {
				continue
			}
			x1, y1 := x, y
			for x1 < plane.Width && light(x1, y) {
				x1++
			}
			for y1 < plane.Height && light(x, y1) {
				y1++
			}
			if y1-y >= b.least {
				found = append(found, vision.Detection{Score: .9,
					Box: vision.Box{X0: float32(x), Y0: float32(y), X1: float32(x1), Y1: float32(y1)}})
			}
		}
	}
	return found, vision.Steps{}, nil
}

func person(x, y, high int) []image.Rectangle {
	return []image.Rectangle{image.Rect(x, y, x+high/3, y+high)}
}

func adaptive(t testing.TB) Options {
	opts := options(t, &boxes{least: nearHeight})
	opts.DetectEvery, opts.SurveyInterval, opts.Overlap = 0, time.Second, 0.6
	opts.FrameMemory = 1 << 30
	opts.Full, opts.Region = Look{Detector: &boxes{least: farHeight}}, Look{Detector: &boxes{least: farHeight}}
	return opts
}

func play(t testing.TB, s stage, opts Options) *sink {
	source := &stageSource{stage: s}
	out := &sink{source: &source.clip}
	require.NoError(t, Run(t.Context(), source, out, opts))
	return out
}

// TestLooksFollowContent checks that frames are searched as often and as hard as their content requires, and that
// everyone who is there is masked in every frame.
func TestLooksFollowContent(t *testing.T) {
	const frames = 90
	tests := map[string]struct {
		stage  stage
		quick  [2]int // minimum and maximum number of frames with a quick look
		full   [2]int
		region [2]int
	}{
		"nobody": {stage: stage{people: func(int) []image.Rectangle { return nil }},
			quick: [2]int{12, 13}, full: [2]int{4, 4}},
		"someone near": {stage: stage{people: func(int) []image.Rectangle { return person(100, 40, 100) }},
			quick: [2]int{12, 13}, full: [2]int{4, 4}},
		"someone far who stays": {stage: stage{people: func(int) []image.Rectangle { return person(100, 40, 30) }},
			quick: [2]int{12, 13}, full: [2]int{4, 4}},
		"someone far who walks": {stage: stage{people: func(i int) []image.Rectangle { return person(20+2*i, 40, 30) }},
			region: [2]int{15, frames}, full: [2]int{4, 4}},
		"someone who runs": {stage: stage{people: func(i int) []image.Rectangle {
			return person((12*i)%400-60, 40, 100)
		}}, quick: [2]int{20, frames}, full: [2]int{4, 4}, region: [2]int{0, frames}},
		"someone far in one frame": {stage: stage{people: func(i int) []image.Rectangle {
			if i == 40 {
				return person(200, 60, 30)
			}
			return nil
		}}, quick: [2]int{10, 20}, full: [2]int{4, 4}, region: [2]int{1, 8}},
		"someone far who comes at the end": {stage: stage{people: func(i int) []image.Rectangle {
			if i >= frames-2 {
				return person(200, 60, 30)
			}
			return nil
		}}, quick: [2]int{10, 20}, full: [2]int{4, 4}, region: [2]int{1, 8}},
		"a camera that pans": {stage: stage{people: func(int) []image.Rectangle { return person(100, 40, 100) },
			pan: func(i int) int { return 20 * i }}, quick: [2]int{0, frames}, full: [2]int{12, 40}, region: [2]int{0, 20}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.stage.frames = frames
			out := play(t, tt.stage, adaptive(t))
			looks := map[record.Look]int{}
			for i, rec := range out.records {
				looks[rec.Look]++
				for _, p := range tt.stage.people(i) {
					covered := false
					for _, h := range rec.Heads {
						covered = covered || h.Contains(float32(p.Min.X+p.Max.X)/2, float32(p.Min.Y)+float32(p.Dy())/10)
					}
					if p.Min.X >= 0 && p.Max.X <= width {
						assert.True(t, covered, "frame %d: %v is masked", i, p)
					}
				}
			}
			for look, want := range map[record.Look][2]int{record.LookQuick: tt.quick, record.LookFull: tt.full,
				record.LookRegion: tt.region} {
				assert.GreaterOrEqual(t, looks[look], want[0], "%s looks", look)
				assert.LessOrEqual(t, looks[look], want[1], "%s looks", look)
			}
		})
	}
}

// TestLooksAreRepeatable checks that what is searched and masked depends only on the video, not on the number or speed
// of the workers, and that a resumed video is masked as it would have been.
func TestLooksAreRepeatable(t *testing.T) {
	const frames, first = 300, 210
	s := stage{frames: frames, people: func(i int) []image.Rectangle {
		all := append(person(20+i, 40, 100), person((7*i)%300, 130, 30)...)
		if i%50 == 13 {
			all = append(all, person(250, 20, 30)...)
		}
		return all
	}}
	opts := adaptive(t)
	opts.Workers = 1
	want := play(t, s, opts)
	type seen struct {
		look  record.Look
		cause record.Cause
		heads []any
	}
	said := func(rec record.Frame) (s seen) {
		s.look, s.cause = rec.Look, rec.LookCause
		for _, h := range rec.Heads {
			s.heads = append(s.heads, h)
		}
		return s
	}
	for name, change := range map[string]func(*Options, *stage){
		"more workers": func(o *Options, _ *stage) { o.Workers = 8 },
		"resumed": func(o *Options, s *stage) {
			s.begin = first - 210
			o.Resume = &Resume{First: first, Before: func(*record.Frame) error { return nil }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts, s := adaptive(t), s
			change(&opts, &s)
			got := play(t, s, opts)
			offset := frames - len(got.records)
			for i, rec := range got.records {
				assert.Equal(t, said(want.records[i+offset]), said(rec), "frame %d", i+offset)
			}
		})
	}
}

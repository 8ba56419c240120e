// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// looks runs the second looks, one output at a time. They find what a report cannot show: it ranks masks, and a head
// that was never detected has none.
type looks struct {
	*queue[watch.Output]
	workspace *Workspace
}

func newLooks(w *Workspace) *looks { return &looks{newQueue[watch.Output](), w} }

// Worked tells the workspace that a job has ended. If it made an output, a second look at the output is queued.
func (w *Workspace) Worked(path string) {
	w.Notify()
	for _, o := range w.overview() {
		if o.Path == path && o.Phase == watch.PhaseDone {
			if r := w.reviews.get(&o.Output); r.Look.State == "" {
				w.looks.want(o.Output)
			}
		}
	}
}

// want queues a second look at an output.
func (l *looks) want(o watch.Output) {
	if l.workspace.opts.SecondLook != nil && !watch.IsPicture(o.Path) {
		l.queue.want(o)
	}
}

func (l *looks) state(o *watch.Output, r *review) consoleapi.SecondLook {
	first, running := l.first()
	switch {
	case r.Look.State != "":
		return consoleapi.SecondLook{State: r.Look.State, Frames: r.Look.Frames, Found: len(r.Look.Found)}
	case l.workspace.opts.SecondLook == nil, watch.IsPicture(o.Path):
		return consoleapi.SecondLook{State: consoleapi.LookOff}
	case running && first == *o:
		return consoleapi.SecondLook{State: consoleapi.LookRunning}
	}
	return consoleapi.SecondLook{State: consoleapi.LookWaiting}
}

// loop takes the queued second looks until the context ends.
func (l *looks) loop(ctx context.Context) {
	l.queue.loop(ctx, func(o watch.Output) { l.take(ctx, &o) }, l.workspace.Notify)
}

// take takes a second look at an output, and records the result.
func (l *looks) take(ctx context.Context, o *watch.Output) {
	result, err := l.look(ctx, o)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.workspace.opts.Logger.Warn("the second look at an output failed", zap.String("output", o.Path),
			zap.Error(err))
		result = look{State: consoleapi.LookFailed}
	}
	if len(result.Found) > 0 {
		l.workspace.opts.Logger.Warn("the second look found someone who is not masked: review the video",
			zap.String("output", o.Path), zap.Int("frames", len(result.Found)))
	}
	if _, err := l.workspace.reviews.change(o, func(r *review) error { r.Look = result; return nil }); err != nil {
		l.workspace.opts.Logger.Warn("the second look at an output cannot be recorded", zap.String("output", o.Path),
			zap.Error(err))
	}
}

// covered is the minimum share of a head that masks have to cover for it to count as masked.
const covered = 0.5

func (l *looks) look(ctx context.Context, o *watch.Output) (look, error) {
	if err := l.workspace.intact(o); err != nil {
		return look{}, err
	}
	index, file, err := l.workspace.reports.indexOf(report.Path(o.Path))
	if err != nil {
		return look{}, err
	}
	defer file.Close()
	times, err := index.times(file)
	if err != nil {
		return look{}, err
	}
	var open finds
	var reading error
	sample, err := l.workspace.opts.SecondLook(ctx, o.Path, times, func(frame int, heads []mask.Head) {
		open.sample++
		reading = errors.Join(reading, index.frames(file, frame, frame+1, func(f *frameLine) {
			masks := masksOf(f, index.header.Settings.Scale)
			for _, h := range heads {
				if !f.Whole && uncovered(h, masks) {
					open.add(frame, f.Time, h)
				}
			}
		}))
	})
	return look{State: consoleapi.LookDone, Frames: sample, Found: open.moments()}, errors.Join(err, reading)
}

// finds are heads that no mask covers. Heads at the same place in consecutive samples are one find.
type finds struct {
	sample int // the current one
	all    []*find
}

// find is a head throughout the samples in which it was found.
type find struct {
	sample      int // the last one
	box         vision.Box
	first, last int // frames
	from, to    float64
	best        consoleapi.Moment
}

// missed is the maximum number of samples in a row that may lack a head between two detections of it.
const missed = 3

// samePlace reports whether each box contains the center of the other.
func samePlace(a, b vision.Box) bool {
	ax, ay := a.Center()
	bx, by := b.Center()
	return a.Contains(bx, by) && b.Contains(ax, ay)
}

// add adds a head in a frame of the current sample, at a time in seconds.
func (f *finds) add(frame int, at float64, h mask.Head) {
	box := h.Bounds()
	for _, known := range f.all {
		if f.sample-known.sample <= missed+1 && samePlace(box, known.box) {
			known.sample, known.box, known.last, known.to = f.sample, box, frame, at
			if score := rounded(h.Score); score > known.best.Score {
				known.best = uncoveredMoment(frame, at, h)
			}
			return
		}
	}
	f.all = append(f.all, &find{f.sample, box, frame, frame, at, at, uncoveredMoment(frame, at, h)})
}

// moments returns the finds as moments, those with the highest scores first.
func (f *finds) moments() []consoleapi.Moment {
	slices.SortStableFunc(f.all, func(a, b *find) int { return cmp.Compare(b.best.Score, a.best.Score) })
	var moments []consoleapi.Moment
	for i, x := range f.all {
		m := x.best
		m.ID, m.FirstFrame, m.LastFrame = fmt.Sprintf("u%d", i+1), x.first, x.last
		m.Duration = math.Round((x.to-x.from)*1000) / 1000
		moments = append(moments, m)
	}
	return moments
}

// masksOf returns the masks of a frame as ellipses.
func masksOf(f *frameLine, scale float64) (heads []mask.Head) {
	for _, m := range f.Masks {
		heads = append(heads, mask.Head{
			X: float32(m.Box[0]+m.Box[2]) / 2, Y: float32(m.Box[1]+m.Box[3]) / 2,
			RX: float32(float64(m.Box[2]-m.Box[0]) / 2 * scale), RY: float32(float64(m.Box[3]-m.Box[1]) / 2 * scale),
		})
	}
	return heads
}

// uncovered reports whether masks leave too much of a head open, measured on a grid of points.
func uncovered(h mask.Head, masks []mask.Head) bool {
	if !h.Sane() {
		return false
	}
	const grid = 16
	inside, open := 0, 0
	b := h.Bounds()
	for i := range grid {
		for j := range grid {
			x := b.X0 + (b.X1-b.X0)*(float32(i)+0.5)/grid
			y := b.Y0 + (b.Y1-b.Y0)*(float32(j)+0.5)/grid
			if !h.Contains(x, y) {
				continue
			}
			inside++
			if !mask.Contained(x, y, masks) {
				open++
			}
		}
	}
	return float64(open) > (1-covered)*float64(inside)
}

func uncoveredMoment(frame int, at float64, h mask.Head) consoleapi.Moment {
	b := h.Bounds()
	round := func(v float32) int { return int(math.Round(float64(v))) }
	return consoleapi.Moment{
		Reason: consoleapi.Uncovered, At: report.Timecode(at), Frame: frame, Time: at, Score: rounded(h.Score),
		Box: &[4]int{round(b.X0), round(b.Y0), round(b.X1), round(b.Y1)},
	}
}

func rounded(score float32) float64 { return math.Round(float64(score)*1000) / 1000 }

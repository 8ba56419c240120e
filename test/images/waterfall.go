// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"image/color"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/figure"
)

// waterfall shows the trace of a typical frame as a trace viewer does. Most of the time the frame only waits for later
// frames, so that part of the time axis is cut out.
func waterfall(all frames) (*chart, error) {
	f := all.typical()
	axis := newCutAxis(f)
	c := newChart(fmt.Sprintf("Trace of frame %d", f.index()), vg.Length(70+17*len(f.spans)))
	var names, durations labelList
	var stage color.Color
	for i, s := range f.spans {
		if s.depth <= 1 { // a step has the color of its stage
			stage = colors[s.Name()]
		}
		x0, x1, y := axis.x(s.StartTimestamp()), axis.x(s.EndTimestamp()), float64(-i)
		bottom, top := y-.35, y+.35
		bar, err := plotter.NewPolygon(plotter.XYs{{X: x0, Y: bottom}, {X: x0, Y: top}, {X: x1, Y: top},
			{X: x1, Y: bottom}})
		if err != nil {
			return nil, err
		}
		bar.Color, bar.LineStyle = stage, outline(stage)
		c.Add(bar)
		names.add(-.33+.025*float64(s.depth), y, s.Name())
		durations.add(1.02, y, milliseconds(length(s.Span)))
	}
	cut, err := plotter.NewLine(plotter.XYs{{X: axis.cutAt(), Y: .6}, {X: axis.cutAt(), Y: .4 - float64(len(f.spans))}})
	if err != nil {
		return nil, err
	}
	cut.LineStyle = draw.LineStyle{Color: black, Width: .75, Dashes: []vg.Length{2, 2}}
	c.Add(cut)
	c.X.Label.Text = fmt.Sprintf("Cut at the dashed line: %s in which the frame waits for later frames",
		milliseconds(axis.cut()))
	c.HideAxes()
	if err := c.addLabels(names, black, vg.Point{}); err != nil {
		return nil, err
	}
	return c, c.addLabels(durations, figure.Gray, vg.Point{})
}

// cutAxis is the time axis of a frame's trace, without the part between from and to.
type cutAxis struct {
	start           pcommon.Timestamp
	from, to, total time.Duration // since start
}

// newCutAxis cuts out the longest time without a running stage. The stage tracking does not count: it is the wait
// itself.
func newCutAxis(f frame) cutAxis {
	a := cutAxis{start: f.root.StartTimestamp(), total: length(f.root)}
	var busyUntil time.Duration
	for _, s := range f.spans[1:] {
		if s.Name() == "tracking" {
			continue
		}
		if start := a.since(s.StartTimestamp()); start-busyUntil > a.to-a.from {
			a.from, a.to = busyUntil, start
		}
		busyUntil = max(busyUntil, a.since(s.EndTimestamp()))
	}
	const kept = 6 * time.Millisecond // on each side of the cut
	if a.to-a.from <= 2*kept {
		a.from, a.to = 0, 0
		return a
	}
	a.from, a.to = a.from+kept, a.to-kept
	return a
}

func (a cutAxis) since(t pcommon.Timestamp) time.Duration { return time.Duration(t - a.start) }

func (a cutAxis) cut() time.Duration { return a.to - a.from }

// cutAt returns the position of the cut, 0 to 1.
func (a cutAxis) cutAt() float64 { return float64(a.from) / float64(a.total-a.cut()) }

// x returns the position of a time: 0 is the start of the trace, 1 its end.
func (a cutAxis) x(t pcommon.Timestamp) float64 {
	d := a.since(t)
	switch {
	case d >= a.to:
		d -= a.cut()
	case d > a.from:
		d = a.from
	}
	return float64(d) / float64(a.total-a.cut())
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"image/color"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/figure"
)

// In points. The three charts are next to each other.
const (
	chartWidth, chartHeight = 225, 200
	chartMargin             = 8
	chartFont               = 9
)

// lines are the lines in each chart.
var lines = []struct {
	name  string
	cost  func(point) float64
	color color.Color
}{
	{"all", point.CPU, color.RGBA{0x20, 0x21, 0x24, 0xff}},
	{"inference", point.Inference, color.RGBA{0xf2, 0x8e, 0x2b, 0xff}},
	{"decoding, encoding", point.Codec, color.RGBA{0x4e, 0x79, 0xa7, 0xff}},
}

// drawGrowth writes the charts of all series that were measured, as SVG.
func drawGrowth(r results, path string) error {
	canvas := vgsvg.New(3*chartWidth, chartHeight)
	page := draw.New(canvas)
	for i, c := range []struct {
		label string
		shown *series
		x     func(point) float64
	}{
		{"people in the frame", r.People, func(p point) float64 { return p.People }},
		{"megapixels", r.Resolution, func(p point) float64 { return p.Megapixels }},
		{"minutes of video, 854x480", r.Length, func(p point) float64 { return p.Minutes }},
	} {
		if c.shown == nil {
			continue
		}
		points := c.shown.Points
		if c.shown == r.Length && r.Hour != nil {
			points = slices.Concat(points, r.Hour.Points)
		}
		chart, err := newChart(c.label, points, c.x)
		if err != nil {
			return err
		}
		left := vg.Length(i * chartWidth)
		chart.Draw(draw.Crop(page, left+chartMargin, left+chartWidth-chartMargin-page.Size().X, chartMargin,
			-chartMargin))
	}
	return figure.Save(canvas, path)
}

func newChart(label string, measured []point, x func(point) float64) (*plot.Plot, error) {
	chart := figure.New(chartFont)
	chart.X.Label.Text, chart.Y.Label.Text = label, "ms of CPU time per frame"
	chart.X.Min, chart.Y.Min = 0, 0
	for _, axis := range []*plot.Axis{&chart.X, &chart.Y} {
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = figure.Gray, figure.Gray
		axis.Tick.Marker = plot.TickerFunc(shortTicks)
	}
	chart.Legend.Top, chart.Legend.Left = true, true
	chart.Legend.TextStyle.Font.Size = chartFont
	for _, shown := range lines {
		var points plotter.XYs
		for _, p := range measured {
			points = append(points, plotter.XY{X: x(p), Y: shown.cost(p)})
			chart.Y.Max = max(chart.Y.Max, 1.4*shown.cost(p)) // room for the legend
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, dots.Color, dots.Shape = shown.color, shown.color, draw.CircleGlyph{}
		chart.Add(line, dots)
		chart.Legend.Add(shown.name, line)
	}
	return chart, nil
}

// shortTicks returns the usual ticks, with labels as short as possible: 250, not 250.00.
func shortTicks(least, most float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(least, most)
	for i, tick := range ticks {
		if !tick.IsMinor() {
			ticks[i].Label = strconv.FormatFloat(tick.Value, 'g', 4, 64)
		}
	}
	return ticks
}

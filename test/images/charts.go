// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"image/color"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/figure"
)

// newTimeline returns a chart over the frames of a video, with integers up to at least most on its y axis.
func newTimeline(title string, all frames, most int) *chart {
	c := newChart(title, 235)
	most = (max(most, 1) + 3) / 4 * 4
	var xs, ys plot.ConstantTicks
	for i := 0; i < len(all); i += 20 {
		xs = append(xs, plot.Tick{Value: float64(all[i].index()), Label: fmt.Sprint(all[i].index())})
	}
	for y := 0; y <= most; y += most / 4 {
		ys = append(ys, plot.Tick{Value: float64(y), Label: fmt.Sprint(y)})
	}
	c.X.Label.Text, c.X.Tick.Marker, c.Y.Tick.Marker = "frame", xs, ys
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	c.Add(grid)
	c.Y.Min, c.Y.Max = 0, float64(most)
	return c
}

// steps returns a line that stays at each frame's value until the next frame.
func steps(all frames, value func(frame) int) (*plotter.Line, error) {
	var points plotter.XYs
	for _, f := range all {
		points = append(points, plotter.XY{X: float64(f.index()), Y: float64(value(f))})
	}
	end := points[len(points)-1]
	end.X++
	line, err := plotter.NewLine(append(points, end))
	if err != nil {
		return nil, err
	}
	line.StepStyle = plotter.PostStep
	return line, nil
}

// people plots the gauge detected_people_count over the video.
func people(all frames) (*chart, error) {
	count := func(f frame) int { return f.root.Int("bbox.count") }
	c := newTimeline("People detected (detected_people_count)", all, all.most(count))
	line, err := steps(all, count)
	if err != nil {
		return nil, err
	}
	line.Color, line.Width = blue, 1.5
	c.Add(line)
	return c, nil
}

// masks plots how many masks each origin contributed, stacked, over the video.
func masks(all frames) (*chart, error) {
	origins := []struct{ name, attribute string }{
		{"pose", "anonymizer.mask.from_pose"}, {"face", "anonymizer.mask.from_face"},
		{"interpolated", "anonymizer.mask.interpolated"}, {"held", "anonymizer.mask.held"},
		{"box", "anonymizer.mask.from_box"},
	}
	upTo := func(n int) func(frame) int {
		return func(f frame) (sum int) {
			for _, origin := range origins[:n] {
				sum += f.root.Int(origin.attribute)
			}
			return sum
		}
	}
	c := newTimeline("Masks by origin", all, all.most(upTo(len(origins))))
	// From the top down, so that each area covers the lower part of the one before.
	for i, origin := range slices.Backward(origins) {
		area, err := steps(all, upTo(i+1))
		if err != nil {
			return nil, err
		}
		area.FillColor, area.Width = colors[origin.name], 0
		c.Add(area)
		c.addLegend(origin.name, area)
	}
	return c, nil
}

// stages plots the p50 and p95 durations of each stage except tracking, which only waits.
func stages(all frames) (*chart, error) {
	names := []string{"encode", "visualization", "pose_estimation", "person_detection", "decode"} // from the bottom up
	const thickness = 12
	c := newChart("Time in each stage", 230)
	for _, bar := range []struct {
		name     string
		quantile float64
		offset   vg.Length
		color    color.Color
	}{{"p50", .5, thickness / 2, blue}, {"p95", .95, -thickness / 2, pale}} {
		var values plotter.Values // seconds
		var labels labelList
		for i, name := range names {
			d := quantile(all.durations(name), bar.quantile)
			values = append(values, d.Seconds())
			labels.add(d.Seconds(), float64(i), milliseconds(d))
		}
		bars, err := plotter.NewBarChart(values, thickness)
		if err != nil {
			return nil, err
		}
		bars.Horizontal, bars.Offset, bars.Color, bars.LineStyle = true, bar.offset, bar.color, outline(bar.color)
		c.Add(bars)
		c.addLegend(bar.name, bars)
		if err := c.addLabels(labels, figure.Gray, vg.Point{X: 4, Y: bar.offset}); err != nil {
			return nil, err
		}
	}
	c.NominalY(names...)
	c.HideX()
	return c, nil
}

// quantile returns the nearest-rank quantile q (0..1) of sorted durations; 0 if there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func milliseconds(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
}

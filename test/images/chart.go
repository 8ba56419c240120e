// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"image/color"

	stdfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/figure"
)

// In points.
const (
	width       = 675 // of all images: 900 pixels
	margin      = 8
	legendWidth = 75
	fontSize    = 10
)

var (
	black = color.RGBA{0x20, 0x21, 0x24, 0xff}
	blue  = color.RGBA{0x1a, 0x73, 0xe8, 0xff}
	pale  = color.RGBA{0xa8, 0xc7, 0xfa, 0xff}

	// One color for each stage and for each origin of a mask.
	colors = map[string]color.Color{
		"process_single_frame": color.RGBA{0x9a, 0xa0, 0xa6, 0xff},
		"decode":               color.RGBA{0x4e, 0x79, 0xa7, 0xff},
		"person_detection":     color.RGBA{0xf2, 0x8e, 0x2b, 0xff},
		"pose_estimation":      color.RGBA{0x59, 0xa1, 0x4f, 0xff},
		"tracking":             color.RGBA{0xba, 0xb0, 0xac, 0xff},
		"visualization":        color.RGBA{0xb0, 0x7a, 0xa1, 0xff},
		"encode":               color.RGBA{0xe1, 0x57, 0x59, 0xff},

		"pose":         color.RGBA{0x59, 0xa1, 0x4f, 0xff},
		"face":         color.RGBA{0xb0, 0x7a, 0xa1, 0xff},
		"box":          color.RGBA{0xe1, 0x57, 0x59, 0xff},
		"interpolated": color.RGBA{0x4e, 0x79, 0xa7, 0xff},
		"held":         color.RGBA{0xf2, 0x8e, 0x2b, 0xff},
	}
)

// outline returns a line style that keeps shapes visible that are too thin to fill.
func outline(c color.Color) draw.LineStyle { return draw.LineStyle{Color: c, Width: .5} }

// chart is a plot with its height in points.
type chart struct {
	*plot.Plot
	height vg.Length
	legend *plot.Legend // to the right of the plot; nil if there is none
}

func newChart(title string, height vg.Length) *chart {
	c := &chart{Plot: figure.New(fontSize), height: height}
	c.Title.Text = title
	c.Title.TextStyle.Font.Weight = stdfont.WeightBold
	c.Title.TextStyle.Color = black
	c.Title.Padding = 10
	for _, axis := range []*plot.Axis{&c.X, &c.Y} {
		axis.LineStyle.Width, axis.Tick.LineStyle.Width, axis.Tick.Length = 0, 0, 0
	}
	return c
}

// addLabels draws texts that start at their points plus an offset.
func (c *chart) addLabels(texts labelList, color color.Color, offset vg.Point) error {
	labels, err := plotter.NewLabels(texts)
	if err != nil {
		return err
	}
	for i := range labels.TextStyle {
		labels.TextStyle[i].Color, labels.TextStyle[i].Font.Size = color, fontSize
		labels.TextStyle[i].YAlign = draw.YCenter
	}
	labels.Offset = offset.Add(vg.Point{Y: 1}) // YCenter counts descenders, which few letters have
	c.Add(labels)
	return nil
}

// labelList is a list of texts and their points.
type labelList struct{ plotter.XYLabels }

func (l *labelList) add(x, y float64, text string) {
	l.XYs, l.Labels = append(l.XYs, plotter.XY{X: x, Y: y}), append(l.Labels, text)
}

// addLegend adds a name for what a plotter shows.
func (c *chart) addLegend(name string, shown plot.Thumbnailer) {
	if c.legend == nil {
		legend := plot.NewLegend()
		legend.Left, legend.Top, legend.Padding, legend.ThumbnailWidth = true, true, 4, 10
		legend.TextStyle.Font.Size = fontSize
		c.legend = &legend
	}
	c.legend.Add(name, shown)
}

// save writes the chart as SVG.
func (c *chart) save(path string) error {
	canvas := vgsvg.New(width, c.height)
	page := draw.Crop(draw.New(canvas), margin, -margin, margin, -margin)
	if c.legend != nil {
		c.legend.Draw(draw.Crop(page, page.Size().X-legendWidth, 0, 0, -30))
		page = draw.Crop(page, 0, -legendWidth-margin, 0, 0)
	}
	c.Draw(page)
	return figure.Save(canvas, path)
}

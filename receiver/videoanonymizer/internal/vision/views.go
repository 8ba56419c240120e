// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"image"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

// tileOverlap is the share of a tile that its neighbour shows too. People smaller than that are whole in one of them.
const tileOverlap = 0.25

// views are the parts of a frame that a detector looks at: the whole, and, if tiles is above 1, tiles x tiles parts of it that
// overlap.
func views(frame *media.Frame, tiles int) []image.Rectangle {
	all := []image.Rectangle{image.Rect(0, 0, frame.Width, frame.Height)}
	if tiles <= 1 {
		return all
	}
	for row := range tiles {
		y0, y1 := tileSpan(frame.Height, tiles, row)
		for column := range tiles {
			x0, x1 := tileSpan(frame.Width, tiles, column)
			all = append(all, image.Rect(x0, y0, x1, y1))
		}
	}
	return all
}

// tileSpan is where the i-th of n tiles begins and ends along a side.
func tileSpan(side, n, i int) (from, to int) {
	length := float64(side) / (float64(n) - float64(n-1)*tileOverlap)
	from = int(float64(i) * length * (1 - tileOverlap))
	return from, min(side, from+int(length)+1)
}

// largest is the share of the frame's width or height from which a person is not for tiles: the whole view shows him well, and a
// tile shows trunks and arms that it takes for people of their own.
const largest = 0.25

// whollyInside drops what a tile shows only a part of: boxes at an edge of the view that is none of the frame, and large ones. A
// tile beside it or the whole view shows more of it.
func whollyInside(people []Detection, view image.Rectangle, frame *media.Frame) []Detection {
	if view.Min == (image.Point{}) && view.Max == image.Pt(frame.Width, frame.Height) {
		return people
	}
	dx, dy := float32(view.Dx())*0.015, float32(view.Dy())*0.015
	kept := people[:0]
	for _, p := range people {
		if p.Box.Width() > largest*float32(frame.Width) || p.Box.Height() > largest*float32(frame.Height) {
			continue
		}
		if view.Min.X > 0 && p.Box.X0 < float32(view.Min.X)+dx || view.Max.X < frame.Width && p.Box.X1 > float32(view.Max.X)-dx ||
			view.Min.Y > 0 && p.Box.Y0 < float32(view.Min.Y)+dy || view.Max.Y < frame.Height && p.Box.Y1 > float32(view.Max.Y)-dy {
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// lookAt shows a view of the frame, scaled to fit and centred on black, to a model with the one input uint8 [1,height,width,3] RGB.
// read gets the outputs, which are valid until it returns, and how to get from pixels of the input to those of the frame: times
// scale, plus the upper left corner of the region.
func lookAt(ctx context.Context, session *onnx.Session, frame *media.Frame, view image.Rectangle, width, height int, steps *Steps,
	read func(outputs []onnx.Tensor, region image.Rectangle, scale float32) error,
) error {
	watch := newStopwatch(steps)
	region := letterbox(view, width, height)
	input := borrowBytes(width * height * 3)
	defer returnBytes(input)
	if err := samplePicture(frame, region, *input, width, height); err != nil {
		return err
	}
	watch.preprocessed()
	err := session.Run(ctx, []onnx.Tensor{{Shape: []int64{1, int64(height), int64(width), 3}, Uint8: *input}},
		func(outputs []onnx.Tensor) error {
			watch.inferred()
			return read(outputs, region, float32(region.Dx())/float32(width))
		})
	if err != nil {
		return err
	}
	watch.postprocessed()
	return nil
}

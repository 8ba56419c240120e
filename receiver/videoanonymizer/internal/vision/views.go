// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"image"
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// tileOverlap is the share of a tile that the next one shows too. People smaller than that are whole in one of them.
const tileOverlap = 0.25

// views are the parts of a frame that a detector analyzes: the whole frame and, if tiles is above 1, tiles x tiles
// overlapping parts of it.
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

// maxInTile is the share of the frame's width or height above which a person found in a tile is dropped: the view of
// the whole frame shows such a person well, whereas a tile shows trunks and arms that look like people of their own.
const maxInTile = 0.25

// dropPartial drops what a tile may show only a part of: boxes at an edge of the view that is not one of the frame, and
// large ones. The next tile, or the view of the whole frame, shows more of them.
func dropPartial(people []Detection, view image.Rectangle, frame *media.Frame) []Detection {
	if view.Min == (image.Point{}) && view.Max == image.Pt(frame.Width, frame.Height) {
		return people
	}
	dx, dy := float32(view.Dx())*0.015, float32(view.Dy())*0.015
	kept := people[:0]
	for _, p := range people {
		if p.Box.Width() > maxInTile*float32(frame.Width) || p.Box.Height() > maxInTile*float32(frame.Height) {
			continue
		}
		if view.Min.X > 0 && p.Box.X0 < float32(view.Min.X)+dx ||
			view.Max.X < frame.Width && p.Box.X1 > float32(view.Max.X)-dx ||
			view.Min.Y > 0 && p.Box.Y0 < float32(view.Min.Y)+dy ||
			view.Max.Y < frame.Height && p.Box.Y1 > float32(view.Max.Y)-dy {
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// runOnView runs a model whose only input is uint8 [1,height,width,3] RGB on a view of the frame, scaled to fit and
// centered on black. read gets the outputs, valid until it returns, and what maps pixels of the input to pixels of the
// frame: multiply by scale, then add the upper left corner of the region.
func runOnView(
	ctx context.Context, session inference.Session, frame *media.Frame, view image.Rectangle, width, height int,
	steps *Steps, read func(outputs []inference.Tensor, region image.Rectangle, scale float32) error,
) error {
	watch := newStopwatch(steps)
	region := letterbox(view, width, height)
	input := borrowBytes(width * height * 3)
	defer returnBytes(input)
	if err := sampleImage(frame, region, *input, width, height); err != nil {
		return err
	}
	watch.preprocessed()
	tensor := inference.Tensor{Shape: []int64{1, int64(height), int64(width), 3}, Uint8: *input}
	err := session.Run(ctx, []inference.Tensor{tensor}, func(outputs []inference.Tensor) error {
		watch.inferred()
		return read(outputs, region, float32(region.Dx())/float32(width))
	})
	if err != nil {
		return err
	}
	watch.postprocessed()
	return nil
}

// clip cuts boxes off at the frame's edges and drops those without any area left.
func clip(people []Detection, frame *media.Frame) []Detection {
	kept := people[:0]
	for _, p := range people {
		p.Box = p.Box.Clipped(frame.Width, frame.Height)
		if p.Box.Width() > 0 && p.Box.Height() > 0 {
			kept = append(kept, p)
		}
	}
	return kept
}

// maxEnlargement bounds how much larger than a view the input that shows it is. Enlarging a view of 422 pixels to 640
// showed people in a crowd who were not found at 448; more only takes longer.
const maxEnlargement = 1.5

// inputSize returns the function that gives the size of the model's input for a view: the configured size, or the
// configured or default longer side, with the shorter one following from the view. Both are multiples of the stride.
// Where a longer side above the default is configured, maxEnlargement bounds it.
func inputSize(opts DetectorOptions, defaultLongSide, stride int) func(width, height int) (w, h int) {
	if opts.Width > 0 && opts.Height > 0 {
		w, h := roundUp(opts.Width, stride), roundUp(opts.Height, stride)
		return func(int, int) (int, int) { return w, h }
	}
	limit := defaultLongSide
	if opts.LongSide > 0 {
		limit = opts.LongSide
	}
	return func(width, height int) (int, int) {
		long, short := max(width, height), min(width, height)
		limit := limit
		if opts.Detail {
			limit = detailLongSide
		}
		longSide := roundUp(min(limit, max(defaultLongSide, int(maxEnlargement*float64(long)))), stride)
		shortSide := roundUp((short*longSide+long-1)/long, stride)
		if height > width {
			return shortSide, longSide
		}
		return longSide, shortSide
	}
}

// letterbox is the region of the frame that has the aspect ratio of a model's input, centered on the view and just
// large enough to contain it. It may reach beyond the frame.
func letterbox(view image.Rectangle, width, height int) image.Rectangle {
	// One pixel of the input is as many pixels of the frame in both directions.
	scale := max(float64(view.Dx())/float64(width), float64(view.Dy())/float64(height))
	regionWidth, regionHeight := int(math.Ceil(float64(width)*scale)), int(math.Ceil(float64(height)*scale))
	left, top := view.Min.X+(view.Dx()-regionWidth)/2, view.Min.Y+(view.Dy()-regionHeight)/2
	return image.Rect(left, top, left+regionWidth, top+regionHeight)
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

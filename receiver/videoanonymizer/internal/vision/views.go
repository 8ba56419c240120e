// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"image"
	"math"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// tileOverlap is the share of a tile that the next one shows, too. People smaller than that are whole in one of them.
const tileOverlap = 0.25

// view is a part of a frame that a detector analyzes.
type view struct {
	image.Rectangle
	// maxWidth and maxHeight are the maximum size in pixels of people who count in the view; 0 means no limit.
	maxWidth, maxHeight float32
}

// views returns the views of a frame that a detector analyzes: the whole frame and, if tiles is above 1, tiles x tiles
// overlapping parts of it. fine adds smaller parts of large frames; see DetectorOptions.
func views(frame *media.Frame, tiles int, fine bool) []view {
	grids := []image.Point{{X: 1, Y: 1}}
	if tiles > 1 {
		grids = append(grids, image.Pt(tiles, tiles))
	}
	if fine {
		grids = append(grids, fineGrids(frame, max(1, tiles))...)
	}
	var all []view
	coarser := image.Pt(frame.Width, frame.Height)
	for _, grid := range grids {
		parts := divide(frame, grid, coarser)
		coarser = parts[0].Size()
		all = append(all, parts...)
	}
	return all
}

// finePart is the length in pixels above which a frame is divided further: the length of the parts of 1080p.
const finePart = 1100

// fineGrids returns the grids of parts to add to tiles x tiles ones: the one whose parts are about finePart long, one
// with half as many along each side, and so on, so that people of every size fill a good share of some part.
func fineGrids(frame *media.Frame, tiles int) (grids []image.Point) {
	grid := image.Pt(divideUp(frame.Width, finePart), divideUp(frame.Height, finePart))
	for max(grid.X, grid.Y) > tiles {
		grids = append(grids, grid)
		grid = image.Pt(divideUp(grid.X, 2), divideUp(grid.Y, 2))
	}
	slices.Reverse(grids)
	return grids
}

// divide divides a frame into overlapping parts, given the size of the parts one step larger.
func divide(frame *media.Frame, grid, coarser image.Point) (parts []view) {
	for row := range grid.Y {
		y0, y1 := tileSpan(frame.Height, grid.Y, row)
		for column := range grid.X {
			x0, x1 := tileSpan(frame.Width, grid.X, column)
			parts = append(parts, partOf(coarser, image.Rect(x0, y0, x1, y1)))
		}
	}
	return parts
}

// partOf returns the view of a part, given the size of the next larger view.
func partOf(larger image.Point, part image.Rectangle) view {
	v := view{Rectangle: part}
	if part.Dx() < larger.X {
		v.maxWidth = maxInTile * float32(larger.X)
	}
	if part.Dy() < larger.Y {
		v.maxHeight = maxInTile * float32(larger.Y)
	}
	return v
}

// tileSpan returns where the i-th of n tiles begins and ends along a side.
func tileSpan(side, n, i int) (from, to int) {
	length := float64(side) / (float64(n) - float64(n-1)*tileOverlap)
	from = int(float64(i) * length * (1 - tileOverlap))
	return from, min(side, from+int(length)+1)
}

// maxInTile is the share of the next larger view's width or height above which a person found in a tile is dropped:
// that view, of the whole frame or a larger tile, shows the person well, while trunks and arms in a tile look like
// people.
const maxInTile = 0.25

// dropPartial drops the people of whom a tile may show only a part: boxes at an edge of the view that is not an edge of
// the frame, and large ones. The next tile, or a larger view, shows more of them.
func dropPartial(people []Detection, view view, frame *media.Frame) []Detection {
	dx, dy := float32(view.Dx())*0.015, float32(view.Dy())*0.015
	kept := people[:0]
	for _, p := range people {
		if view.maxWidth > 0 && p.Box.Width() > view.maxWidth || view.maxHeight > 0 && p.Box.Height() > view.maxHeight {
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
// centered on black. read gets the outputs, valid until it returns, and the mapping from pixels of the input to pixels
// of the frame: multiply by scale, then add the upper left corner of the region.
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

// clip clips boxes to the frame and drops those without any area left.
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

// maxEnlargement bounds the size of the input relative to the view that it shows. Enlarging a view of 422 pixels to 640
// found people in a crowd who were not found at 448; enlarging it more only takes longer.
const maxEnlargement = 1.5

// inputSize returns a function that returns the size of the model's input for a view: the configured size, or the
// configured or default longer side, with the shorter one following from the view. Both are multiples of the stride. If
// a longer side above the default is configured, maxEnlargement bounds it.
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

// letterbox returns the region of the frame that has the aspect ratio of a model's input, centered on the view and just
// large enough to contain it. It may exceed the frame.
func letterbox(view image.Rectangle, width, height int) image.Rectangle {
	// A pixel of the input shows the same number of pixels of the frame in both directions.
	scale := max(float64(view.Dx())/float64(width), float64(view.Dy())/float64(height))
	regionWidth, regionHeight := int(math.Ceil(float64(width)*scale)), int(math.Ceil(float64(height)*scale))
	left, top := view.Min.X+(view.Dx()-regionWidth)/2, view.Min.Y+(view.Dy()-regionHeight)/2
	return image.Rect(left, top, left+regionWidth, top+regionHeight)
}

func roundUp(n, multiple int) int { return divideUp(n, multiple) * multiple }

func divideUp(n, by int) int { return (n + by - 1) / by }

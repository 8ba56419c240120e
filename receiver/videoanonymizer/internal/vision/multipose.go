// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"fmt"
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// Google's MoveNet MultiPose (2021) finds people with their keypoints. Its first outputs are those of dense, with a
// score above 0 only where a person's center is most probable. Three more, over the same grid of h x w cells a quarter
// of the input's size, are float32 heatmaps [N,17,h,w], the probability that a keypoint is in a cell; regressions
// [N,34,h,w], y and x in cells of each keypoint relative to the cell of the person's center; and offsets [N,34,h,w], y
// and x in cells of each keypoint relative to its own cell.
const (
	multiposeLongSide = 512
	multiposeStride   = 4
	// multiposeSpread is the scale, relative to the grid's shorter side, on which a keypoint's probability falls off with
	// the square of the distance from where its person's center expects it; as in the published graph.
	multiposeSpread = 0.3
	// multiposeMinPosed is the longer side of a person's box, in pixels of the input, below which the grid is too coarse
	// to locate a head. On the annotated frames of `make recall`, at a long side of 512, masks from all of these keypoints
	// cover 272 of 320 heads, masks from movenet-lightning's crops 296, and masks with this bound 297.
	multiposeMinPosed = 96
)

func newMultiPose(session inference.Session, opts DetectorOptions) (Detector, error) {
	out := session.Outputs()
	if !hasFreeInput(session) || len(out) != 5 || !hasShape(out[0], anySize, anySize) ||
		!hasShape(out[1], anySize, anySize, anySize) || !hasShape(out[2], anySize, KeypointCount, anySize, anySize) ||
		!hasShape(out[3], anySize, 2*KeypointCount, anySize, anySize) ||
		!hasShape(out[4], anySize, 2*KeypointCount, anySize, anySize) {
		return nil, shapeError(session, "multipose", "one input uint8 [N,H,W,3] and the outputs float32 scores [N,A], "+
			"boxes [N,A,4], heatmaps [N,17,h,w], regressions [N,34,h,w], offsets [N,34,h,w]")
	}
	d := &dense{session: session, opts: opts, size: inputSize(opts, multiposeLongSide, denseStride)}
	d.pose = func(outputs []inference.Tensor, cell int) (*Pose, error) {
		box := outputs[1].Float32[4*cell:][:4]
		if max(box[2]-box[0], box[3]-box[1]) < multiposeMinPosed {
			return nil, nil
		}
		m, err := readMultiPose(session, outputs)
		if err != nil {
			return nil, err
		}
		return m.pose(cell)
	}
	return d, nil
}

// multiPoseGrids are the outputs from which the keypoints of one image are decoded.
type multiPoseGrids struct {
	width, height                         int
	boxes, heatmaps, regressions, offsets []float32
}

func readMultiPose(session inference.Session, outputs []inference.Tensor) (g multiPoseGrids, err error) {
	shape := outputs[2].Shape
	g.height, g.width = int(shape[2]), int(shape[3])
	g.boxes, g.heatmaps = outputs[1].Float32, outputs[2].Float32
	g.regressions, g.offsets = outputs[3].Float32, outputs[4].Float32
	if n := g.width * g.height; len(outputs[0].Float32) != n || len(g.heatmaps) != KeypointCount*n ||
		len(g.regressions) != 2*KeypointCount*n || len(g.offsets) != 2*KeypointCount*n {
		err = fmt.Errorf("%w: %s returned %d scores, and keypoints for %d x %d cells", inference.ErrModel, session.Name(),
			len(outputs[0].Float32), g.width, g.height)
	}
	return g, err
}

// pose decodes the keypoints of the person whose center is in a cell, in pixels of the input. As in the published
// graph, a keypoint is in the cell of the person's box where it is most probable, weighted toward where the center
// expects it, and its score is that weighted probability.
func (g multiPoseGrids) pose(cell int) (*Pose, error) {
	var pose Pose
	n := g.width * g.height
	box := g.boxes[4*cell:][:4]
	rows := span{first: cellAt(box[1], g.height), end: cellAt(box[3], g.height)}
	columns := span{first: cellAt(box[0], g.width), end: cellAt(box[2], g.width)}
	spread := multiposeSpread * float64(min(g.width, g.height))
	for k := range pose {
		expectedY := float32(cell/g.width) + g.regressions[2*k*n+cell]
		expectedX := float32(cell%g.width) + g.regressions[(2*k+1)*n+cell]
		if !finite(expectedX, expectedY) {
			return nil, ErrNotFinite
		}
		byRow, byColumn := rows.weights(expectedY, spread), columns.weights(expectedX, spread)
		best, score := -1, float32(0)
		for i, weight := range byRow {
			row := g.heatmaps[k*n+(rows.first+i)*g.width:][columns.first:columns.end]
			for j, probability := range row {
				if s := probability * weight * byColumn[j]; s > score {
					best, score = (rows.first+i)*g.width+columns.first+j, s
				}
			}
		}
		y, x := expectedY, expectedX
		if best >= 0 {
			y = float32(best/g.width) + g.offsets[2*k*n+best]
			x = float32(best%g.width) + g.offsets[(2*k+1)*n+best]
		}
		if !finite(x, y, score) {
			return nil, ErrNotFinite
		}
		pose[k] = Keypoint{X: x * multiposeStride, Y: y * multiposeStride, Score: score}
	}
	return &pose, nil
}

// cellAt returns the first cell at or after a position in pixels of the input, within a side of n cells.
func cellAt(pixels float32, n int) int {
	return int(min(max(math.Ceil(float64(pixels/multiposeStride)), 0), float64(n)))
}

// span is a run of rows or columns of a grid.
type span struct{ first, end int }

// weights returns, for each row or column, the factor by which a keypoint is less probable there than where it is
// expected.
func (s span) weights(expected float32, spread float64) []float32 {
	all := make([]float32, max(0, s.end-s.first))
	for i := range all {
		d := float64(s.first+i) - float64(expected)
		all[i] = float32(math.Exp(-d * d / spread))
	}
	return all
}

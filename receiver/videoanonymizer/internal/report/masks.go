// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// ellipseUnit is the unit, in pixels, that ellipses are rounded to. angleUnit is the same for angles, in radians.
	ellipseUnit = 0.01
	angleUnit   = 1e-5
)

// appendMask appends everything needed to paint a head again.
func appendMask(b []byte, h mask.Head) []byte {
	b = appendDetection(b, h.Bounds(), h.Score)
	b = append(append(append(b, `,"origin":"`...), h.Origin...), '"')
	if h.Track > 0 {
		b = strconv.AppendInt(append(b, `,"track":`...), int64(h.Track), 10)
	}
	if h.Sane() {
		b = append(b, `,"ellipse":[`...)
		for i, v := range outward(h) {
			decimals := 2
			if i == 4 {
				decimals = 5
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = appendNumber(b, v, decimals)
		}
		b = append(b, ']')
	}
	if h.Box {
		b = append(b, `,"upright":true`...)
	}
	return b
}

// outward returns center, half axes and angle of an ellipse with rounded numbers that covers the ellipse of the head. A
// displacement d grows it by at most d divided by the shorter half axis, a rotation a by at most a times the ratio of
// the half axes. Readers use 32-bit numbers, which adds a little.
func outward(h mask.Head) [5]float64 {
	rx, ry := float64(h.RX), float64(h.RY)
	long, short := math.Max(rx, ry), math.Min(rx, ry)
	factor := 1 + (0.75*ellipseUnit+angleUnit*long)/short
	up := func(v float64) float64 { return math.Ceil(v*factor/ellipseUnit) * ellipseUnit }
	return [5]float64{float64(h.X), float64(h.Y), up(rx), up(ry), math.Remainder(float64(h.Angle), 2*math.Pi)}
}

// appendBody appends a silhouette: its exact box, and its cells as the lengths of alternating runs of uncovered and
// covered cells, row by row, as variable-length integers in base64.
func appendBody(b []byte, body mask.Body) []byte {
	b = append(b, `"box":[`...)
	for i, v := range [...]float32{body.Box.X0, body.Box.Y0, body.Box.X1, body.Box.Y1} {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, finite(float64(v)), 'g', -1, 32)
	}
	b = append(b, ']')
	if body.Track > 0 {
		b = strconv.AppendInt(append(b, `,"track":`...), int64(body.Track), 10)
	}
	cells := body.Cells()
	if cells == nil {
		return b
	}
	b = strconv.AppendInt(append(b, `,"cells":[`...), int64(cells.Width), 10)
	b = strconv.AppendInt(append(b, ','), int64(cells.Height), 10)
	b = append(b, `],"runs":"`...)
	b = base64.StdEncoding.AppendEncode(b, runs(cells))
	return append(b, '"')
}

func runs(cells *vision.Bitmap) (lengths []byte) {
	last := 0 // end of the previous run
	for y := range cells.Height {
		cells.Runs(y, y+1, func(x0, x1 int) {
			from := y*cells.Width + x0
			lengths = binary.AppendUvarint(lengths, uint64(from-last))
			lengths = binary.AppendUvarint(lengths, uint64(x1-x0))
			last = from + x1 - x0
		})
	}
	return lengths
}

// maxCells limits the cells of a silhouette when a report is read. Segmentation models have 256 x 256.
const maxCells = 1 << 22

// cellsOf is the inverse of runs.
func cellsOf(width, height int, lengths []byte) (*vision.Bitmap, error) {
	if width < 1 || height < 1 || width > maxCells/height {
		return nil, fmt.Errorf("a silhouette of %d x %d cells", width, height)
	}
	cells := vision.NewBitmap(width, height)
	at, covered := uint64(0), false
	for len(lengths) > 0 {
		length, n := binary.Uvarint(lengths)
		if n <= 0 || length > uint64(width*height)-at {
			return nil, errors.New("a silhouette whose cells cannot be read")
		}
		lengths = lengths[n:]
		for end := at + length; at < end; at++ {
			if covered {
				cells.Set(int(at)%width, int(at)/width)
			}
		}
		covered = !covered
	}
	return &cells, nil
}

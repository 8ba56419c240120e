// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import "github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"

// cellSamples is the number of samples along each side of a cell that are averaged into the cell.
const cellSamples = 4

// thumbnail is the luma of a frame, in 8-bit steps, averaged over columns x rows cells.
type thumbnail struct {
	columns, rows int
	cells         []float64
	sums, at      []int // scratch: sums of a row of cells, and byte offsets of its samples
}

func newThumbnail(columns, rows int) *thumbnail {
	return &thumbnail{columns: columns, rows: rows, cells: make([]float64, columns*rows),
		sums: make([]int, columns), at: make([]int, columns*cellSamples)}
}

// take fills the thumbnail from a frame.
func (t *thumbnail) take(frame *media.Frame) {
	plane, size := frame.Planes[0], frame.Format.BytesPerSample()
	if plane.Width <= 0 || plane.Height <= 0 || len(plane.Data) < plane.Width*plane.Height*size {
		clear(t.cells)
		return
	}
	for i := range t.at {
		t.at[i] = i * plane.Width / len(t.at) * size
	}
	scale := 1 / float64(int(cellSamples*cellSamples)<<max(0, frame.Format.Depth-8))
	for cy := range t.rows {
		clear(t.sums)
		for sy := range cellSamples {
			y := (cy*cellSamples + sy) * plane.Height / (t.rows * cellSamples)
			row := plane.Data[y*plane.Width*size:]
			for i, at := range t.at {
				sample := int(row[at])
				if size == 2 {
					sample |= int(row[at+1]) << 8
				}
				t.sums[i/cellSamples] += sample
			}
		}
		for cx, sum := range t.sums {
			t.cells[cy*t.columns+cx] = float64(sum) * scale
		}
	}
}

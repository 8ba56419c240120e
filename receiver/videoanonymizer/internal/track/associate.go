// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// A head can belong to a path if it lies within this many head sizes of where the path expects it, and as many more
	// for each second since the last sighting, or if the boxes overlap by this much.
	gate          = 2.0
	gatePerSecond = 8.0
	gateOverlap   = 0.25
	// A link over more head sizes than this is doubtful.
	doubt = 1.5
	// sizeWeight is the cost of a head e times as large.
	sizeWeight = 0.3
)

type link struct {
	path     *path
	doubtful bool
	// confirms tells that the path's last link, which was doubtful, foretold this one.
	confirms bool
}

// associate gives for each sighting the path that it continues, or nil.
func associate(paths []*path, found []sighting) []*link {
	links := make([]*link, len(found))
	if len(paths) == 0 || len(found) == 0 {
		return links
	}
	expected := make([]expectation, len(paths))
	for i, p := range paths {
		expected[i] = p.expect(found[0])
	}
	costs := make([][]float64, len(found))
	for j, s := range found {
		costs[j] = make([]float64, len(paths))
		for i := range paths {
			costs[j][i] = expected[i].cost(s)
		}
	}
	for j, i := range assign(costs) {
		if i >= 0 {
			e, s := expected[i], found[j]
			links[j] = &link{path: paths[i], doubtful: e.offset(s) > doubt, confirms: offset(e.moved, s) <= doubt}
		}
	}
	return links
}

// follow appends the sighting to the path.
func (l *link) follow(s sighting) {
	if l.confirms {
		l.path.seen[len(l.path.seen)-1].doubtful = false
	}
	s.doubtful = l.doubtful
	l.path.seen = append(l.path.seen, s)
}

// expectation is where a path's person may be at a later time: moved on by constant velocity, or, if the velocity rests
// on a doubtful link, also where it was.
type expectation struct{ moved, still sighting }

func (p *path) expect(at sighting) expectation {
	last := p.last()
	vx, vy := p.velocity(len(p.seen)-1, -1, true)
	dt := (at.time - last.time).Seconds()
	dx, dy := float32(vx*dt), float32(vy*dt)
	moved := last
	moved.head.X, moved.head.Y = last.head.X+dx, last.head.Y+dy
	moved.box = last.box.Moved(dx, dy)
	if !last.doubtful {
		return expectation{moved, moved}
	}
	return expectation{moved, last}
}

// cost of linking a sighting, infinite if the gate is shut.
func (e expectation) cost(s sighting) float64 {
	away, overlap := e.offset(s), max(vision.IoU(e.moved.box, s.box), vision.IoU(e.still.box, s.box))
	open := gate + gatePerSecond*(s.time-e.moved.time).Seconds()
	if !(away <= open) && !(overlap >= gateOverlap) {
		return math.Inf(1)
	}
	return away/open + (1 - overlap) + sizeWeight*math.Abs(math.Log(size(s.head)/size(e.moved.head)))
}

func (e expectation) offset(s sighting) float64 { return min(offset(e.moved, s), offset(e.still, s)) }

// offset is the distance between two heads in head sizes.
func offset(a, b sighting) float64 {
	return math.Hypot(float64(a.head.X-b.head.X), float64(a.head.Y-b.head.Y)) / ((size(a.head) + size(b.head)) / 2)
}

// forbidden stands for an infinite cost: more than all others together, so that as many rows as possible are assigned.
const forbidden = 1e6

// assign gives each row of a cost matrix a column of its own, or -1, so that as many as possible have one and the sum of
// their costs is the least. Infinite costs are never taken.
//
// It is the Hungarian algorithm with potentials, one shortest augmenting path for each row: Jonker and Volgenant, "A
// Shortest Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems", 1987. Its time grows with the square of
// the rows and with the columns.
func assign(costs [][]float64) []int {
	rows := len(costs)
	if rows == 0 {
		return nil
	}
	columns := len(costs[0])
	n := max(rows, columns) // there must be a column for each row, if a forbidden one
	at := func(i, j int) float64 {
		if j >= columns {
			return forbidden
		}
		return min(costs[i][j], forbidden)
	}

	// Rows and columns count from 1; row[j] is the row that column j is given to, 0 for none.
	u, v := make([]float64, rows+1), make([]float64, n+1)
	row, previous := make([]int, n+1), make([]int, n+1)
	least, done := make([]float64, n+1), make([]bool, n+1)
	for i := 1; i <= rows; i++ {
		row[0] = i
		for j := range least {
			least[j], done[j] = math.Inf(1), false
		}
		column := 0
		for row[column] != 0 {
			done[column] = true
			r, delta, next := row[column], math.Inf(1), 0
			for j := 1; j <= n; j++ {
				if done[j] {
					continue
				}
				if reduced := at(r-1, j-1) - u[r] - v[j]; reduced < least[j] {
					least[j], previous[j] = reduced, column
				}
				if least[j] < delta {
					delta, next = least[j], j
				}
			}
			for j := range least {
				if done[j] {
					u[row[j]] += delta
					v[j] -= delta
				} else {
					least[j] -= delta
				}
			}
			column = next
		}
		for column != 0 {
			row[column] = row[previous[column]]
			column = previous[column]
		}
	}

	out := make([]int, rows)
	for i := range out {
		out[i] = -1
	}
	for j := 1; j <= columns; j++ {
		if i := row[j] - 1; i >= 0 && costs[i][j-1] < forbidden {
			out[i] = j - 1
		}
	}
	return out
}

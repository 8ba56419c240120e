// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import "math"

// forbidden replaces an infinite cost. It exceeds the sum of all other costs, so that as many rows as possible are
// assigned.
const forbidden = 1e6

// assign assigns each row of a cost matrix to a column of its own, or to none (-1), such that as many rows as possible
// have one and the sum of their costs is minimal. Infinite costs are never chosen.
//
// It is the Hungarian algorithm with potentials, one shortest augmenting path for each row: Jonker and Volgenant, "A
// Shortest Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems", 1987. Its time is quadratic in
// the number of rows and linear in the number of columns.
func assign(costs [][]float64) []int {
	if len(costs) == 0 {
		return nil
	}
	a := newAssignment(costs)
	for row := 1; row <= len(costs); row++ {
		a.augment(row)
	}
	columns := make([]int, len(costs))
	for i := range columns {
		columns[i] = -1
	}
	for j := range costs[0] {
		if i := a.row[j+1] - 1; i >= 0 && costs[i][j] < forbidden {
			columns[i] = j
		}
	}
	return columns
}

// assignment is the state of the algorithm. Rows and columns count from 1; 0 is none.
type assignment struct {
	costs    [][]float64
	u, v     []float64 // potentials of rows and columns
	row      []int     // the row that each column is assigned to
	previous []int     // the column before each one on the shortest path to it
	distance []float64 // of each column from the path's start
	done     []bool    // the columns whose distance is final
}

func newAssignment(costs [][]float64) *assignment {
	rows := len(costs)
	columns := max(rows, len(costs[0])) // one for each row, if only a forbidden one
	return &assignment{
		costs: costs, u: make([]float64, rows+1), v: make([]float64, columns+1),
		row: make([]int, columns+1), previous: make([]int, columns+1),
		distance: make([]float64, columns+1), done: make([]bool, columns+1),
	}
}

// augment assigns a row along the shortest augmenting path, which may move other rows to other columns.
func (a *assignment) augment(row int) {
	for j := range a.distance {
		a.distance[j], a.done[j] = math.Inf(1), false
	}
	a.row[0] = row // the path starts at a column that does not exist
	column := 0
	for a.row[column] != 0 {
		a.done[column] = true
		next, delta := a.relax(column)
		for j := range a.distance {
			if a.done[j] {
				a.u[a.row[j]] += delta
				a.v[j] -= delta
			} else {
				a.distance[j] -= delta
			}
		}
		column = next
	}
	for column != 0 {
		a.row[column] = a.row[a.previous[column]]
		column = a.previous[column]
	}
}

// relax shortens the distances by paths through a column, and returns the nearest column not done, with its distance.
func (a *assignment) relax(column int) (nearest int, distance float64) {
	row := a.row[column]
	costs, potential := a.costs[row-1], a.u[row]
	distance = math.Inf(1)
	for j := 1; j < len(a.distance); j++ {
		if a.done[j] {
			continue
		}
		cost := forbidden
		if j <= len(costs) {
			cost = min(costs[j-1], forbidden)
		}
		if reduced := cost - potential - a.v[j]; reduced < a.distance[j] {
			a.distance[j], a.previous[j] = reduced, column
		}
		if a.distance[j] < distance {
			nearest, distance = j, a.distance[j]
		}
	}
	return nearest, distance
}

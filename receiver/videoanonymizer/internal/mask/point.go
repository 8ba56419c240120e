// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import "math"

// point is a position in the frame or a vector, in pixels; y points down.
type point struct{ x, y float64 }

func (p point) add(q point) point           { return point{p.x + q.x, p.y + q.y} }
func (p point) sub(q point) point           { return point{p.x - q.x, p.y - q.y} }
func (p point) times(f float64) point       { return point{p.x * f, p.y * f} }
func (p point) length() float64             { return math.Hypot(p.x, p.y) }
func (p point) to(q point, t float64) point { return p.add(q.sub(p).times(t)) }
func (p point) distance(q point) float64    { return q.sub(p).length() }
func (p point) turned() point               { return point{p.y, -p.x} } // by 90 degrees, counterclockwise in the frame
func (p point) dot(q point) float64         { return p.x*q.x + p.y*q.y }
func (p point) unit() point                 { return p.times(1 / p.length()) }

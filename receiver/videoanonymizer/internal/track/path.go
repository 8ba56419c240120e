// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"
	"sort"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// A head whose place is not judged grows by this share of its size, and of its way, in each second away from the
	// nearest sighting, and by no more than its size.
	growthOfSize  = 0.7
	growthOfSpeed = 0.3
	// A head that is held keeps its velocity for as many seconds; then it decays with the time constant.
	steady, damping = 0.3, 0.4
	// velocityOver is the time over which a velocity is measured.
	velocityOver = 400 * time.Millisecond
	// speedNoise is the way in head sizes that two sightings of someone standing still may differ; over the time between
	// them, it is taken off every speed.
	speedNoise = 0.5
	// maxWay is how many head sizes a held head moves at most: beyond that its place is no more than a guess.
	maxWay = 4.0
	// Sightings further apart than this do not smooth each other.
	smoothOver = 300 * time.Millisecond
	// maxMemory bounds the sightings kept of the past.
	maxMemory = 64
	// A sighting grows by at most this factor to reach its neighbours' size.
	maxSmoothing = 1.3
)

// sighting is a head found in a judged frame.
type sighting struct {
	number int // of the frame
	time   time.Duration
	head   mask.Head
	box    vision.Box
	body   *mask.Body // nil where the person was not segmented
	// certain tells that a detector was certain of the person or the face, rather than of a candidate that a pose bears out.
	certain bool
	// doubtful tells that this may not be the same person as the sighting before it.
	doubtful bool
}

// path is one person's sightings within one scene, oldest first; there is at least one.
type path struct {
	scene int
	// sure tells that at least one sighting was sure; a path without masks nothing.
	sure bool
	// certain tells that at least one sighting was more than a candidate; a path without is held for a moment alone.
	certain bool
	seen    []sighting
}

func (p *path) last() sighting { return p.seen[len(p.seen)-1] }

// find gives the first sighting at or after a frame, and whether it is at the frame.
func (p *path) find(number int) (i int, at bool) {
	i = sort.Search(len(p.seen), func(i int) bool { return p.seen[i].number >= number })
	return i, i < len(p.seen) && p.seen[i].number == number
}

// forget drops sightings that no frame after the given one can need: velocity and smoothing look back by a few.
func (p *path) forget(number int) {
	i, _ := p.find(number)
	keep := max(0, min(i, len(p.seen)-1)-2)
	for least := max(0, keep-maxMemory); keep > least && p.seen[min(i, len(p.seen)-1)].time-p.seen[keep].time < velocityOver; {
		keep--
	}
	if keep > maxMemory/4 { // not at every frame
		p.seen = append([]sighting(nil), p.seen[keep:]...)
	}
}

// smooth is sighting i, moved half way to the line through its neighbours, as large as they are, and united with what was
// judged.
func (p *path) smooth(i int) mask.Head {
	s := p.seen[i]
	out := s.head
	rx, ry := out.RX, out.RY
	for j := max(0, i-2); j <= min(len(p.seen)-1, i+2); j++ {
		if o := p.seen[j]; p.linked(i, j) {
			rx, ry = max(rx, o.head.RX), max(ry, o.head.RY)
		}
	}
	out.RX, out.RY = min(rx, maxSmoothing*out.RX), min(ry, maxSmoothing*out.RY)
	if i > 0 && i < len(p.seen)-1 && p.linked(i, i-1) && p.linked(i, i+1) {
		a, b := p.seen[i-1], p.seen[i+1]
		if whole := (b.time - a.time).Seconds(); whole > 0 {
			u := float32((s.time - a.time).Seconds() / whole)
			out.X = (out.X + a.head.X + (b.head.X-a.head.X)*u) / 2
			out.Y = (out.Y + a.head.Y + (b.head.Y-a.head.Y)*u) / 2
		}
	}
	return mask.Union(out, s.head)
}

// linked reports whether two sightings are near in time and no link between them is doubtful.
func (p *path) linked(i, j int) bool {
	i, j = min(i, j), max(i, j)
	for k := i + 1; k <= j; k++ {
		if p.seen[k].doubtful {
			return false
		}
	}
	return p.seen[j].time-p.seen[i].time <= smoothOver
}

// velocity of sighting i in pixels a second, less what noise can make of it, measured towards the past (-1) or the future (+1) up to the first doubtful
// link, or, if that is the first of all and the velocity is only an attempt, across it. It is zero where there is no
// linked sighting.
func (p *path) velocity(i, direction int, attempt bool) (vx, vy float64) {
	far := i
	for j := i + direction; j >= 0 && j < len(p.seen); j += direction {
		doubtful := p.seen[max(j, j-direction)].doubtful
		if doubtful && !(attempt && far == i) || (p.seen[j].time-p.seen[i].time).Abs() > velocityOver {
			break
		}
		if far = j; doubtful {
			break
		}
	}
	dt := (p.seen[far].time - p.seen[i].time).Seconds()
	if dt == 0 {
		return 0, 0
	}
	a, b := p.seen[i].head, p.seen[far].head
	vx, vy = float64(b.X-a.X)/dt, float64(b.Y-a.Y)/dt
	speed := math.Hypot(vx, vy)
	noise := speedNoise * size(a) / math.Abs(dt)
	if speed <= noise {
		return 0, 0
	}
	share := (speed - noise) / speed
	return vx * share, vy * share
}

// size is the mean half axis.
func size(h mask.Head) float64 { return float64(h.RX+h.RY) / 2 }

// between interpolates the frames between sighting i-1 and i. If it is doubtful that the two are one person, either is
// held as well.
func (p *path) between(i int, at time.Duration) []mask.Head {
	a, b := p.seen[i-1], p.seen[i]
	u, whole := 0.5, (b.time - a.time).Seconds()
	if whole > 0 {
		u = (at - a.time).Seconds() / whole
	}
	h := between(p.smooth(i-1), p.smooth(i), u)
	h.Origin = mask.OriginInterpolated
	away := whole * min(u, 1-u)
	speed := 0.0
	if whole > 0 {
		speed = math.Hypot(float64(b.head.X-a.head.X), float64(b.head.Y-a.head.Y)) / whole
	}
	heads := []mask.Head{grown(h, size(h), away, speed)}
	if b.doubtful {
		heads = append(heads, p.hold(i-1, -1, at), p.hold(i, +1, at))
	}
	return heads
}

func (p *path) holdForward(at time.Duration) mask.Head { return p.hold(len(p.seen)-1, -1, at) }

func (p *path) holdBackward(at time.Duration) mask.Head { return p.hold(0, +1, at) }

// hold carries sighting i to another time, moved by the velocity measured in the direction; it covers where the head was
// and where it may have gone.
func (p *path) hold(i, direction int, at time.Duration) mask.Head {
	h := p.smooth(i)
	h.Origin = mask.OriginHeld
	dx, dy, speed := p.way(i, direction, at)
	moved := h
	moved.X += dx
	moved.Y += dy
	return grown(mask.Union(h, moved), size(h), (at - p.seen[i].time).Abs().Seconds(), speed)
}

// way is how far the person of sighting i may have moved until another time, by the velocity measured in the direction, and how
// fast, in pixels and pixels a second.
func (p *path) way(i, direction int, at time.Duration) (dx, dy float32, speed float64) {
	away := (at - p.seen[i].time).Seconds()
	vx, vy := p.velocity(i, direction, false)
	speed = math.Hypot(vx, vy)
	way := math.Min(math.Abs(away), steady) + damping*(1-math.Exp(-math.Max(0, math.Abs(away)-steady)/damping))
	way = math.Copysign(math.Min(way, maxWay*size(p.smooth(i))/math.Max(speed, 1)), away)
	return float32(way * vx), float32(way * vy), speed
}

// bodies are what the path covers of its person beside the head at a time: the body that was sighted then, or those of the sightings
// around, moved along and, where they are held or may be of two people, in their own place too.
func (p *path) bodies(i int, sighted bool, at time.Duration) (bodies []mask.Body) {
	add := func(i int, dx, dy float32) {
		if b := p.seen[i].body; b != nil {
			bodies = append(bodies, b.Moved(dx, dy))
		}
	}
	switch {
	case sighted:
		if b := p.seen[i].body; b != nil {
			bodies = append(bodies, *b)
		}
	case i == 0:
		dx, dy, _ := p.way(0, +1, at)
		add(0, 0, 0)
		add(0, dx, dy)
	case i == len(p.seen):
		dx, dy, _ := p.way(i-1, -1, at)
		add(i-1, 0, 0)
		add(i-1, dx, dy)
	default:
		a, b := p.seen[i-1], p.seen[i]
		u, whole := float32(0.5), (b.time - a.time).Seconds()
		if whole > 0 {
			u = float32((at - a.time).Seconds() / whole)
		}
		dx, dy := b.head.X-a.head.X, b.head.Y-a.head.Y
		add(i-1, u*dx, u*dy)
		add(i, (u-1)*dx, (u-1)*dy)
		if b.doubtful {
			add(i-1, 0, 0)
			add(i, 0, 0)
		}
	}
	return bodies
}

// grown enlarges a head by what one of a size may have strayed.
func grown(h mask.Head, size, seconds, speed float64) mask.Head {
	return h.Grow(float32(min(size, seconds*(growthOfSize*size+growthOfSpeed*speed))))
}

// between is the head at the share u of the way from a to b.
func between(a, b mask.Head, u float64) mask.Head {
	if a.Box != b.Box {
		a, b = boxed(a), boxed(b)
	}
	mix := func(x, y float32) float32 { return x + (y-x)*float32(u) }
	// An ellipse turned by half a turn is the same.
	turn := math.Remainder(float64(b.Angle-a.Angle), math.Pi)
	return mask.Head{
		X: mix(a.X, b.X), Y: mix(a.Y, b.Y), RX: mix(a.RX, b.RX), RY: mix(a.RY, b.RY),
		Angle: a.Angle + float32(turn*u), Box: a.Box,
		Score: min(a.Score, b.Score), Origin: a.Origin,
	}
}

// boxed is the upright box around the head.
func boxed(h mask.Head) mask.Head {
	b := h.Bounds()
	h.RX, h.RY, h.Angle, h.Box = b.Width()/2, b.Height()/2, 0, true
	return h
}

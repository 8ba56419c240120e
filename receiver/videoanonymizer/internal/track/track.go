// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"
	"sort"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

const (
	// A head whose position is estimated grows by these shares of its size and of its speed for each second between it and
	// the nearest sighting, up to maxGrowth of its size.
	growthOfSize  = 0.7
	growthOfSpeed = 0.3
	maxGrowth     = 0.5
	// A held head keeps its velocity for steady seconds; then the velocity decays with the time constant damping.
	steady, damping = 0.3, 0.4
	// velocityOver is the longest time over which a velocity is measured.
	velocityOver = 400 * time.Millisecond
	// speedNoise is how far apart, in head sizes, two sightings of someone standing still may be. Divided by the time
	// between the sightings, it is subtracted from every speed.
	speedNoise = 0.5
	// maxDisplacement is how far a held head moves at most, in head sizes: beyond that, its position is a guess.
	maxDisplacement = 4.0
	// Sightings further apart than this do not smooth each other.
	smoothOver = 300 * time.Millisecond
	// Sightings are kept for as long as judging a pillar, or measuring a velocity between sightings that others settle,
	// needs them, whichever is longer. maxMemory bounds their number.
	memory    = max(pillarOver, velocityOver+settleOver)
	maxMemory = 64
	// A head that keypoints show grows by poseError of its size, but by at most maxPoseError pixels. Of the 2,508 heads
	// annotated in test/recall for tuning, that covers 20 more, most of them less than 80 pixels high.
	poseError    = 0.1
	maxPoseError = 4.0
	// A sighting grows by at most this factor to match the size of its neighbors.
	maxSmoothing = 1.3
)

// track is one person within one scene.
type track struct {
	scene  int
	number int // from 1 on
	// began is the time of the first sighting. enters means that it is more than settlesIn after the scene began.
	began  time.Duration
	enters bool
	// confirmed means that at least one sighting was confirmed; a track that is not confirmed masks nothing.
	confirmed bool
	// certain is the moment of the last certain sighting; without a recent one, a track is held only briefly.
	certain moment
	// sure is the moment of the last sure head; without a recent one, a track is held for a shorter time.
	sure moment
	// seen holds the sightings, at least one, oldest first.
	seen []sighting
}

func (t *track) last() sighting { return t.seen[len(t.seen)-1] }

// mark labels heads and bodies with the number of the track.
func (t *track) mark(heads []mask.Head, bodies []mask.Body) {
	for i := range heads {
		heads[i].Track = t.number
	}
	for i := range bodies {
		bodies[i].Track = t.number
	}
}

// find returns the index of the first sighting at or after a frame, and whether it is at the frame.
func (t *track) find(number int) (i int, at bool) {
	i = sort.Search(len(t.seen), func(i int) bool { return t.seen[i].number >= number })
	return i, i < len(t.seen) && t.seen[i].number == number
}

// forget drops the sightings not needed for the given frame and later ones: velocity and smoothing look back at a few.
func (t *track) forget(number int) {
	i, _ := t.find(number)
	keep := max(0, min(i, len(t.seen)-1)-2)
	now := t.seen[min(i, len(t.seen)-1)].time
	for first := max(0, keep-maxMemory); keep > first && now-t.seen[keep].time <= memory; {
		keep--
	}
	if keep > maxMemory/4 { // do not copy for every frame
		t.seen = append([]sighting(nil), t.seen[keep:]...)
	}
}

// smooth returns the head of sighting i, moved halfway to the line through its neighbors, grown to their size, and
// united with the original. Guesses among the neighbors count only if this head is not sure either.
func (t *track) smooth(i int) mask.Head {
	s := t.seen[i]
	found, sure := t.settled(i)
	guesses := !s.sure() && !(t.guess(i) && sure)
	out := found
	rx, ry := out.RX, out.RY
	for j := max(0, i-2); j <= min(len(t.seen)-1, i+2); j++ {
		if o := t.seen[j]; t.linked(i, j) && (guesses || !t.guess(j)) {
			rx, ry = max(rx, o.head.RX), max(ry, o.head.RY)
		}
	}
	out.RX, out.RY = min(rx, maxSmoothing*out.RX), min(ry, maxSmoothing*out.RY)
	if i > 0 && i < len(t.seen)-1 && t.linked(i, i-1) && t.linked(i, i+1) &&
		(guesses || !t.guess(i-1) && !t.guess(i+1)) {
		a, b := t.seen[i-1], t.seen[i+1]
		if whole := (b.time - a.time).Seconds(); whole > 0 {
			u := float32((s.time - a.time).Seconds() / whole)
			out.X = (out.X + a.head.X + (b.head.X-a.head.X)*u) / 2
			out.Y = (out.Y + a.head.Y + (b.head.Y-a.head.Y)*u) / 2
		}
	}
	out = mask.Union(out, found)
	if out.Origin == mask.OriginPose { // keypoints leave more of small heads uncovered
		out = out.Grow(min(float32(poseError*size(out)), maxPoseError))
	}
	return out
}

// linked reports whether two sightings are close in time, with no doubtful link between them.
func (t *track) linked(i, j int) bool {
	i, j = min(i, j), max(i, j)
	for k := i + 1; k <= j; k++ {
		if t.seen[k].doubtful {
			return false
		}
	}
	return t.seen[j].time-t.seen[i].time <= smoothOver
}

// velocity returns the velocity of sighting i in pixels per second, less the part that may be noise, measured toward
// the past (-1) or the future (+1) up to the first doubtful link. If attempt is set and the very first link is
// doubtful, it measures across that link. Without a linked sighting, the velocity is zero.
func (t *track) velocity(i, direction int, attempt bool) (vx, vy float64) {
	far := i
	for j := i + direction; j >= 0 && j < len(t.seen); j += direction {
		doubtful := t.seen[max(j, j-direction)].doubtful
		if doubtful && !(attempt && far == i) || (t.seen[j].time-t.seen[i].time).Abs() > velocityOver {
			break
		}
		if far = j; doubtful {
			break
		}
	}
	dt := (t.seen[far].time - t.seen[i].time).Seconds()
	if dt == 0 {
		return 0, 0
	}
	dx, dy := t.way(i, far)
	vx, vy = dx/dt, dy/dt
	speed := math.Hypot(vx, vy)
	head, _ := t.settled(i)
	noise := speedNoise * size(head) / math.Abs(dt)
	if speed <= noise {
		return 0, 0
	}
	share := (speed - noise) / speed
	return vx * share, vy * share
}

// way returns how far, in pixels, the person moved from sighting i to j, measured at the head or, if one of the two is
// a guess, at the middle of the box's top edge.
func (t *track) way(i, j int) (dx, dy float64) {
	a, sureA := t.settled(i)
	b, sureB := t.settled(j)
	if sureA && sureB {
		return float64(b.X - a.X), float64(b.Y - a.Y)
	}
	p, q := t.seen[i].box, t.seen[j].box
	return float64(q.X0+q.X1-p.X0-p.X1) / 2, float64(q.Y0 - p.Y0)
}

// size returns the head size that other lengths are relative to: the mean half axis in pixels.
func size(h mask.Head) float64 { return float64(h.RX+h.RY) / 2 }

// between interpolates the head between sightings i-1 and i. If the link between them is doubtful, it also holds both.
func (t *track) between(i int, at time.Duration) []mask.Head {
	a, b := t.seen[i-1], t.seen[i]
	u, whole := 0.5, (b.time - a.time).Seconds()
	if whole > 0 {
		u = (at - a.time).Seconds() / whole
	}
	h := between(t.smooth(i-1), t.smooth(i), u)
	h.Origin = mask.OriginInterpolated
	away := whole * min(u, 1-u)
	speed := 0.0
	if whole > 0 {
		dx, dy := t.way(i-1, i)
		speed = math.Hypot(dx, dy) / whole
	}
	heads := []mask.Head{grown(h, size(h), away, speed)}
	if b.doubtful {
		heads = append(heads, t.hold(i-1, -1, at), t.hold(i, +1, at))
	}
	return heads
}

func (t *track) holdForward(at time.Duration) mask.Head { return t.hold(len(t.seen)-1, -1, at) }

func (t *track) holdBackward(at time.Duration) mask.Head { return t.hold(0, +1, at) }

// hold carries the head of sighting i to another time at the velocity measured in the given direction. The result
// covers where the head may have moved and, within steady seconds of the sighting, where it was.
func (t *track) hold(i, direction int, at time.Duration) mask.Head {
	h := t.smooth(i)
	h.Origin = mask.OriginHeld
	dx, dy, speed := t.displacement(i, direction, at)
	moved := h
	moved.X += dx
	moved.Y += dy
	away := (at - t.seen[i].time).Abs().Seconds()
	if away <= steady {
		moved = mask.Union(h, moved)
	}
	return grown(moved, size(h), away, speed)
}

// displacement returns how far, in pixels, the person of sighting i may have moved by another time, and the speed in
// pixels per second, at the velocity measured in the given direction.
func (t *track) displacement(i, direction int, at time.Duration) (dx, dy float32, speed float64) {
	away := (at - t.seen[i].time).Seconds()
	vx, vy := t.velocity(i, direction, false)
	speed = math.Hypot(vx, vy)
	// moving is the time in which the undamped velocity would lead to the same displacement.
	moving := math.Min(math.Abs(away), steady) + damping*(1-math.Exp(-math.Max(0, math.Abs(away)-steady)/damping))
	moving = math.Copysign(math.Min(moving, maxDisplacement*size(t.smooth(i))/math.Max(speed, 1)), away)
	return float32(moving * vx), float32(moving * vy), speed
}

// bodies returns what the track covers of its person in a frame besides the head: the body sighted in the frame, or
// else those of the nearest sightings, moved along, and also left in place if they are held or may belong to two
// people.
func (t *track) bodies(i int, sighted bool, f *frame) (bodies []mask.Body) {
	add := func(i int, dx, dy float32) {
		s := t.seen[i]
		if s.body != nil {
			bodies = append(bodies, s.body.Moved(s.moved.X+dx+f.offset.X, s.moved.Y+dy+f.offset.Y))
		}
	}
	switch {
	case sighted:
		if b := t.seen[i].body; b != nil {
			bodies = append(bodies, *b)
		}
	case i == 0:
		dx, dy, _ := t.displacement(0, +1, f.Time)
		add(0, 0, 0)
		add(0, dx, dy)
	case i == len(t.seen):
		dx, dy, _ := t.displacement(i-1, -1, f.Time)
		add(i-1, 0, 0)
		add(i-1, dx, dy)
	default:
		a, b := t.seen[i-1], t.seen[i]
		u, whole := float32(0.5), (b.time - a.time).Seconds()
		if whole > 0 {
			u = float32((f.Time - a.time).Seconds() / whole)
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

// grown enlarges a head by how far one of the given size and speed may have strayed in the seconds since its sighting.
func grown(h mask.Head, size, seconds, speed float64) mask.Head {
	return h.Grow(float32(min(maxGrowth*size, seconds*(growthOfSize*size+growthOfSpeed*speed))))
}

// between returns the head at the fraction u, 0..1, of the way from a to b.
func between(a, b mask.Head, u float64) mask.Head {
	if a.Box != b.Box {
		a, b = boxed(a), boxed(b)
	}
	mix := func(x, y float32) float32 { return x + (y-x)*float32(u) }
	// Half a turn leaves an ellipse unchanged.
	turn := math.Remainder(float64(b.Angle-a.Angle), math.Pi)
	return mask.Head{
		X: mix(a.X, b.X), Y: mix(a.Y, b.Y), RX: mix(a.RX, b.RX), RY: mix(a.RY, b.RY),
		Angle: a.Angle + float32(turn*u), Box: a.Box,
		Score: min(a.Score, b.Score), Origin: a.Origin,
	}
}

// boxed returns the upright box around the head.
func boxed(h mask.Head) mask.Head {
	b := h.Bounds()
	h.RX, h.RY, h.Angle, h.Box = b.Width()/2, b.Height()/2, 0, true
	return h
}

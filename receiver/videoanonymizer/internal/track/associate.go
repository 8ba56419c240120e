// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// A head can belong to a track if it lies within gate head sizes of the predicted position, plus gatePerSecond for
	// each second since the last sighting, or if the boxes have an intersection over union of at least gateOverlap.
	gate          = 2.0
	gatePerSecond = 8.0
	gateOverlap   = 0.25
	// A link is doubtful if the head is more than this many head sizes away from where the person would be without the
	// camera following them: someone else may have come to the same place in the picture.
	doubt = 1.5
	// sizeWeight is the cost of a change in size by a factor of e.
	sizeWeight = 0.3
)

// link assigns a sighting to the track that it continues.
type link struct {
	track    *track
	doubtful bool
	// confirms means that the velocity across the track's last link predicted this sighting, so that a doubtful last link
	// is no longer doubtful.
	confirms bool
}

// associate returns, for each sighting in a frame, a link to the track that it continues, or nil.
func associate(tracks []*track, found []sighting) []*link {
	links := make([]*link, len(found))
	if len(tracks) == 0 || len(found) == 0 {
		return links
	}
	predicted := make([]prediction, len(tracks))
	for i, t := range tracks {
		predicted[i] = t.predict(found[0])
	}
	costs := make([][]float64, len(found))
	for j, s := range found {
		costs[j] = make([]float64, len(tracks))
		for i := range tracks {
			costs[j][i] = predicted[i].cost(s)
		}
	}
	for j, i := range assign(costs) {
		if i >= 0 {
			p, s := predicted[i], found[j]
			expected := offset(p.moved, s) <= doubt
			links[j] = &link{track: tracks[i], doubtful: !expected && offset(p.still, s) > doubt, confirms: expected}
		}
	}
	return links
}

// follow appends the sighting to the track.
func (l *link) follow(s sighting) {
	if l.confirms {
		l.track.seen[len(l.track.seen)-1].doubtful = false
	}
	s.doubtful = l.doubtful
	l.track.seen = append(l.track.seen, s)
}

// prediction holds where a track's person may be at a later time: moved at constant velocity; still where they were, if
// the velocity relies on a doubtful link; and followed by the camera, at the same place in the picture, if the camera
// has moved. A case that does not apply equals moved.
type prediction struct{ moved, still, followed sighting }

// predict extends the track to the time of a sighting.
func (t *track) predict(at sighting) prediction {
	last := t.last()
	vx, vy := t.velocity(len(t.seen)-1, -1, true)
	dt := (at.time - last.time).Seconds()
	dx, dy := float32(vx*dt), float32(vy*dt)
	last.head, _ = t.settled(len(t.seen) - 1)
	moved := last
	moved.head.X, moved.head.Y = last.head.X+dx, last.head.Y+dy
	moved.box = last.box.Moved(dx, dy)
	p := prediction{moved: moved, still: moved, followed: moved}
	if last.doubtful {
		p.still = last
	}
	if last.moved != (Vector{}) {
		p.followed = last
		p.followed.move(Vector{-last.moved.X, -last.moved.Y})
	}
	return p
}

// cost returns the cost of linking the track to a sighting, infinite outside the gate.
func (p prediction) cost(s sighting) float64 {
	away := p.offset(s)
	overlap := max(vision.IoU(p.moved.box, s.box), vision.IoU(p.still.box, s.box), vision.IoU(p.followed.box, s.box))
	open := gate + gatePerSecond*(s.time-p.moved.time).Seconds()
	guess := p.moved.guess || s.guess
	if (guess || !(away <= open)) && !(overlap >= gateOverlap) {
		return math.Inf(1)
	}
	return away/open + (1 - overlap) + sizeWeight*math.Abs(math.Log(size(s.head)/size(p.moved.head)))
}

// offset returns the distance of a sighting from the nearest prediction, in head sizes.
func (p prediction) offset(s sighting) float64 {
	return min(offset(p.moved, s), offset(p.still, s), offset(p.followed, s))
}

// offset returns the distance between two heads, in head sizes.
func offset(a, b sighting) float64 {
	return math.Hypot(float64(a.head.X-b.head.X), float64(a.head.Y-b.head.Y)) / ((size(a.head) + size(b.head)) / 2)
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// figure is a person whose head is being located: which keypoints are trusted, and the possible scales.
type figure struct {
	person        vision.Person
	width, height float64 // of the frame, in pixels
	box           struct{ x0, y0, x1, y1, w, h float64 }
	valid         bool // false if the box makes no sense; nothing below is then set
	trusted       [vision.KeypointCount]bool
	at            [vision.KeypointCount]point
	// noise is the expected error of a keypoint in pixels of the frame: MoveNet sees a square around the person at 192
	// pixels, and is off by about two of them.
	noise float64
	// minScale and maxScale bound the scale, in pixels per centimeter.
	minScale, maxScale float64
}

func newFigure(p vision.Person, frameWidth, frameHeight int, minScore float32) figure {
	f := figure{person: p, width: float64(frameWidth), height: float64(frameHeight)}
	b := &f.box
	b.x0, b.y0, b.x1, b.y1 = float64(p.Box.X0), float64(p.Box.Y0), float64(p.Box.X1), float64(p.Box.Y1)
	b.w, b.h = b.x1-b.x0, b.y1-b.y0
	const huge = 1e6
	f.valid = b.w > 0 && b.h > 0 && b.x0 > -huge && b.y0 > -huge && b.x1 < huge && b.y1 < huge
	if !f.valid {
		return f
	}
	side := math.Max(b.w, b.h)
	f.noise = math.Max(1, 0.012*side)
	f.minScale = side / tallest
	f.maxScale = f.scaleLimit()
	if p.Pose == nil {
		return f
	}
	for i, k := range p.Pose {
		f.at[i] = point{float64(k.X), float64(k.Y)}
		f.trusted[i] = k.Score >= minScore && k.Score <= 1.01 &&
			f.at[i].x > b.x0-0.15*b.w && f.at[i].x < b.x1+0.15*b.w &&
			f.at[i].y > b.y0-0.15*b.h && f.at[i].y < b.y1+0.05*b.h
	}
	return f
}

// scaleLimit returns the largest scale that the box allows; a side that the frame's edge cuts off does not count.
func (f *figure) scaleLimit() float64 {
	b, edge := f.box, f.edge()
	limit := math.Max(b.w, b.h) / 20
	if b.x0 > edge && b.x1 < f.width-edge {
		limit = math.Min(limit, maxScaleOfWidth*b.w)
	}
	if b.y0 > edge && b.y1 < f.height-edge {
		limit = math.Min(limit, maxScaleOfHeight*b.h)
		if b.h > figureAspect*b.w {
			limit = math.Min(limit, maxScaleOfFigure*b.h)
		}
	}
	return math.Max(limit, f.minScale)
}

// edge returns the distance from the frame's edge, in pixels, within which a box counts as cut off by it.
func (f *figure) edge() float64 { return 0.005 * math.Max(f.width, f.height) }

// bodyPairs are the distances between keypoints of the trunk, in centimeters.
var bodyPairs = [...]struct {
	a, b        int
	centimeters float64
}{
	{vision.LeftShoulder, vision.RightShoulder, shoulderToShoulder},
	{vision.LeftShoulder, vision.LeftHip, shoulderToHip},
	{vision.RightShoulder, vision.RightHip, shoulderToHip},
}

// bodyScale returns the scale that the trunk implies, and whether enough of the trunk shows to bound the head's size.
func (f *figure) bodyScale() (scale float64, whole bool) {
	pairs := 0
	for _, p := range bodyPairs {
		if f.trusted[p.a] && f.trusted[p.b] {
			pairs++
			scale = math.Max(scale, (f.at[p.a].distance(f.at[p.b])-f.noise)/p.centimeters)
		}
	}
	return math.Max(scale, f.minScale), pairs == len(bodyPairs)
}

func (f *figure) clampScale(scale float64) float64 {
	return math.Max(f.minScale, math.Min(scale, f.maxScale))
}

// mean returns the mean position of the given keypoints that are trusted.
func (f *figure) mean(keypoints ...int) (middle point, ok bool) {
	n := 0.0
	for _, i := range keypoints {
		if f.trusted[i] {
			middle, n = middle.add(f.at[i]), n+1
		}
	}
	return middle.times(1 / math.Max(n, 1)), n > 0
}

// meanScore returns the mean confidence 0..1 of the keypoints.
func (f *figure) meanScore(keypoints ...int) (score float64) {
	for _, i := range keypoints {
		score += float64(f.person.Pose[i].Score) / float64(len(keypoints))
	}
	return math.Min(score, 1)
}

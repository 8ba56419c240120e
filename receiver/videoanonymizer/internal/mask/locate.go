// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// OnUncertain says what to mask of a person if no keypoint shows where the head is.
type OnUncertain string

const (
	// HeadRegion masks the part of the person's box where a head can be.
	HeadRegion OnUncertain = "head_region"
	// WholePerson masks the person's box.
	WholePerson OnUncertain = "whole_person"
	// WholeFrame masks the frame.
	WholeFrame OnUncertain = "whole_frame"
)

// OnUncertainValues are all values of OnUncertain.
var OnUncertainValues = []OnUncertain{HeadRegion, WholePerson, WholeFrame}

// GeometryOptions tune how a head is located; the zero value gives the defaults.
type GeometryOptions struct {
	// MinScore is the confidence 0..1 below which a keypoint is not trusted; 0 means 0.2.
	MinScore float32
	// OnUncertain is what to mask where only the person's box is known; empty means HeadRegion.
	OnUncertain OnUncertain
	// NoseDisc masks a disc instead of the head, centered on the nose and reaching to the farther shoulder, regardless of
	// their scores and positions. This program's predecessor masked this way.
	NoseDisc bool
}

// The dimensions of a body, and of the mask for its head, in centimeters. Lengths are means of adults (NASA-STD-3000,
// volume 1, section 3: anthropometry), measured between the positions of COCO's keypoints. Foreshortening can only
// shorten the length between two keypoints, so the largest scale that any pair implies is the right one.
const (
	eyeToEye     = 6.3
	earToEar     = 14.5
	eyeToNearEar = 9
	noseToEar    = 13
	noseToEye    = 6
	// If only one ear is visible, the head is turned far enough for these two lengths to appear no shorter than this.
	eyeToEarInProfile  = 8
	noseToEarInProfile = 11
	shoulderToShoulder = 37
	shoulderToHip      = 50
	// tallest is the height of a person who stands or lies with slightly raised arms.
	tallest = 190

	// The mask reaches 13 cm to each side of the middle between the ears, 19 cm above and 14 cm below it, to include hair,
	// hat and chin, or the nape, and the error of the keypoints.
	maskRX = 13
	maskRY = 16.5
	// earsToCenter is how far the mask's center lies above the ears.
	earsToCenter = 2.5
	// shouldersToCenter is how far the center lies above the shoulders.
	shouldersToCenter = 22
	// faceMargin is the radius around every facial keypoint that is always covered.
	faceMargin = 5
)

// The box bounds the scale, in pixels per centimeter, as a share of its sides: a head is not much wider or higher than
// the visible part of its person, and less than a third as high as someone seen from head to foot, whose box is
// figureAspect times as high as wide.
const (
	maxScaleOfWidth  = 0.06
	maxScaleOfHeight = 0.048
	maxScaleOfFigure = 1.0 / 95
	figureAspect     = 3.0
)

// LocateHeads returns one head for each person in a frame, in order: an ellipse from hair or hat to chin, or to the
// nape, with a margin; where estimates disagree it encloses all of them. It relies on the facial keypoints, otherwise
// on the shoulders, otherwise on the box. It does not trust keypoints with a low score, those outside the person's box,
// and those that fit another person better. For a person whose box makes no sense it returns a head as large as the
// frame, with OriginFrame. The frame's size is in pixels.
func LocateHeads(people []vision.Person, frameWidth, frameHeight int, opts GeometryOptions) []Head {
	if opts.MinScore == 0 {
		opts.MinScore = 0.2
	}
	figures := make([]figure, len(people))
	for i, p := range people {
		figures[i] = newFigure(p, frameWidth, frameHeight, opts.MinScore)
	}
	resolveSharedKeypoints(figures)
	heads := make([]Head, len(people))
	for i := range figures {
		if p := people[i]; opts.NoseDisc && p.Pose != nil {
			heads[i] = noseDisc(p)
			continue
		}
		heads[i] = figures[i].head(opts.OnUncertain)
	}
	return heads
}

// head combines the estimates that the person's keypoints allow.
func (f *figure) head(onUncertain OnUncertain) Head {
	if !f.valid {
		return FrameHead(int(f.width), int(f.height))
	}
	face, score, sure := f.fromFace()
	body, hasBody := f.fromShoulders()
	var head Head
	origin := OriginPose
	switch {
	case sure && (!hasBody || f.agree(face, body)):
		head = face
	case face.RX > 0 && hasBody:
		head = Union(face, body)
	case face.RX > 0:
		head, origin = Union(face, f.fromBox()), OriginBox
	case hasBody:
		head, score = body, f.meanScore(vision.LeftShoulder, vision.RightShoulder)
	default:
		return f.uncertain(onUncertain)
	}
	head.Score, head.Origin = float32(score), origin
	return head.Grow(f.margin())
}

// agree reports whether a face lies where a head on these shoulders can be.
func (f *figure) agree(face, body Head) bool {
	distance := math.Hypot(float64(face.X-body.X), float64(face.Y-body.Y))
	return distance < 2*math.Max(float64(face.RY), float64(body.RY))
}

// uncertain returns what to mask if only the box is known.
func (f *figure) uncertain(what OnUncertain) Head {
	var head Head
	switch what {
	case WholeFrame:
		return FrameHead(int(f.width), int(f.height))
	case WholePerson:
		head = f.wholeBox()
		head.Box = true
	default:
		head = f.fromBox()
	}
	head.Score, head.Origin = f.person.Score, OriginBox
	return head.Grow(f.margin())
}

// margin returns the error, in pixels, of the detector's coarse grid, the tracker and the chroma planes, which does not
// depend on the head's size.
func (f *figure) margin() float32 {
	return float32(1 + math.Max(f.width, f.height)/960)
}

// facePairs are the distances between facial keypoints, in centimeters; the first two pairs lie across the head.
var facePairs = [...]struct {
	a, b                   int
	centimeters, inProfile float64
}{
	{vision.LeftEye, vision.RightEye, eyeToEye, eyeToEye},
	{vision.LeftEar, vision.RightEar, earToEar, earToEar},
	{vision.LeftEye, vision.LeftEar, eyeToNearEar, eyeToEarInProfile},
	{vision.RightEye, vision.RightEar, eyeToNearEar, eyeToEarInProfile},
	{vision.LeftEye, vision.RightEar, earToEar, noseToEarInProfile},
	{vision.RightEye, vision.LeftEar, earToEar, noseToEarInProfile},
	{vision.Nose, vision.LeftEar, noseToEar, noseToEarInProfile},
	{vision.Nose, vision.RightEar, noseToEar, noseToEarInProfile},
	{vision.Nose, vision.LeftEye, noseToEye, noseToEye},
	{vision.Nose, vision.RightEye, noseToEye, noseToEye},
}

// fromFace estimates the head from the nose, eyes and ears. It is sure if enough of them are trusted and their
// distances are those of one head. It returns a head without size if none is trusted.
func (f *figure) fromFace() (head Head, score float64, sure bool) {
	var seen []int
	for i := vision.Nose; i <= vision.RightEar; i++ {
		if f.trusted[i] {
			seen = append(seen, i)
		}
	}
	if len(seen) == 0 {
		return Head{}, 0, false
	}
	score = f.meanScore(seen...)
	scale, whole := f.bodyScale()
	limit := f.maxScale
	if whole {
		limit = math.Min(limit, math.Max(2*scale, f.minScale))
	}
	sure = len(seen) >= 3 && score >= 0.3 || f.trusted[vision.LeftEar] && f.trusted[vision.RightEar] && score >= 0.3
	profile := f.trusted[vision.LeftEar] != f.trusted[vision.RightEar]
	for _, p := range facePairs {
		if f.trusted[p.a] && f.trusted[p.b] {
			length := p.centimeters
			if profile {
				length = p.inProfile
			}
			implied := (f.at[p.a].distance(f.at[p.b]) - f.noise) / length
			sure = sure && implied < 1.5*limit
			scale = math.Max(scale, math.Min(implied, limit))
		}
	}
	scale = f.clampScale(scale)

	up := f.upward(scale)
	near, far := f.faceCenters(up, scale)
	head = ellipse(near.add(up.times(earsToCenter*scale)), up, maskRX*scale, maskRY*scale)
	head = Union(head, ellipse(far.add(up.times(earsToCenter*scale)), up, maskRX*scale, maskRY*scale))
	for _, i := range seen {
		head = Union(head, ellipse(f.at[i], up, faceMargin*scale, faceMargin*scale))
	}
	return head, score, sure
}

// faceCenters returns the two ends of the range in which the middle between the ears can be.
func (f *figure) faceCenters(up point, scale float64) (near, far point) {
	left, right := f.trusted[vision.LeftEar], f.trusted[vision.RightEar]
	front, hasFront := f.mean(vision.Nose, vision.LeftEye, vision.RightEye)
	ears, hasEars := f.mean(vision.LeftEar, vision.RightEar)
	switch {
	case left && right:
		return ears, ears
	case hasEars && hasFront:
		// From a profile, in which the visible ear is in the middle, to a face turned halfway.
		return ears.to(front, 0.1), ears.to(front, 0.65)
	case hasEars:
		return ears, ears
	case f.trusted[vision.LeftEye] && f.trusted[vision.RightEye]:
		return front, front
	default:
		// One eye or the nose: the head may lie to either side.
		side := up.turned().times(4 * scale)
		return front.add(side), front.sub(side)
	}
}

// upward returns the unit vector from chin to crown: perpendicular to the line of the eyes or the ears if that is long
// enough, otherwise from the shoulders to the face, otherwise that of the trunk.
func (f *figure) upward(scale float64) point {
	trunk := f.trunkUp()
	face, hasFace := f.mean(vision.Nose, vision.LeftEye, vision.RightEye, vision.LeftEar, vision.RightEar)
	shoulders, hasShoulders := f.mean(vision.LeftShoulder, vision.RightShoulder)
	if hasFace && hasShoulders && face.distance(shoulders) > 8*scale {
		trunk = face.sub(shoulders).unit()
	}
	for _, p := range facePairs[:2] {
		if !f.trusted[p.a] || !f.trusted[p.b] {
			continue
		}
		across := f.at[p.b].sub(f.at[p.a])
		if across.length() < 0.6*p.centimeters*scale {
			continue
		}
		up := across.turned().unit()
		if up.dot(trunk) < 0 {
			up = up.times(-1)
		}
		return up
	}
	return trunk
}

// trunkUp returns the unit vector from hips to shoulders, or upward in the frame if those are not known.
func (f *figure) trunkUp() point {
	shoulders, hasShoulders := f.mean(vision.LeftShoulder, vision.RightShoulder)
	hips, hasHips := f.mean(vision.LeftHip, vision.RightHip)
	if hasShoulders && hasHips && shoulders.distance(hips) > 4*f.noise {
		return shoulders.sub(hips).unit()
	}
	return point{0, -1}
}

// fromShoulders estimates the head from the trunk. The estimate is larger than one from a face, since the neck bends.
func (f *figure) fromShoulders() (Head, bool) {
	if !f.trusted[vision.LeftShoulder] || !f.trusted[vision.RightShoulder] {
		return Head{}, false
	}
	scale, _ := f.bodyScale()
	scale = f.clampScale(scale)
	middle, _ := f.mean(vision.LeftShoulder, vision.RightShoulder)
	up := f.trunkUp()
	return ellipse(middle.add(up.times(shouldersToCenter*scale)), up, (maskRX+4)*scale, (maskRY+3)*scale), true
}

// fromBox covers the part of the box where a head can be. A box at least 2.5 times as high as wide shows someone from
// head to foot, whose head is in the top quarter near the middle. A box less than 1.2 times as high as wide may show a
// bust, just a head, or someone lying, and is covered whole. In between, the part is interpolated. At a side that the
// frame's edge cuts off, the part reaches to the edge.
func (f *figure) fromBox() Head {
	b := f.box
	const whole, figureLike = 1.2, 2.5
	t := math.Max(0, math.Min(1, (b.h/b.w-whole)/(figureLike-whole)))
	if t == 0 {
		head := f.wholeBox()
		head.Box = true
		return head
	}
	const reachDown, share = 0.24, 0.36
	down := (1 + t*(reachDown-1)) * b.h
	rx := (0.55 + t*(share-0.55)) * b.w
	rx = math.Max(rx, maskRX*f.minScale)
	top := 0.03 * b.h
	left, right := (b.x0+b.x1)/2-rx, (b.x0+b.x1)/2+rx
	// The middle of someone whom the frame's edge cuts off may be at that edge.
	if b.x0 <= f.edge() {
		left = b.x0 - rx
	}
	if b.x1 >= f.width-f.edge() {
		right = b.x1 + rx
	}
	return ellipse(point{(left + right) / 2, b.y0 + (down-top)/2}, point{0, -1}, (right-left)/2, (down+top)/2)
}

// wholeBox returns the ellipse inscribed in the box. Set Head.Box to cover the corners too.
func (f *figure) wholeBox() Head {
	b := f.box
	return ellipse(point{(b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2}, point{0, -1}, b.w/2, b.h/2)
}

// noseDisc returns the head as GeometryOptions.NoseDisc describes it. The person must have a pose.
func noseDisc(p vision.Person) Head {
	at := func(k int) point { return point{float64(p.Pose[k].X), float64(p.Pose[k].Y)} }
	nose := at(vision.Nose)
	r := max(1, nose.distance(at(vision.LeftShoulder)), nose.distance(at(vision.RightShoulder)))
	head := ellipse(nose, point{0, -1}, r, r)
	head.Score, head.Origin = p.Pose[vision.Nose].Score, OriginPose
	return head
}

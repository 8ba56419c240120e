// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// OnUncertain says what is masked of a person whose head no trustworthy keypoint shows.
type OnUncertain string

const (
	// HeadRegion masks the part of the person's box where a head can be.
	HeadRegion OnUncertain = "head_region"
	// WholePerson masks the person's box.
	WholePerson OnUncertain = "whole_person"
	// WholeFrame masks the frame.
	WholeFrame OnUncertain = "whole_frame"
)

// GeometryOptions tune how a head is located; the zero value gives the defaults.
type GeometryOptions struct {
	// MinScore is the confidence 0..1 below which a keypoint is refused; 0 means 0.2.
	MinScore float32
	// OnUncertain is what to mask where only the person's box is known; empty means HeadRegion.
	OnUncertain OnUncertain
	// NoseDisc takes a disc instead of the head: its centre is the nose and it reaches to the farther shoulder, whatever their
	// scores and wherever they lie. It is what this program's forerunner masked.
	NoseDisc bool
}

// The sizes of a body in centimetres, and of the mask that a head gets. Lengths are means of adults (NASA-STD-3000,
// volume 1, section 3: anthropometry), measured where COCO puts its keypoints. Seen from any side a length between two
// keypoints shortens but never grows, so that the largest scale that any of them asks for is the right one.
const (
	eyeToEye     = 6.3
	earToEar     = 14.5
	eyeToNearEar = 9
	noseToEar    = 13
	noseToEye    = 6
	// Where only one ear shows, the head is turned enough for these two to be seen at no less than this length.
	eyeToEarInProfile  = 8
	noseToEarInProfile = 11
	shoulderToShoulder = 37
	shoulderToHip      = 50
	// tallest is a person standing or lying with the arms stretched a little.
	tallest = 190

	// The mask reaches 15 cm to each side of the ears' middle, 19 above and 14 below: hair, hat and chin, or the nape,
	// and the error of the keypoints.
	maskRX = 13
	maskRY = 16.5
	// earsToCentre is how far the mask's centre lies above the ears.
	earsToCentre = 2.5
	// shouldersToCentre is how far it lies above the shoulders.
	shouldersToCentre = 22
	// faceMargin is what stays covered around every facial keypoint.
	faceMargin = 5
)

// A scale is limited by the box: a head is not much wider or higher than what can be seen of its person, nor a third
// of someone seen from head to foot.
const (
	maxScaleOfWidth  = 0.06
	maxScaleOfHeight = 0.048
	maxScaleOfFigure = 1.0 / 95
	figureAspect     = 3.0
)

// LocateHeads returns one head for each person of a frame, in order: an ellipse from hair or hat to chin, from behind
// to the nape, with a margin; where estimates disagree it reaches around all of them. It rests on facial keypoints,
// failing those on the shoulders, failing those on the box alone. Keypoints are refused if their score is low, if they
// lie outside the person's own box, or if a neighbour has the better claim to them. A person whose box makes no sense
// gives a head as large as the frame, with OriginFrame.
func LocateHeads(people []vision.Person, frameWidth, frameHeight int, opts GeometryOptions) []Head {
	if opts.MinScore == 0 {
		opts.MinScore = 0.2
	}
	figures := make([]figure, len(people))
	for i, p := range people {
		figures[i] = newFigure(p, frameWidth, frameHeight, opts.MinScore)
	}
	refuseNeighbours(figures)
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

func noseDisc(p vision.Person) Head {
	at := func(k int) point { return point{float64(p.Pose[k].X), float64(p.Pose[k].Y)} }
	nose := at(vision.Nose)
	r := max(1, nose.distance(at(vision.LeftShoulder)), nose.distance(at(vision.RightShoulder)))
	head := ellipse(nose, point{0, -1}, r, r)
	head.Score, head.Origin = p.Pose[vision.Nose].Score, OriginPose
	return head
}

// point is a place in the frame, or a distance.
type point struct{ x, y float64 }

func (p point) add(q point) point           { return point{p.x + q.x, p.y + q.y} }
func (p point) sub(q point) point           { return point{p.x - q.x, p.y - q.y} }
func (p point) times(f float64) point       { return point{p.x * f, p.y * f} }
func (p point) length() float64             { return math.Hypot(p.x, p.y) }
func (p point) to(q point, t float64) point { return p.add(q.sub(p).times(t)) }
func (p point) distance(q point) float64    { return q.sub(p).length() }
func (p point) turned() point               { return point{p.y, -p.x} } // a quarter to the left
func (p point) dot(q point) float64         { return p.x*q.x + p.y*q.y }
func (p point) unit() point                 { return p.times(1 / p.length()) }

// figure is a person under examination: which keypoints are trusted, and the possible scales in pixels a centimetre.
type figure struct {
	person        vision.Person
	width, height float64 // of the frame
	box           struct{ x0, y0, x1, y1, w, h float64 }
	valid         bool
	trusted       [vision.KeypointCount]bool
	at            [vision.KeypointCount]point
	// noise is the keypoints' expected error: MoveNet sees a square around the person at 192 pixels, and errs by about
	// two of them.
	noise              float64
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

// scaleLimit is the largest scale that the box allows; a side cut off by the frame's edge limits nothing.
func (f *figure) scaleLimit() float64 {
	b, edge := f.box, 0.005*math.Max(f.width, f.height)
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

// head decides which estimates the person's keypoints bear.
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

// agree reports whether a face lies where the shoulders can bear it.
func (f *figure) agree(face, body Head) bool {
	distance := math.Hypot(float64(face.X-body.X), float64(face.Y-body.Y))
	return distance < 2*math.Max(float64(face.RY), float64(body.RY))
}

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

// margin is for what the detector's coarse grid, the tracker and the chroma planes may be off whatever the head's size.
func (f *figure) margin() float32 {
	return float32(1 + math.Max(f.width, f.height)/960)
}

// facePairs are distances in centimetres; the first two pairs lie across the head.
var facePairs = [...]struct {
	a, b                  int
	centimetre, inProfile float64
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

var bodyPairs = [...]struct {
	a, b       int
	centimetre float64
}{
	{vision.LeftShoulder, vision.RightShoulder, shoulderToShoulder},
	{vision.LeftShoulder, vision.LeftHip, shoulderToHip},
	{vision.RightShoulder, vision.RightHip, shoulderToHip},
}

// bodyScale is the scale that the trunk asks for, and whether enough of it is seen to limit the head's size.
func (f *figure) bodyScale() (scale float64, whole bool) {
	pairs := 0
	for _, p := range bodyPairs {
		if f.trusted[p.a] && f.trusted[p.b] {
			pairs++
			scale = math.Max(scale, (f.at[p.a].distance(f.at[p.b])-f.noise)/p.centimetre)
		}
	}
	return math.Max(scale, f.minScale), pairs == len(bodyPairs)
}

func (f *figure) clampScale(scale float64) float64 {
	return math.Max(f.minScale, math.Min(scale, f.maxScale))
}

// fromFace estimates the head from the nose, eyes and ears; it is sure if there are enough of them and they keep the
// distances of one head. A head without size means that none is trusted.
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
			length := p.centimetre
			if profile {
				length = p.inProfile
			}
			asked := (f.at[p.a].distance(f.at[p.b]) - f.noise) / length
			sure = sure && asked < 1.5*limit
			scale = math.Max(scale, math.Min(asked, limit))
		}
	}
	scale = f.clampScale(scale)

	up := f.upward(scale)
	near, far := f.faceCentres(up, scale)
	head = ellipse(near.add(up.times(earsToCentre*scale)), up, maskRX*scale, maskRY*scale)
	head = Union(head, ellipse(far.add(up.times(earsToCentre*scale)), up, maskRX*scale, maskRY*scale))
	for _, i := range seen {
		head = Union(head, ellipse(f.at[i], up, faceMargin*scale, faceMargin*scale))
	}
	return head, score, sure
}

// faceCentres returns the two ends of where the middle between the ears can be.
func (f *figure) faceCentres(up point, scale float64) (near, far point) {
	left, right := f.trusted[vision.LeftEar], f.trusted[vision.RightEar]
	front, hasFront := f.mean(vision.Nose, vision.LeftEye, vision.RightEye)
	ears, hasEars := f.mean(vision.LeftEar, vision.RightEar)
	switch {
	case left && right:
		return ears, ears
	case hasEars && hasFront:
		// Between a profile, where the visible ear is the middle, and a face turned half away.
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

// upward is the unit vector from chin to crown: across the line of the ears or the eyes if it is long enough to be one,
// else from the shoulders to the face, else the trunk's own.
func (f *figure) upward(scale float64) point {
	trunk := f.trunkUp()
	face, hasFace := f.mean(vision.Nose, vision.LeftEye, vision.RightEye, vision.LeftEar, vision.RightEar)
	if shoulders, ok := f.mean(vision.LeftShoulder, vision.RightShoulder); ok && hasFace && face.distance(shoulders) > 8*scale {
		trunk = face.sub(shoulders).unit()
	}
	for _, p := range facePairs[:2] {
		if !f.trusted[p.a] || !f.trusted[p.b] {
			continue
		}
		across := f.at[p.b].sub(f.at[p.a])
		if across.length() < 0.6*p.centimetre*scale {
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

// trunkUp is the unit vector from hips to shoulders, or up in the frame.
func (f *figure) trunkUp() point {
	shoulders, hasShoulders := f.mean(vision.LeftShoulder, vision.RightShoulder)
	hips, hasHips := f.mean(vision.LeftHip, vision.RightHip)
	if hasShoulders && hasHips && shoulders.distance(hips) > 4*f.noise {
		return shoulders.sub(hips).unit()
	}
	return point{0, -1}
}

// fromShoulders estimates the head from the trunk. The mask is larger than that from a face, since the neck bends.
func (f *figure) fromShoulders() (Head, bool) {
	if !f.trusted[vision.LeftShoulder] || !f.trusted[vision.RightShoulder] {
		return Head{}, false
	}
	scale, _ := f.bodyScale()
	scale = f.clampScale(scale)
	middle, _ := f.mean(vision.LeftShoulder, vision.RightShoulder)
	up := f.trunkUp()
	return ellipse(middle.add(up.times(shouldersToCentre*scale)), up, (maskRX+4)*scale, (maskRY+3)*scale), true
}

// fromBox covers the part of the box where a head can be. Someone seen from head to foot, which shows in a high box,
// has it in the top quarter near the middle; a box less than 1.2 times as high as wide may hold a bust, a head alone,
// or someone lying, and is covered whole.
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
	return ellipse(point{(b.x0 + b.x1) / 2, b.y0 + (down-top)/2}, point{0, -1}, rx, (down+top)/2)
}

// wholeBox is the ellipse inscribed in the box; where it is to cover the corners, mark it as a box.
func (f *figure) wholeBox() Head {
	b := f.box
	return ellipse(point{(b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2}, point{0, -1}, b.w/2, b.h/2)
}

// mean is the middle of those keypoints that are trusted.
func (f *figure) mean(keypoints ...int) (middle point, ok bool) {
	n := 0.0
	for _, i := range keypoints {
		if f.trusted[i] {
			middle, n = middle.add(f.at[i]), n+1
		}
	}
	return middle.times(1 / math.Max(n, 1)), n > 0
}

func (f *figure) meanScore(keypoints ...int) (score float64) {
	for _, i := range keypoints {
		score += float64(f.person.Pose[i].Score) / float64(len(keypoints))
	}
	return math.Min(score, 1)
}

// refuseNeighbours takes keypoints away from people whose pose has locked on to someone else: where the faces of two
// people coincide, the one for whom they lie less well loses every keypoint that the two share.
func refuseNeighbours(figures []figure) {
	for i := range figures {
		for j := i + 1; j < len(figures); j++ {
			a, b := &figures[i], &figures[j]
			if shared := sharedKeypoints(a, b); sameFace(shared, a, b) {
				loser := a
				if a.claim() > b.claim() {
					loser = b
				}
				loser.refuse(shared)
			}
		}
	}
}

// sharedKeypoints tells which keypoints of two people lie on the same spot.
func sharedKeypoints(a, b *figure) (shared [vision.KeypointCount]bool) {
	if !a.valid || !b.valid || a.box.x0 > b.box.x1 || b.box.x0 > a.box.x1 || a.box.y0 > b.box.y1 || b.box.y0 > a.box.y1 {
		return shared
	}
	near := math.Max(6*math.Min(a.minScale, b.minScale), 1.5*math.Max(a.noise, b.noise))
	for k := range shared {
		shared[k] = a.trusted[k] && b.trusted[k] && a.at[k].distance(b.at[k]) < near
	}
	return shared
}

// sameFace reports whether most of the facial keypoints are shared.
func sameFace(shared [vision.KeypointCount]bool, a, b *figure) bool {
	var both, same int
	for k := vision.Nose; k <= vision.RightEar; k++ {
		if a.trusted[k] && b.trusted[k] {
			both++
		}
		if shared[k] {
			same++
		}
	}
	return same > 0 && 2*same > both
}

// claim grows with the scores of the face's keypoints, and with how well they lie at the top and middle of the box.
func (f *figure) claim() float64 {
	face := [...]int{vision.Nose, vision.LeftEye, vision.RightEye, vision.LeftEar, vision.RightEar}
	middle, ok := f.mean(face[:]...)
	if !ok {
		return math.Inf(-1)
	}
	aside := math.Abs(middle.x-(f.box.x0+f.box.x1)/2) / f.box.w
	below := math.Max(0, middle.y-f.box.y0) / f.box.h
	return f.meanScore(face[:]...) - aside - below
}

func (f *figure) refuse(shared [vision.KeypointCount]bool) {
	for k := range shared {
		// What is left of a face after most of it was refused is no better.
		f.trusted[k] = f.trusted[k] && !shared[k] && k > vision.RightEar
	}
}

// ellipse makes a head whose crown lies in the direction of up.
func ellipse(centre, up point, rx, ry float64) Head {
	return Head{
		X: float32(centre.x), Y: float32(centre.y), RX: float32(rx), RY: float32(ry),
		Angle: float32(math.Atan2(up.x, -up.y)),
	}
}

// FrameHead covers a whole frame of a size in pixels.
func FrameHead(width, height int) Head {
	w, h := float32(width)/2, float32(height)/2
	return Head{X: w, Y: h, RX: w, RY: h, Box: true, Origin: OriginFrame}
}

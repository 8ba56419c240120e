// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	testWidth, testHeight = 1920, 1080
	enough                = 0.9 // of the ellipse inscribed in the box from hair to chin
)

// locateHead is LocateHeads for the only person in a frame.
func locateHead(person vision.Person, frameWidth, frameHeight int, opts GeometryOptions) Head {
	return LocateHeads([]vision.Person{person}, frameWidth, frameHeight, opts)[0]
}

type vec [3]float64 // x to the person's left, y up, z forward, in centimeters

// rotate turns v around an axis (0: x, 1: y, 2: z) by degrees.
func (v vec) rotate(axis int, degrees float64) vec {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	a, b := (axis+1)%3, (axis+2)%3
	v[a], v[b] = v[a]*cos-v[b]*sin, v[a]*sin+v[b]*cos
	return v
}

// mannequin is a three-dimensional person of 172 cm, with the origin between the hips.
type mannequin struct {
	yaw, pitch, roll             float64 // of the body, degrees
	headYaw, headPitch, headRoll float64 // of the head on the neck
	pixels                       float64 // per centimeter
	x, y                         float64 // of the hips in the frame
	bust                         bool    // the box shows nothing below the chest
	headOnly                     bool    // nor below the chin
}

var joints = [vision.KeypointCount]vec{
	vision.Nose: {0, 67, 11}, vision.LeftEye: {3.2, 71, 8}, vision.RightEye: {-3.2, 71, 8},
	vision.LeftEar: {7.2, 70, 0}, vision.RightEar: {-7.2, 70, 0},
	vision.LeftShoulder: {18, 50, 0}, vision.RightShoulder: {-18, 50, 0},
	vision.LeftElbow: {22, 22, 0}, vision.RightElbow: {-22, 22, 0},
	vision.LeftWrist: {23, -3, 8}, vision.RightWrist: {-23, -3, 8},
	vision.LeftHip: {13, 0, 0}, vision.RightHip: {-13, 0, 0},
	vision.LeftKnee: {12, -45, 2}, vision.RightKnee: {-12, -45, 2},
	vision.LeftAnkle: {11, -90, 0}, vision.RightAnkle: {-11, -90, 0},
}

var neck = vec{0, 58, -2}

// place projects a point of the mannequin into the frame; head points turn on the neck first.
func (m mannequin) place(v vec, head bool) (x, y, depth float64) {
	if head {
		for i := range v {
			v[i] -= neck[i]
		}
		v = v.rotate(2, m.headRoll).rotate(0, m.headPitch).rotate(1, m.headYaw)
		for i := range v {
			v[i] += neck[i]
		}
	}
	v = v.rotate(1, m.yaw).rotate(0, m.pitch).rotate(2, m.roll)
	// If the person faces the camera, their left is on the right.
	return m.x + v[0]*m.pixels, m.y - v[1]*m.pixels, v[2]
}

// skull is the surface of the head with hair: from 11.5 cm below the ears to 15.5 above.
func skull() []vec {
	var points []vec
	for i := range 16 {
		for j := range 32 {
			lat, lon := math.Pi*(float64(i)+0.5)/16-math.Pi/2, 2*math.Pi*float64(j)/32
			points = append(points, vec{
				9 * math.Cos(lat) * math.Cos(lon), 72 + 13.5*math.Sin(lat), 0.5 + 10.5*math.Cos(lat)*math.Sin(lon),
			})
		}
	}
	return points
}

// render returns what a detector and a pose estimator would find, with errors, and the head's true box.
func (m mannequin) render(rng *rand.Rand) (vision.Person, vision.Box) {
	inf := float32(math.Inf(1))
	empty := vision.Box{X0: inf, Y0: inf, X1: -inf, Y1: -inf}
	include := func(b *vision.Box, x, y float64) {
		b.X0, b.X1 = min(b.X0, float32(x)), max(b.X1, float32(x))
		b.Y0, b.Y1 = min(b.Y0, float32(y)), max(b.Y1, float32(y))
	}
	head, body := empty, empty
	for _, p := range skull() {
		x, y, _ := m.place(p, true)
		include(&head, x, y)
		include(&body, x, y)
	}
	var pose vision.Pose
	for k, p := range joints {
		x, y, _ := m.place(p, k <= vision.RightEar)
		score := 0.7
		switch {
		case k <= vision.RightEar:
			// A keypoint is visible if the surface there faces the camera.
			_, _, middle := m.place(vec{0, 70, 0}, true)
			if _, _, depth := m.place(p, true); depth < middle-4 {
				score = 0.1
			}
		case m.headOnly, m.bust && k > vision.RightShoulder:
			score = 0.05
		}
		if !(m.headOnly || m.bust && k > vision.RightShoulder) {
			r := 5 * m.pixels
			include(&body, x-r, y-r)
			include(&body, x+r, y+r)
		}
		pose[k] = vision.Keypoint{X: float32(x), Y: float32(y), Score: float32(score)}
	}
	if m.bust {
		_, y, _ := m.place(vec{0, 25, 0}, false)
		include(&body, float64(head.X0), y)
	}
	body.X0, body.Y0 = max(body.X0, 0), max(body.Y0, 0)
	body.X1, body.Y1 = min(body.X1, testWidth), min(body.Y1, testHeight)
	// The estimator is off by one of its 192 pixels, the detector by two of its 416.
	side := float64(max(body.Width(), body.Height()))
	err := max(0.5, 1.25*side/192)
	for k := range pose {
		pose[k].X += float32(rng.NormFloat64() * err)
		pose[k].Y += float32(rng.NormFloat64() * err)
	}
	for _, v := range []*float32{&body.X0, &body.Y0, &body.X1, &body.Y1} {
		*v += float32(rng.NormFloat64() * min(side/40, testWidth/416*2))
	}
	body.X0, body.Y0 = max(body.X0, 0), max(body.Y0, 0)
	return vision.Person{Detection: vision.Detection{Box: body, Score: 0.8}, Pose: &pose}, head
}

// coverage returns the share of the ellipse inscribed in a true head's box, within the frame, that the masks cover.
func coverage(truth vision.Box, heads ...Head) float64 {
	const n = 60
	var all, covered float64
	for i := range n {
		for j := range n {
			u, v := (float64(i)+0.5)/n*2-1, (float64(j)+0.5)/n*2-1
			x, y := truth.X0+float32(u+1)/2*truth.Width(), truth.Y0+float32(v+1)/2*truth.Height()
			if u*u+v*v > 1 || x < 0 || y < 0 || x > testWidth || y > testHeight {
				continue
			}
			all++
			for _, h := range heads {
				if h.Contains(x, y) {
					covered++
					break
				}
			}
		}
	}
	return covered / max(all, 1)
}

func area(h Head) float64 { return math.Pi * float64(h.RX) * float64(h.RY) }

// poses are people seen from all sides; area is the largest allowed area of a mask, relative to the head's.
var poses = map[string]struct {
	m    mannequin
	area float64
}{
	"frontal":               {mannequin{pixels: 4}, 2.4},
	"half profile left":     {mannequin{pixels: 4, yaw: 45}, 3.2},
	"half profile right":    {mannequin{pixels: 4, yaw: -45}, 3.2},
	"profile left":          {mannequin{pixels: 4, yaw: 90}, 2.4},
	"profile right":         {mannequin{pixels: 4, yaw: -90}, 2.4},
	"three quarters back":   {mannequin{pixels: 4, yaw: 135}, 3.8},
	"back":                  {mannequin{pixels: 4, yaw: 180}, 2.4},
	"looking over shoulder": {mannequin{pixels: 4, yaw: 150, headYaw: 60}, 3.5},
	"looking aside":         {mannequin{pixels: 4, headYaw: 80}, 2.6},
	"looking down":          {mannequin{pixels: 4, headPitch: 45}, 3},
	"looking up":            {mannequin{pixels: 4, headPitch: -40}, 3},
	"tilted":                {mannequin{pixels: 4, headRoll: 35}, 2.6},
	"tilted back":           {mannequin{pixels: 4, yaw: 180, headRoll: -35}, 2.6},
	"from above":            {mannequin{pixels: 4, pitch: 45}, 3},
	"bent to the side":      {mannequin{pixels: 4, roll: 60}, 3},
	"bent forward":          {mannequin{pixels: 4, yaw: 90, roll: 80}, 3},
	"lying left":            {mannequin{pixels: 4, roll: 90}, 3},
	"lying right on back":   {mannequin{pixels: 4, yaw: 180, roll: -90}, 3},
	"upside down":           {mannequin{pixels: 4, roll: 180}, 3},
	"bust":                  {mannequin{pixels: 12, bust: true, y: 1100}, 2.6},
	"bust profile":          {mannequin{pixels: 12, bust: true, yaw: 90, y: 1100}, 2.6},
	"bust back":             {mannequin{pixels: 12, bust: true, yaw: 180, y: 1100}, 3},
	"head only":             {mannequin{pixels: 12, headOnly: true, y: 1100}, 2.6},
	"head only back":        {mannequin{pixels: 12, headOnly: true, yaw: 170, y: 1100}, 3},
	"left edge":             {mannequin{pixels: 4, x: 3}, 3.5},
	"right edge":            {mannequin{pixels: 4, x: 1917, yaw: 60}, 4.2},
	"top edge":              {mannequin{pixels: 5, y: 370}, 3.5},
	"forehead cut":          {mannequin{pixels: 10, y: 720, bust: true}, 3.5},
	"far":                   {mannequin{pixels: 1.2}, 4},
	"far back":              {mannequin{pixels: 1.2, yaw: 180}, 4},
	"tiny":                  {mannequin{pixels: 0.58}, 6},
	"tiny back":             {mannequin{pixels: 0.58, yaw: 180}, 6},
	"tiny profile":          {mannequin{pixels: 0.58, yaw: 90}, 6},
}

func (m mannequin) placed() mannequin {
	if m.x == 0 {
		m.x = 960
	}
	if m.y == 0 {
		m.y = 540
	}
	return m
}

func TestLocateHeadsFromAllSides(t *testing.T) {
	for name, tt := range poses {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			const runs = 200
			missed, worst, areas := 0, 1.0, 0.0
			for range runs {
				person, truth := tt.m.placed().render(rng)
				head := locateHead(person, testWidth, testHeight, GeometryOptions{})
				c := coverage(truth, head)
				if c < enough {
					missed++
				}
				worst = min(worst, c)
				areas += area(head) / (math.Pi / 4 * float64(truth.Width()*truth.Height())) / runs
			}
			t.Logf("%d of %d missed, worst %.3f, area %.2f of the head's", missed, runs, worst, areas)
			if missed > runs/100 {
				t.Errorf("%d of %d heads are not covered, the worst %.3f", missed, runs, worst)
			}
			if areas > tt.area {
				t.Errorf("masks are %.2f times as large as heads, want at most %.2f", areas, tt.area)
			}
		})
	}
}

// without returns the person with a changed pose, or without a pose if change is nil.
func without(p vision.Person, change func(*vision.Pose)) vision.Person {
	if change == nil {
		p.Pose = nil
		return p
	}
	pose := *p.Pose
	change(&pose)
	p.Pose = &pose
	return p
}

func scored(score float32, keypoints ...int) func(*vision.Pose) {
	return func(p *vision.Pose) {
		for _, k := range keypoints {
			p[k].Score = score
		}
	}
}

var facial = []int{vision.Nose, vision.LeftEye, vision.RightEye, vision.LeftEar, vision.RightEar}

func TestLocateHeadsWithoutKeypoints(t *testing.T) {
	nan := float32(math.NaN())
	all := make([]int, vision.KeypointCount)
	for i := range all {
		all[i] = i
	}
	spoils := map[string]struct {
		change func(*vision.Pose)
		origin Origin
	}{
		"no pose":        {nil, OriginBox},
		"low scores":     {scored(0.1, all...), OriginBox},
		"no face":        {scored(0.1, facial...), OriginPose},
		"only the nose":  {scored(0.1, facial[1:]...), OriginPose},
		"nose and box":   {scored(0.1, all[1:]...), OriginBox},
		"weak ear":       {func(p *vision.Pose) { scored(0.05, all...)(p); p[vision.LeftEar].Score = 0.21 }, OriginBox},
		"nan scores":     {scored(nan, all...), OriginBox},
		"scores above 1": {scored(7, all...), OriginBox},
		"nan positions": {func(p *vision.Pose) {
			for i := range p {
				p[i].X = nan
			}
		}, OriginBox},
		"outside the box": {func(p *vision.Pose) {
			for i := range p {
				p[i].X += 600
			}
		}, OriginBox},
		"face outside the box": {func(p *vision.Pose) {
			for _, i := range facial {
				p[i].Y -= 300
			}
		}, OriginPose},
	}
	for name, tt := range spoils {
		for _, view := range []string{"frontal", "profile left", "back", "far", "tiny"} {
			t.Run(name+"/"+view, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(3, 4))
				const runs = 100
				missed, worst := 0, 1.0
				for range runs {
					person, truth := poses[view].m.placed().render(rng)
					head := locateHead(without(person, tt.change), testWidth, testHeight, GeometryOptions{})
					if head.Origin != tt.origin && view == "frontal" {
						t.Fatalf("origin is %s, want %s", head.Origin, tt.origin)
					}
					c := coverage(truth, head)
					worst = min(worst, c)
					if c < enough {
						missed++
					}
					if b := person.Box; area(head) > float64(b.Width()*b.Height()) {
						t.Fatalf("the mask is larger than the person: %+v for %+v", head, b)
					}
				}
				if missed > runs/50 {
					t.Errorf("%d of %d missed, worst %.3f", missed, runs, worst)
				}
			})
		}
	}
}

func TestOnUncertain(t *testing.T) {
	standing := vision.Person{Detection: vision.Detection{Box: vision.Box{X0: 100, Y0: 100, X1: 200, Y1: 400}, Score: 0.5}}
	lying := vision.Person{Detection: vision.Detection{Box: vision.Box{X0: 100, Y0: 100, X1: 400, Y1: 200}, Score: 0.5}}
	tests := []struct {
		name    string
		person  vision.Person
		what    OnUncertain
		covered [][2]float32
		free    [][2]float32
	}{
		{"head region", standing, "", [][2]float32{{150, 101}, {150, 160}}, [][2]float32{{150, 300}, {101, 399}}},
		{"lying", lying, HeadRegion, [][2]float32{{101, 150}, {399, 101}, {101, 199}}, [][2]float32{{150, 300}}},
		{
			"whole person", standing, WholePerson,
			[][2]float32{{101, 101}, {199, 101}, {199, 399}, {101, 399}}, [][2]float32{{90, 90}, {220, 300}},
		},
		{"whole frame", standing, WholeFrame, [][2]float32{{0, 0}, {1920, 1080}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			head := locateHead(tt.person, testWidth, testHeight, GeometryOptions{OnUncertain: tt.what})
			for _, p := range tt.covered {
				if !head.Contains(p[0], p[1]) {
					t.Errorf("%v is not covered by %+v", p, head)
				}
			}
			for _, p := range tt.free {
				if head.Contains(p[0], p[1]) {
					t.Errorf("%v is covered by %+v", p, head)
				}
			}
			if want := OriginBox; tt.what != WholeFrame && head.Origin != want {
				t.Errorf("origin is %s, want %s", head.Origin, want)
			}
		})
	}
}

// TestLocateHeadsPoseLockedOnToNeighbor locates the head of a person behind another whose keypoints both poses show.
func TestLocateHeadsPoseLockedOnToNeighbor(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	front := mannequin{pixels: 4, x: 960, y: 560}
	for name, tt := range map[string]struct {
		dx, dy float64
		shared []int
	}{
		"face to the left":     {-150, -10, facial},
		"face to the right":    {150, 10, facial},
		"half hidden":          {90, 0, append([]int{vision.LeftShoulder, vision.RightShoulder}, facial...)},
		"behind, farther away": {70, -60, facial},
	} {
		t.Run(name, func(t *testing.T) {
			missed := 0
			for range 100 {
				near, nearTruth := front.render(rng)
				behind := mannequin{pixels: 3.6, x: front.x + tt.dx, y: front.y + tt.dy}
				far, farTruth := behind.render(rng)
				locked := without(far, func(p *vision.Pose) {
					for _, k := range tt.shared {
						p[k] = near.Pose[k]
						p[k].X += float32(rng.NormFloat64() * 3)
						p[k].Score = 0.5
					}
				})
				for _, people := range [][]vision.Person{{near, locked}, {locked, near}} {
					heads := LocateHeads(people, testWidth, testHeight, GeometryOptions{})
					if coverage(nearTruth, heads...) < enough || coverage(farTruth, heads...) < enough {
						missed++
					}
				}
			}
			if missed > 4 {
				t.Errorf("a head is not covered in %d of 200 cases", missed)
			}
		})
	}
}

func TestUnionCoversBoth(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	random := func() Head {
		return Head{
			X: rng.Float32() * 100, Y: rng.Float32() * 100, RX: 1 + rng.Float32()*40, RY: 1 + rng.Float32()*40,
			Angle: (rng.Float32() - 0.5) * 7, Box: rng.IntN(4) == 0,
		}
	}
	for range 2000 {
		a, b := random(), random()
		u := Union(a, b)
		for range 200 {
			x, y := rng.Float32()*200-50, rng.Float32()*200-50
			if (a.Contains(x, y) || b.Contains(x, y)) && !u.Grow(1e-3).Contains(x, y) {
				t.Fatalf("%+v, of\n%+v and\n%+v, does not contain %v %v", u, a, b, x, y)
			}
		}
		if !a.Box && !b.Box {
			if c := Union(a, a); c != a {
				t.Fatalf("the union of %+v with itself is %+v", a, c)
			}
		}
	}
}

func FuzzLocateHeads(f *testing.F) {
	f.Add(float32(10), float32(10), float32(50), float32(200), float32(20), float32(20), float32(0.9),
		uint16(640), uint16(480))
	f.Add(float32(math.Inf(-1)), float32(10), float32(math.NaN()), float32(200), float32(1e30), float32(20), float32(0.9),
		uint16(1), uint16(1))
	f.Fuzz(func(t *testing.T, x0, y0, x1, y1, kx, ky, score float32, w, h uint16) {
		var pose vision.Pose
		for k := range pose {
			pose[k] = vision.Keypoint{X: kx + float32(k)*3, Y: ky * float32(k%4), Score: score}
		}
		box := vision.Box{X0: x0, Y0: y0, X1: x1, Y1: y1}
		p := vision.Person{Detection: vision.Detection{Box: box, Score: score}, Pose: &pose}
		width, height := 1+int(w), 1+int(h)
		for _, head := range LocateHeads([]vision.Person{p, p, {Detection: p.Detection}}, width, height, GeometryOptions{}) {
			if !head.Sane() {
				t.Fatalf("%+v of %+v", head, p)
			}
		}
	})
}

func BenchmarkLocateHeads(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 9))
	people := make([]vision.Person, 200)
	for i := range people {
		m := mannequin{pixels: 1, x: rng.Float64() * testWidth, y: rng.Float64() * testHeight, yaw: rng.Float64() * 360}
		people[i], _ = m.render(rng)
	}
	for b.Loop() {
		LocateHeads(people, testWidth, testHeight, GeometryOptions{})
	}
}

// TestGuessAtFrameEdge checks that if the frame's edge cuts someone off, the guess covers a head at the edge, not just
// one in the middle of the visible part.
func TestGuessAtFrameEdge(t *testing.T) {
	for name, tt := range map[string]struct {
		x0, x1 float32
		head   float32 // x of a head that must be covered
		width  float32 // the guess's, at most
	}{
		"left":   {0, 40, 4, 60},
		"right":  {728, 768, 764, 60},
		"inside": {300, 340, 320, 40},
	} {
		t.Run(name, func(t *testing.T) {
			p := vision.Person{Detection: vision.Detection{Score: .6, Box: vision.Box{X0: tt.x0, Y0: 100, X1: tt.x1, Y1: 260}}}
			head := LocateHeads([]vision.Person{p}, 768, 576, GeometryOptions{})[0]
			for y := float32(106); y < 130; y += 4 {
				if !head.Contains(tt.head, y) {
					t.Errorf("%v, %v is not covered by %+v", tt.head, y, head)
				}
			}
			if w := head.Bounds().Width(); w > tt.width {
				t.Errorf("the mask is %.0f wide, want at most %.0f", w, tt.width)
			}
		})
	}
}

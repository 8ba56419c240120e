// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"fmt"
	"math"
	"testing"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// standing returns a person 360 pixels high, seen from the front with hanging arms, whose silhouette fills the box with
// 128 x 128 cells.
func standing() vision.Person {
	pose := &vision.Pose{
		vision.Nose: {X: 200, Y: 80}, vision.LeftEye: {X: 206, Y: 74}, vision.RightEye: {X: 194, Y: 74},
		vision.LeftEar: {X: 214, Y: 76}, vision.RightEar: {X: 186, Y: 76},
		vision.LeftShoulder: {X: 236, Y: 120}, vision.RightShoulder: {X: 164, Y: 120},
		vision.LeftElbow: {X: 250, Y: 175}, vision.RightElbow: {X: 150, Y: 175},
		vision.LeftWrist: {X: 255, Y: 225}, vision.RightWrist: {X: 145, Y: 225},
		vision.LeftHip: {X: 222, Y: 220}, vision.RightHip: {X: 178, Y: 220},
		vision.LeftKnee: {X: 224, Y: 300}, vision.RightKnee: {X: 176, Y: 300},
		vision.LeftAnkle: {X: 225, Y: 375}, vision.RightAnkle: {X: 175, Y: 375},
	}
	for k := range pose {
		pose[k].Score = 0.8
	}
	box := vision.Box{X0: 130, Y0: 40, X1: 270, Y1: 395}
	square := vision.Box{X0: 0, Y0: 20, X1: 400, Y1: 420}
	cells := vision.NewBitmap(128, 128)
	for y := range 128 {
		for x := range 128 {
			px, py := float32(x)/128*400, 20+float32(y)/128*400
			if px >= box.X0 && px < box.X1 && py >= box.Y0 && py < box.Y1 {
				cells.Set(x, y)
			}
		}
	}
	return vision.Person{
		Detection: vision.Detection{Box: box, Score: 0.9}, Pose: pose,
		Silhouette: &vision.Silhouette{Box: square, Cells: cells},
	}
}

func bodyOf(p vision.Person) (Head, *Body) {
	people := []vision.Person{p}
	heads := LocateHeads(people, 640, 480, GeometryOptions{})
	return heads[0], LocateBodies(people, heads, 640, 480)[0]
}

func TestLocateBodiesUncoversTrunkAndLimbs(t *testing.T) {
	// A spot is a point of standing, and whether it is covered if nothing else is changed.
	type spot struct {
		x, y    float32
		covered bool
	}
	spots := map[string]spot{
		"chest":      {200, 160, false},
		"belly":      {200, 200, false},
		"upper arm":  {243, 148, false},
		"forearm":    {147, 200, false},
		"thigh":      {223, 260, false},
		"shank":      {176, 340, false},
		"face":       {200, 80, true},
		"throat":     {200, 108, true},
		"hand":       {255, 245, true},
		"next to it": {135, 60, true},
		"between":    {200, 330, true},
		"outside":    {320, 200, false},
		"below feet": {200, 410, false},
	}
	limbsOf := func(names ...string) map[string]bool {
		covered := map[string]bool{}
		for _, n := range names {
			covered[n] = true
		}
		return covered
	}
	all := limbsOf("chest", "belly", "upper arm", "forearm", "thigh", "shank")
	for name, tt := range map[string]struct {
		change func(p *vision.Person)
		// also are the points that are now covered, too.
		also map[string]bool
	}{
		"unchanged": {func(*vision.Person) {}, nil},
		"face uncertain": {func(p *vision.Person) {
			for k := vision.Nose; k <= vision.RightEar; k++ {
				p.Pose[k].Score = 0.3
			}
		}, all},
		"no pose":         {func(p *vision.Person) { p.Pose = nil }, all},
		"elbow uncertain": {func(p *vision.Person) { p.Pose[vision.LeftElbow].Score = 0.39 }, limbsOf("upper arm")},
		"hip uncertain": {
			func(p *vision.Person) { p.Pose[vision.LeftHip].Score = 0.2 }, limbsOf("chest", "belly", "thigh"),
		},
		"shank too long": {func(p *vision.Person) {
			p.Pose[vision.RightKnee] = vision.Keypoint{X: 240, Y: 150, Score: 0.9}
		}, limbsOf("shank")},
		"arm in front of face": {func(p *vision.Person) {
			p.Pose[vision.LeftWrist] = vision.Keypoint{X: 190, Y: 70, Score: 0.9}
			p.Pose[vision.LeftElbow] = vision.Keypoint{X: 215, Y: 110, Score: 0.9}
		}, limbsOf("upper arm")},
		"trunk crossed": {func(p *vision.Person) {
			p.Pose[vision.LeftHip], p.Pose[vision.RightHip] = p.Pose[vision.RightHip], p.Pose[vision.LeftHip]
		}, limbsOf("chest", "belly", "thigh")},
		"bent in front of trunk": {func(p *vision.Person) {
			for k := vision.Nose; k <= vision.RightEar; k++ {
				p.Pose[k].Y += 80
			}
		}, limbsOf("chest", "belly", "upper arm")},
	} {
		t.Run(name, func(t *testing.T) {
			p := standing()
			tt.change(&p)
			_, body := bodyOf(p)
			for what, s := range spots {
				if got, want := body.Covers(s.x, s.y), s.covered || tt.also[what]; got != want {
					t.Errorf("%s is covered %v, want %v", what, got, want)
				}
			}
		})
	}
}

// TestLocateBodiesSilhouetteMisses checks that a silhouette that misses the person is ignored.
func TestLocateBodiesSilhouetteMisses(t *testing.T) {
	for name, change := range map[string]func(p *vision.Person){
		"empty": func(p *vision.Person) { p.Silhouette.Cells = vision.NewBitmap(128, 128) },
		"next to the keypoints": func(p *vision.Person) {
			for y := range 128 {
				for x := 0; x < 64; x++ { // only the left half remains
					p.Silhouette.Cells.Clear(127-x, y)
				}
			}
		},
		"elsewhere": func(p *vision.Person) { p.Silhouette.Box = vision.Box{X0: 500, Y0: 20, X1: 900, Y1: 420} },
	} {
		t.Run(name, func(t *testing.T) {
			p := standing()
			change(&p)
			_, body := bodyOf(p)
			for y := p.Box.Y0; y < p.Box.Y1; y += 5 {
				for x := p.Box.X0; x < p.Box.X1; x += 5 {
					if !body.Covers(x, y) {
						t.Fatalf("(%v, %v) in the box is not covered", x, y)
					}
				}
			}
			if body.Covers(p.Box.X0-20, 200) {
				t.Error("a point far from the box is covered")
			}
		})
	}
	p := standing()
	p.Silhouette = nil
	if _, body := bodyOf(p); body != nil {
		t.Error("there is a body without a silhouette")
	}
}

func TestBodyMoved(t *testing.T) {
	_, body := bodyOf(standing())
	moved := body.Moved(30, -10)
	for _, s := range [][2]float32{{200, 160}, {243, 148}, {200, 80}} { // chest, arm, face
		if !moved.Covers(s[0]+30, s[1]-10) {
			t.Errorf("(%v, %v) moved is not covered", s[0], s[1])
		}
	}
	if moved.Covers(135, 200) {
		t.Error("its old place is still covered")
	}
}

// TestPaintBodies compares every sample with the cells that its area touches, and checks that method whitelist masks
// all that method heads does.
func TestPaintBodies(t *testing.T) {
	for _, format := range formats {
		for _, size := range []float32{0.12, 1, 1.9} {
			t.Run(fmt.Sprintf("%s/%v", format.Name, size), func(t *testing.T) {
				head, body := bodyOf(standing())
				head.X, head.Y, head.RX, head.RY = head.X*size, head.Y*size, head.RX*size, head.RY*size
				b := body.Box
				body.Box = vision.Box{X0: b.X0 * size, Y0: b.Y0 * size, X1: b.X1 * size, Y1: b.Y1 * size}
				p := NewPainter(Options{})
				before := noise(format, 403, 309, 1)
				alone, heads, both := clone(before), clone(before), clone(before)
				for _, err := range []error{
					p.Paint(alone, Masks{Bodies: []Body{*body}}), p.Paint(heads, Masks{Heads: []Head{head}}),
					p.Paint(both, Masks{Heads: []Head{head}, Bodies: []Body{*body}}),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
				masked := 0
				for i := range format.Planes {
					w, h, sx, sy := planeSize(before, i)
					for at := range w * h {
						was := sample(before, i, at)
						touched, sure := touches(*body, float64(at%w)*sx, float64(at/w)*sy, sx, sy)
						if got := sample(alone, i, at) != was; sure && got != touched {
							t.Fatalf("plane %d (%d, %d) is masked %v, want %v", i, at%w, at/w, got, touched)
						}
						if sample(heads, i, at) != was && sample(both, i, at) == was {
							t.Fatalf("plane %d (%d, %d) is masked by method heads only", i, at%w, at/w)
						}
						if sample(both, i, at) != was {
							masked++
						}
					}
				}
				if masked == 0 {
					t.Fatal("nothing is masked")
				}
			})
		}
	}
}

// touches reports whether a sample's area touches a covered cell; sure is false if the area barely touches one.
func touches(b Body, x, y, w, h float64) (touched, sure bool) {
	const graze = 1e-3
	look := func(by float64) (any bool) {
		g := gridOf(b.Box, *b.covered)
		for row := int(math.Floor((y + by - g.y) / g.h)); float64(row)*g.h+g.y < y+h-by; row++ {
			for column := int(math.Floor((x + by - g.x) / g.w)); float64(column)*g.w+g.x < x+w-by; column++ {
				if row >= 0 && column >= 0 && row < b.covered.Height && column < b.covered.Width && b.covered.At(column, row) {
					any = true
				}
			}
		}
		return any
	}
	least, most := look(graze), look(-graze)
	return least, least == most
}

func TestPaintInsaneBodyMasksWholeFrame(t *testing.T) {
	p := NewPainter(Options{})
	f := noise(formats[4], 40, 30, 1)
	if err := p.Paint(f, Masks{Bodies: []Body{{Box: vision.Box{X0: float32(math.NaN()), X1: 3, Y1: 3}}}}); err != nil {
		t.Fatal(err)
	}
	for at := range 40 * 30 {
		if sample(f, 0, at) != 16 {
			t.Fatal("the frame is not masked whole")
		}
	}
}

// TestPaintClosesGaps checks that a sample is masked if it is masked in both the frame before and the one after, and
// that no others are.
func TestPaintClosesGaps(t *testing.T) {
	_, body := bodyOf(standing())
	before := Masks{Heads: []Head{{X: 60, Y: 60, RX: 30, RY: 40}}, Bodies: []Body{*body, body.Moved(-120, 20)}}
	after := Masks{Heads: []Head{{X: 200, Y: 250, RX: 90, RY: 20, Angle: 0.3}}, Bodies: []Body{body.Moved(-25, 13)}}
	insane := Masks{Heads: []Head{{}}}
	for _, format := range formats {
		for _, fill := range []Fill{Solid, Mosaic} {
			t.Run(fmt.Sprintf("%s/%s", format.Name, fill), func(t *testing.T) {
				p := NewPainter(Options{Fill: fill})
				solid := NewPainter(Options{})
				clean := noise(format, 321, 283, 1)
				paint := func(p *Painter, m Masks) (masked [3][]bool) {
					f := clone(clean)
					if err := p.Paint(f, m); err != nil {
						t.Fatal(err)
					}
					for i := range format.Planes {
						masked[i] = make([]bool, f.Planes[i].Width*f.Planes[i].Height)
						for at := range masked[i] {
							masked[i][at] = sample(f, i, at) != sample(clean, i, at)
						}
					}
					return masked
				}
				a, b, got := paint(solid, before), paint(solid, after), paint(p, Masks{Before: &before, After: &after})
				both := 0
				for i := range format.Planes {
					for at := range got[i] {
						want := a[i][at] && b[i][at]
						if want {
							both++
						}
						if got[i][at] != want && (fill == Solid || !want) {
							t.Fatalf("plane %d sample %d is masked %v, want %v", i, at, got[i][at], want)
						}
					}
				}
				if both == 0 {
					t.Fatal("the frames have nothing in common")
				}
				for at, masked := range paint(p, Masks{Before: &insane, After: &after})[0] {
					if masked {
						t.Fatalf("sample %d is masked next to a frame that is masked whole", at)
					}
				}
			})
		}
	}
}

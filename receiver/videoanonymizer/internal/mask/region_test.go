// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// polygons exercise the scan: concave, self-intersecting, thin, on whole samples, and reaching the frame's edges.
var polygons = map[string][][2]float64{
	"triangle":   {{0.1, 0.15}, {0.83, 0.3}, {0.4, 0.9}},
	"concave":    {{0.1, 0.1}, {0.9, 0.12}, {0.5, 0.4}, {0.88, 0.93}, {0.07, 0.8}},
	"star":       {{0.5, 0.05}, {0.75, 0.9}, {0.08, 0.35}, {0.9, 0.37}, {0.2, 0.88}},
	"upright":    {{0.25, 0.25}, {0.75, 0.25}, {0.75, 0.5}, {0.25, 0.5}},
	"whole":      {{0, 0}, {1, 0}, {1, 1}, {0, 1}},
	"thin":       {{0.2, 0.2}, {0.8, 0.21}, {0.8, 0.215}},
	"backwards":  {{0.4, 0.9}, {0.83, 0.3}, {0.1, 0.15}},
	"touching 0": {{0, 0.4}, {0.3, 0}, {0.3, 0.9}},
}

// holds applies the even-odd rule to a point, in fractions of the frame.
func holds(corners [][2]float64, x, y float64) (in bool) {
	for i, a := range corners {
		b := corners[(i+1)%len(corners)]
		if (a[1] <= y) != (b[1] <= y) && x < a[0]+(y-a[1])/(b[1]-a[1])*(b[0]-a[0]) {
			in = !in
		}
	}
	return in
}

// share reports whether the polygon contains some, or all, of many points of a sample's area.
func share(f *media.Frame, plane, at int, corners [][2]float64) (some, all bool) {
	w, _, sx, sy := planeSize(f, plane)
	all = true
	const n = 24
	for i := range n * n {
		x := (float64(at%w) + (float64(i%n)+0.5)/n) * sx / float64(f.Width)
		y := (float64(at/w) + (float64(i/n)+0.5)/n) * sy / float64(f.Height)
		if holds(corners, x, y) {
			some = true
		} else {
			all = false
		}
	}
	return some, all
}

// nearSide reports whether one of the polygon's sides passes through a sample's area or touches it.
func nearSide(f *media.Frame, plane, at int, corners [][2]float64) bool {
	w, _, sx, sy := planeSize(f, plane)
	x0, y0 := float64(at%w)*sx, float64(at/w)*sy
	for i, a := range corners {
		b := corners[(i+1)%len(corners)]
		for t := range 1001 {
			u := float64(t) / 1000
			x, y := (a[0]+(b[0]-a[0])*u)*float64(f.Width), (a[1]+(b[1]-a[1])*u)*float64(f.Height)
			if x >= x0-1e-9 && x <= x0+sx+1e-9 && y >= y0-1e-9 && y <= y0+sy+1e-9 {
				return true
			}
		}
	}
	return false
}

// TestPaintRegions compares every sample with the result for many points of its area.
func TestPaintRegions(t *testing.T) {
	head := Head{X: 20, Y: 18, RX: 200, RY: 200} // covers everything
	for name, corners := range polygons {
		for _, format := range []media.PixelFormat{formats[0], formats[1], formats[5]} {
			for _, full := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/full range %v", name, format.Name, full), func(t *testing.T) {
					before := noise(format, 20, 18, 1)
					before.FullRange = full
					always, keep := clone(before), clone(before)
					paintRegion(t, always, Masks{}, Region{Polygon: corners, Action: Mask})
					paintRegion(t, keep, Masks{Heads: []Head{head}}, Region{Polygon: corners, Action: Keep})
					black := [3]int{16, 128, 128}
					if full {
						black[0] = 0
					}
					for i := range format.Planes {
						black[i] <<= format.Depth - 8
						for at := range before.Planes[i].Width * before.Planes[i].Height {
							some, all := share(before, i, at, corners)
							edge := nearSide(before, i, at, corners)
							was := sample(before, i, at)
							if got := sample(always, i, at); some && got != black[i] || !some && !edge && got != was {
								t.Fatalf("plane %d sample %d: mask gave %d, from %d (some %v, edge %v)", i, at, got, was, some, edge)
							}
							if got := sample(keep, i, at); !all && got != black[i] || all && !edge && got != was {
								t.Fatalf("plane %d sample %d: keep gave %d, from %d (all %v, edge %v)", i, at, got, was, all, edge)
							}
						}
					}
				})
			}
		}
	}
}

func paintRegion(t *testing.T, f *media.Frame, masks Masks, regions ...Region) {
	t.Helper()
	p := NewPainter(Options{Regions: regions})
	if err := p.Paint(f, masks); err != nil {
		t.Fatal(err)
	}
}

// TestPaintRegionsOverTime counts the samples that are masked at a time.
func TestPaintRegionsOverTime(t *testing.T) {
	left := [][2]float64{{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}}
	top := [][2]float64{{0, 0}, {1, 0}, {1, 0.5}, {0, 0.5}}
	all := Head{X: 20, Y: 20, RX: 20, RY: 20, Box: true}
	nan := Head{X: float32(math.NaN())}
	tests := map[string]struct {
		regions []Region
		at      time.Duration
		heads   []Head
		want    float64 // of the frame
	}{
		"no region": {want: 0},
		"mask":      {regions: []Region{{Polygon: left, Action: Mask}}, want: 0.5},
		"before its time": {
			regions: []Region{{Polygon: left, Action: Mask, From: time.Second}},
			at:      time.Second - 1, want: 0,
		},
		"from its time": {
			regions: []Region{{Polygon: left, Action: Mask, From: time.Second}},
			at:      time.Second, want: 0.5,
		},
		"up to its end": {
			regions: []Region{{Polygon: left, Action: Mask, To: time.Second}},
			at:      time.Second - 1, want: 0.5,
		},
		"after its time": {
			regions: []Region{{Polygon: left, Action: Mask, To: time.Second}},
			at:      time.Second, want: 0,
		},
		"whole frame in its time": {regions: []Region{{Action: Mask, From: 1, To: 3}}, at: 2, want: 1},
		"whole frame before it":   {regions: []Region{{Action: Mask, From: 1, To: 3}}, at: 0, want: 0},
		"keep nothing masked":     {regions: []Region{{Polygon: left, Action: Keep}}, want: 0},
		"keep half of a mask":     {regions: []Region{{Polygon: left, Action: Keep}}, heads: []Head{all}, want: 0.5},
		"keep after its time": {
			regions: []Region{{Polygon: left, Action: Keep, To: 1}},
			at:      1, heads: []Head{all}, want: 1,
		},
		"mask beats keep": {
			regions: []Region{{Polygon: top, Action: Mask}, {Polygon: left, Action: Keep}},
			heads:   []Head{all}, want: 0.75,
		},
		"frame masked whole ignores keep": {
			regions: []Region{{Polygon: left, Action: Keep}}, heads: []Head{FrameHead(40, 40)}, want: 1},
		"insane head ignores keep": {regions: []Region{{Polygon: left, Action: Keep}}, heads: []Head{nan}, want: 1},
	}
	for name, tt := range tests {
		for _, fill := range []Fill{Solid, Mosaic, Blur} {
			t.Run(name+"/"+string(fill), func(t *testing.T) {
				p := NewPainter(Options{Fill: fill, Regions: tt.regions})
				before := noise(formats[2], 40, 40, 1)
				for i := range 1600 { // so that no mosaic cell has the value of a sample
					setSample(before, 0, i, 60+150*(i%2))
				}
				after := clone(before)
				if err := p.Paint(after, Masks{At: tt.at, Heads: tt.heads}); err != nil {
					t.Fatal(err)
				}
				changed := 0
				for at := range 1600 {
					if sample(after, 0, at) != sample(before, 0, at) {
						changed++
					}
				}
				if got := float64(changed) / 1600; math.Abs(got-tt.want) > 1e-9 {
					t.Errorf("%v of the frame is masked, want %v", got, tt.want)
				}
			})
		}
	}
}

func TestPaintMaxSize(t *testing.T) {
	for _, tt := range []struct {
		name          string
		most          float64
		head          Head
		width, height float32
	}{
		{"off", 0, Head{RX: 30, RY: 40}, 60, 80},
		{"smaller", 0.9, Head{RX: 30, RY: 40}, 60, 80},
		{"higher", 0.7, Head{RX: 30, RY: 40}, 60, 70},
		{"both", 0.5, Head{RX: 30, RY: 40}, 50, 50},
		{"box", 0.5, Head{RX: 30, RY: 20, Box: true}, 50, 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPainter(Options{MaxSize: tt.most})
			f := noise(formats[4], 200, 100, 1)
			tt.head.X, tt.head.Y = 100, 50
			if err := p.Paint(f, Masks{Heads: []Head{tt.head}}); err != nil {
				t.Fatal(err)
			}
			count := func(step, n, from int) (size float32) {
				for i := range n {
					if sample(f, 0, from+i*step) == 16 {
						size++
					}
				}
				return size
			}
			if w, h := count(1, 200, 50*200), count(200, 100, 100); w != tt.width || h != tt.height {
				t.Errorf("the mask is %vx%v, want %vx%v", w, h, tt.width, tt.height)
			}
		})
	}
	p := NewPainter(Options{MaxSize: 0.1})
	f := noise(formats[4], 40, 40, 1)
	if err := p.Paint(f, Masks{Heads: []Head{FrameHead(40, 40)}}); err != nil {
		t.Fatal(err)
	}
	for at := range 1600 {
		if sample(f, 0, at) != 16 {
			t.Fatal("a whole frame is bounded")
		}
	}
}

func TestRegionValidate(t *testing.T) {
	square := [][2]float64{{0, 0}, {1, 0}, {1, 1}}
	for name, tt := range map[string]struct {
		region Region
		want   []string
	}{
		"valid":              {Region{Polygon: square, Action: Keep, From: 1, To: 2}, nil},
		"valid, whole frame": {Region{Action: Mask}, nil},
		"no action":          {Region{Polygon: square}, []string{"action: \"\""}},
		"keep all":           {Region{Action: Keep}, []string{"polygon: is required with action keep"}},
		"two corners":        {Region{Polygon: square[:2], Action: Mask}, []string{"polygon: has 2 corners"}},
		"outside": {
			Region{Polygon: [][2]float64{{0, 0}, {1.1, 0}, {1, 1}}, Action: Mask},
			[]string{"polygon: corner 2"},
		},
		"not a number": {
			Region{Polygon: [][2]float64{{0, 0}, {1, math.NaN()}, {1, 1}}, Action: Mask},
			[]string{"polygon: corner 2"},
		},
		"line": {
			Region{Polygon: [][2]float64{{0, 0}, {0.5, 0.5}, {1, 1}}, Action: Mask},
			[]string{"polygon: its corners lie on one line"},
		},
		"point": {
			Region{Polygon: [][2]float64{{0.5, 0.5}, {0.5, 0.5}, {0.5, 0.5}}, Action: Mask},
			[]string{"polygon: its corners lie on one line"},
		},
		"all wrong": {
			Region{Polygon: square[:1], Action: "blur", From: -1, To: -1},
			[]string{"action", "polygon", "from", "to"},
		},
		"empty time": {Region{Action: Mask, From: 2, To: 2}, []string{"to: 2ns is not after from, 2ns"}},
	} {
		t.Run(name, func(t *testing.T) {
			errs := tt.region.Validate()
			if len(errs) != len(tt.want) {
				t.Fatalf("got %v", errs)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(errs[i].Error(), want) {
					t.Errorf("%q is not the beginning of %q", want, errs[i])
				}
			}
		})
	}
}

// FuzzRegion looks for polygons that are painted differently from the result for many points of each sample.
func FuzzRegion(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(0))
	f.Add(uint64(2), uint8(9), uint8(3))
	f.Fuzz(func(t *testing.T, seed uint64, n, format uint8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		corners := make([][2]float64, 3+n%8)
		for i := range corners {
			// Put some on the grid, where sides of polygons and edges of samples coincide.
			corners[i] = [2]float64{float64(rng.IntN(9)) / 8, float64(rng.IntN(9)) / 8}
			if rng.IntN(2) == 0 {
				corners[i] = [2]float64{rng.Float64(), rng.Float64()}
			}
		}
		region := Region{Polygon: corners, Action: Mask}
		if errs := region.Validate(); len(errs) > 0 {
			t.Skip()
		}
		before := noise(formats[int(format)%len(formats)], 16, 12, 1)
		after := clone(before)
		paintRegion(t, after, Masks{}, region)
		for at := range 16 * 12 {
			if some, _ := share(before, 0, at, corners); some && sample(after, 0, at) != 16<<(before.Format.Depth-8) {
				t.Fatalf("sample %d of %v is not masked", at, corners)
			}
		}
	})
}

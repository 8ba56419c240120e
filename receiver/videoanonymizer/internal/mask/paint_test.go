// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

var formats = []media.PixelFormat{
	{Name: "yuv420p", Depth: 8, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3},
	{Name: "yuv422p", Depth: 8, ChromaShiftX: 1, Planes: 3},
	{Name: "yuv444p", Depth: 8, Planes: 3},
	{Name: "yuv410p", Depth: 8, ChromaShiftX: 2, ChromaShiftY: 2, Planes: 3},
	{Name: "gray", Depth: 8, Planes: 1},
	{Name: "yuv420p10le", Depth: 10, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3},
	{Name: "yuv422p12le", Depth: 12, ChromaShiftX: 1, Planes: 3},
	{Name: "yuv444p16le", Depth: 16, Planes: 3},
	{Name: "gray10le", Depth: 10, Planes: 1},
}

// noise returns a frame of random samples.
func noise(format media.PixelFormat, width, height int, seed uint64) *media.Frame {
	f := &media.Frame{Width: width, Height: height, Format: format}
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range format.AllPlanes() {
		p := media.Plane{Width: width, Height: height}
		if format.IsChroma(i) {
			p.Width = (width + 1<<format.ChromaShiftX - 1) >> format.ChromaShiftX
			p.Height = (height + 1<<format.ChromaShiftY - 1) >> format.ChromaShiftY
		}
		p.Data = make([]byte, p.Width*p.Height*format.BytesPerSample())
		f.Planes[i] = p
		for j := range p.Width * p.Height {
			// Avoid the ends of the range, which masks use.
			setSample(f, i, j, 1+rng.IntN(9))
		}
	}
	return f
}

func clone(f *media.Frame) *media.Frame {
	g := &media.Frame{Width: f.Width, Height: f.Height, Format: f.Format, FullRange: f.FullRange, Planes: f.Planes}
	for i := range g.Planes {
		g.Planes[i].Data = bytes.Clone(g.Planes[i].Data)
	}
	return g
}

func sample(f *media.Frame, plane, at int) int {
	d := f.Planes[plane].Data
	if f.Format.BytesPerSample() == 1 {
		return int(d[at])
	}
	return int(d[2*at]) | int(d[2*at+1])<<8
}

func setSample(f *media.Frame, plane, at, value int) {
	d := f.Planes[plane].Data
	if f.Format.BytesPerSample() == 1 {
		d[at] = byte(value)
		return
	}
	d[2*at], d[2*at+1] = byte(value), byte(value>>8)
}

// nearest returns the distance from the center, 1 on the ellipse's edge, of the nearest point of a rectangle: the
// minimum of a convex quadratic form over it.
func nearest(h Head, x0, y0, x1, y1 float64) float64 {
	if float64(h.X) >= x0 && float64(h.X) <= x1 && float64(h.Y) >= y0 && float64(h.Y) <= y1 {
		return 0
	}
	edge := func(ax, ay, bx, by float64) float64 {
		// Along the edge the square of the norm is a parabola; three points give its minimum.
		square := func(t float64) float64 { n := h.norm(ax+(bx-ax)*t, ay+(by-ay)*t); return n * n }
		start, middle, end := square(0), square(0.5), square(1)
		a := 2 * (start + end - 2*middle)
		t := (start - end + a) / (2 * a)
		return math.Sqrt(square(max(0, min(1, t))))
	}
	return min(edge(x0, y0, x1, y0), edge(x0, y1, x1, y1), edge(x0, y0, x0, y1), edge(x1, y0, x1, y1))
}

// inside returns a value below 1 if a sample's square touches the mask of a head.
func inside(opts Options, h Head, x0, y0, x1, y1 float64) float64 {
	scale := float32(opts.Scale)
	if scale == 0 {
		scale = 1
	}
	h.RX, h.RY = h.RX*scale, h.RY*scale
	if opts.Shape == Box || h.Box {
		b := h.Bounds()
		dx := math.Max(x0-float64(b.X1), float64(b.X0)-x1)
		dy := math.Max(y0-float64(b.Y1), float64(b.Y0)-y1)
		return 1 + math.Max(dx, dy)
	}
	if opts.Shape == Circle {
		h.RX = max(h.RX, h.RY)
		h.RY = h.RX
	}
	return nearest(h, x0, y0, x1, y1)
}

// checkPainted compares every sample with what it should be.
func checkPainted(t *testing.T, opts Options, before, after *media.Frame, heads []Head, want [3]int) {
	t.Helper()
	for i := range before.Format.Planes {
		w, h, sx, sy := planeSize(before, i)
		covered := 0
		for at := range w * h {
			x, y := float64(at%w), float64(at/w)
			in := math.Inf(1)
			for _, head := range heads {
				in = min(in, inside(opts, head, x*sx, y*sy, (x+1)*sx, (y+1)*sy))
			}
			got := sample(after, i, at)
			switch {
			case math.Abs(in-1) < 1e-4: // on the edge either is right
			case in < 1:
				covered++
				if got != want[i] {
					t.Fatalf("plane %d (%v, %v) is %d, want it covered with %d", i, x, y, got, want[i])
				}
			case got != sample(before, i, at):
				t.Fatalf("plane %d (%v, %v) outside the mask was changed", i, x, y)
			}
		}
		if covered == 0 {
			t.Fatalf("plane %d: nothing was covered", i)
		}
	}
}

func TestPaintSolid(t *testing.T) {
	heads := map[string][]Head{
		"upright":  {{X: 30.3, Y: 25.8, RX: 11.2, RY: 15.7}},
		"tilted":   {{X: 33, Y: 24.5, RX: 8, RY: 21, Angle: 0.7}},
		"lying":    {{X: 31, Y: 20, RX: 9, RY: 15, Angle: -math.Pi / 2}},
		"edges":    {{X: -2, Y: 20, RX: 9, RY: 12}, {X: 60, Y: 47, RX: 12, RY: 12, Angle: 0.3}},
		"tiny":     {{X: 20.2, Y: 20.2, RX: 0.1, RY: 0.1}},
		"boxed":    {{X: 20.2, Y: 20.2, RX: 7, RY: 4, Box: true}},
		"two":      {{X: 20, Y: 20, RX: 8, RY: 10}, {X: 28, Y: 22, RX: 8, RY: 10}},
		"over all": {{X: 30, Y: 20, RX: 900, RY: 900}},
	}
	for name, heads := range heads {
		for _, format := range formats {
			for _, shape := range []Shape{Ellipse, Circle, Box} {
				opts := Options{Shape: shape, Scale: 1.1}
				t.Run(fmt.Sprintf("%s/%s/%s", name, format.Name, shape), func(t *testing.T) {
					p := NewPainter(opts)
					before := noise(format, 63, 49, 1)
					after := clone(before)
					if err := p.Paint(after, Masks{Heads: heads}); err != nil {
						t.Fatal(err)
					}
					shift := format.Depth - 8
					checkPainted(t, opts, before, after, heads, [3]int{16 << shift, 128 << shift, 128 << shift})
				})
			}
		}
	}
}

func TestPaintColors(t *testing.T) {
	black, white, red := RGB{}, RGB{255, 255, 255}, RGB{R: 255}
	tests := []struct {
		color  RGB
		height int
		depth  int
		full   bool
		want   [3]int
	}{
		{black, 480, 8, false, [3]int{16, 128, 128}},
		{black, 480, 8, true, [3]int{0, 128, 128}},
		{black, 1080, 10, false, [3]int{64, 512, 512}},
		{black, 1080, 10, true, [3]int{0, 512, 512}},
		{white, 1080, 8, false, [3]int{235, 128, 128}},
		{white, 1080, 8, true, [3]int{255, 128, 128}},
		{white, 1080, 10, false, [3]int{940, 512, 512}},
		{white, 1080, 16, true, [3]int{65535, 32768, 32768}},
		{red, 480, 8, false, [3]int{81, 90, 240}},
		{red, 1080, 8, false, [3]int{63, 102, 240}},
		{red, 480, 8, true, [3]int{76, 85, 255}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%v/%d/%d/%v", tt.color, tt.height, tt.depth, tt.full), func(t *testing.T) {
			p := NewPainter(Options{Color: tt.color, Fill: Mosaic})
			f := noise(media.PixelFormat{Depth: tt.depth, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3}, 7, tt.height, 1)
			f.FullRange = tt.full
			if err := p.PaintWhole(f); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				for at := range f.Planes[i].Width * f.Planes[i].Height {
					if got := sample(f, i, at); got != tt.want[i] {
						t.Fatalf("plane %d sample %d is %d, want %d", i, at, got, tt.want[i])
					}
				}
			}
		})
	}
}

// TestMosaicAndBlurShowOnlyMeans checks that nothing of a head but the means of its cells reaches the output: shuffling
// the samples within the cells, which changes the image completely, does not change the output.
func TestMosaicAndBlurShowOnlyMeans(t *testing.T) {
	for _, fill := range []Fill{Mosaic, Blur} {
		for _, format := range formats {
			t.Run(fmt.Sprintf("%s/%s", fill, format.Name), func(t *testing.T) {
				p := NewPainter(Options{Fill: fill})
				// 128x128 pixels have cells of 32, which are whole samples of every plane.
				head := Head{X: 96, Y: 96, RX: 64, RY: 64}
				a := noise(format, 200, 200, 1)
				before := clone(a)
				b := clone(a)
				rng := rand.New(rand.NewPCG(2, 2))
				for i := range format.Planes {
					w, _, sx, sy := planeSize(a, i)
					cw, ch := int(32/sx), int(32/sy)
					for cell := range 16 {
						x0, y0 := (1+cell%4)*cw, (1+cell/4)*ch
						at := func(n int) int { return (y0+n/cw)*w + x0 + n%cw }
						rng.Shuffle(cw*ch, func(m, n int) {
							u, v := sample(b, i, at(m)), sample(b, i, at(n))
							setSample(b, i, at(m), v)
							setSample(b, i, at(n), u)
						})
					}
				}
				if bytes.Equal(a.Planes[0].Data, b.Planes[0].Data) {
					t.Fatal("the images are the same before")
				}
				for _, f := range []*media.Frame{a, b} {
					if err := p.Paint(f, Masks{Heads: []Head{head}}); err != nil {
						t.Fatal(err)
					}
				}
				for i := range format.Planes {
					w, h, sx, sy := planeSize(a, i)
					values := map[int]bool{}
					for at := range w * h {
						x, y := float64(at%w), float64(at/w)
						switch in := inside(Options{}, head, x*sx, y*sy, (x+1)*sx, (y+1)*sy); {
						case math.Abs(in-1) < 1e-4:
						case in > 1 && sample(a, i, at) != sample(before, i, at):
							t.Fatalf("plane %d (%v, %v) outside the mask was changed", i, x, y)
						case in < 1 && sample(a, i, at) != sample(b, i, at):
							t.Fatalf("plane %d (%v, %v) shows more than its cell's mean", i, x, y)
						case in < 1:
							values[sample(a, i, at)] = true
						}
					}
					if fill == Mosaic && len(values) > 16 {
						t.Fatalf("plane %d shows %d values in 16 cells", i, len(values))
					}
				}
			})
		}
	}
}

func TestMosaicCellsAtFrameEdge(t *testing.T) {
	f := noise(formats[0], 200, 200, 1)
	p := NewPainter(Options{Fill: Mosaic})
	o := p.outline(Head{X: 0, Y: 100, RX: 80, RY: 80}, f)
	if columns, rows := cells(o.extent(), o.area(f, 0)); columns != 2 || rows != 4 {
		t.Fatalf("got %dx%d cells, want 2x4", columns, rows)
	}
	o = p.outline(Head{X: 100, Y: 100, RX: 7, RY: 9}, f)
	if columns, rows := cells(o.extent(), o.area(f, 0)); columns != 1 || rows != 2 {
		t.Fatalf("got %dx%d cells for a small head, want 1x2", columns, rows)
	}
}

func TestPaintInsaneHeadMasksWholeFrame(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, h := range map[string]Head{
		"nan x":       {X: nan, Y: 1, RX: 1, RY: 1},
		"nan angle":   {X: 1, Y: 1, RX: 1, RY: 1, Angle: nan},
		"infinite":    {X: 1, Y: inf, RX: 1, RY: 1},
		"wide":        {X: 1, Y: 1, RX: inf, RY: 1},
		"far":         {X: 3e38, Y: 1, RX: 1, RY: 1},
		"no size":     {X: 1, Y: 1},
		"negative":    {X: 1, Y: 1, RX: 3, RY: -3},
		"whole frame": {X: 1, Y: 1, RX: 3, RY: 3, Origin: OriginFrame},
	} {
		for _, fill := range []Fill{Solid, Mosaic, Blur} {
			t.Run(name+"/"+string(fill), func(t *testing.T) {
				p := NewPainter(Options{Fill: fill})
				f := noise(formats[0], 40, 30, 1)
				if err := p.Paint(f, Masks{Heads: []Head{{X: 10, Y: 10, RX: 5, RY: 5}, h}}); err != nil {
					t.Fatal(err)
				}
				for i, want := range []byte{16, 128, 128} {
					if n := bytes.Count(f.Planes[i].Data, []byte{want}); n != len(f.Planes[i].Data) {
						t.Fatalf("plane %d: %d of %d samples are masked", i, n, len(f.Planes[i].Data))
					}
				}
			})
		}
	}
}

// TestPaintAlpha checks that nothing behind the video shows through a mask, and that alpha is unchanged elsewhere.
func TestPaintAlpha(t *testing.T) {
	head := Head{X: 40, Y: 30, RX: 20, RY: 13, Angle: 0.4}
	corner := [][2]float64{{0.5, 0.5}, {1, 0.5}, {1, 1}, {0.5, 1}}
	for _, format := range []media.PixelFormat{
		{Name: "yuva420p", Depth: 8, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3, Alpha: true},
		{Name: "yuva422p10le", Depth: 10, ChromaShiftX: 1, Planes: 3, Alpha: true},
		{Name: "yuva444p", Depth: 8, Planes: 3, Alpha: true},
	} {
		for _, fill := range []Fill{Solid, Mosaic, Blur} {
			for name, tt := range map[string]struct {
				regions []Region
				heads   []Head
				opaque  func(x, y float64) bool // nil means where the head's mask touches it
			}{
				"head": {heads: []Head{head}},
				"region to mask": {
					regions: []Region{{Polygon: corner, Action: Mask}},
					opaque:  func(x, y float64) bool { return x >= 40 && y >= 30 },
				},
				"region to keep": {
					regions: []Region{{Polygon: corner, Action: Keep}}, heads: []Head{{X: 40, Y: 30, RX: 60, RY: 60, Box: true}},
					opaque: func(x, y float64) bool { return x < 40 || y < 30 },
				},
				"whole frame": {
					heads:  []Head{{X: 1, Y: 1, RX: 3, RY: 3, Origin: OriginFrame}},
					opaque: func(float64, float64) bool { return true },
				},
			} {
				t.Run(fmt.Sprintf("%s/%s/%s", format.Name, fill, name), func(t *testing.T) {
					p := NewPainter(Options{Fill: fill, Regions: tt.regions})
					before := noise(format, 80, 60, 1)
					after, without := clone(before), clone(before)
					without.Format.Alpha = false
					for _, f := range []*media.Frame{after, without} {
						if err := p.Paint(f, Masks{Heads: tt.heads}); err != nil {
							t.Fatal(err)
						}
					}
					masked := 0
					for at := range 80 * 60 {
						x, y := float64(at%80), float64(at/80)
						var opaque bool
						if tt.opaque != nil {
							opaque = tt.opaque(x, y)
						} else if in := inside(Options{}, head, x, y, x+1, y+1); math.Abs(in-1) < 1e-4 {
							continue
						} else {
							opaque = in < 1
						}
						want := sample(before, 3, at)
						if opaque {
							want = 1<<format.Depth - 1
							masked++
						}
						if got := sample(after, 3, at); got != want {
							t.Fatalf("alpha at %v, %v is %d, want %d (opaque %v)", x, y, got, want, opaque)
						}
					}
					if masked == 0 {
						t.Fatal("nothing is masked")
					}
					for i := range format.Planes {
						if !bytes.Equal(after.Planes[i].Data, without.Planes[i].Data) {
							t.Fatalf("plane %d differs from that of a frame without alpha", i)
						}
					}
				})
			}
		}
	}
}

func TestPaintMalformedFrame(t *testing.T) {
	p := NewPainter(Options{})
	for name, damage := range map[string]func(*media.Frame){
		"short plane":  func(f *media.Frame) { f.Planes[1].Data = f.Planes[1].Data[:10] },
		"wrong size":   func(f *media.Frame) { f.Planes[2].Width++ },
		"no planes":    func(f *media.Frame) { f.Format.Planes = 0 },
		"four planes":  func(f *media.Frame) { f.Format.Planes = 4 },
		"no alpha":     func(f *media.Frame) { f.Format.Alpha = true },
		"gray alpha":   func(f *media.Frame) { f.Format.Planes, f.Format.Alpha = 1, true },
		"32 bits":      func(f *media.Frame) { f.Format.Depth = 32 },
		"empty":        func(f *media.Frame) { f.Width, f.Height, f.Planes = 0, 0, [4]media.Plane{} },
		"large shift":  func(f *media.Frame) { f.Format.ChromaShiftX = 90 },
		"wrong height": func(f *media.Frame) { f.Height = -3 },
	} {
		t.Run(name, func(t *testing.T) {
			f := noise(formats[0], 40, 30, 1)
			damage(f)
			if err := p.Paint(f, Masks{Heads: []Head{{X: 10, Y: 10, RX: 5, RY: 5}}}); err == nil {
				t.Error("Paint accepts it")
			}
			if err := p.PaintWhole(f); err == nil {
				t.Error("PaintWhole accepts it")
			}
		})
	}
}

func FuzzPaint(f *testing.F) {
	f.Add(uint8(0), uint8(0), uint8(0), uint16(40), uint16(30),
		float32(10), float32(10), float32(5), float32(6), float32(0.2), 1.0, false)
	f.Add(uint8(5), uint8(1), uint8(1), uint16(41), uint16(1),
		float32(-1e5), float32(10), float32(1e6), float32(1e-9), float32(1e6), 10.0, true)
	f.Add(uint8(7), uint8(2), uint8(2), uint16(1), uint16(1),
		float32(math.NaN()), float32(math.Inf(1)), float32(1), float32(0), float32(9), 0.5, false)
	f.Fuzz(func(
		t *testing.T, format, shape, fill uint8, w, h uint16, x, y, rx, ry, angle float32, scale float64, box bool,
	) {
		opts := Options{
			Shape: []Shape{Ellipse, Circle, Box}[shape%3],
			Fill:  []Fill{Solid, Mosaic, Blur}[fill%3],
			Scale: scale,
		}
		if scale != 0 && !(scale >= 0.5 && scale <= 10) {
			t.Skip()
		}
		p := NewPainter(opts)
		before := noise(formats[int(format)%len(formats)], 1+int(w)%80, 1+int(h)%80, 1)
		after := clone(before)
		head := Head{X: x, Y: y, RX: rx, RY: ry, Angle: angle, Box: box}
		if err := p.Paint(after, Masks{Heads: []Head{head, {X: 1, Y: 1, RX: 2, RY: 2}}}); err != nil {
			t.Fatal(err)
		}
		// The head's center, if it is in the frame, is always covered.
		col, row := int(math.Floor(float64(x))), int(math.Floor(float64(y)))
		if head.Sane() && col >= 0 && row >= 0 && col < before.Width && row < before.Height && opts.Fill == Solid {
			if got, want := sample(after, 0, row*before.Width+col), 16<<(before.Format.Depth-8); got != want {
				t.Fatalf("the center of %+v is %d, not covered", head, got)
			}
		}
	})
}

// BenchmarkPaint compares painting masks on a 1080p frame with copying the frame once, the minimum cost of any stage
// that does not work in place.
func BenchmarkPaint(b *testing.B) {
	frame := noise(formats[0], 1920, 1080, 1)
	heads := []Head{
		{X: 400, Y: 300, RX: 104, RY: 132, Angle: 0.1},
		{X: 900, Y: 500, RX: 65, RY: 83, Angle: -0.2},
		{X: 1500, Y: 420, RX: 26, RY: 33},
	}
	b.Run("copy", func(b *testing.B) {
		other := clone(frame)
		for b.Loop() {
			for i := range frame.Planes {
				copy(other.Planes[i].Data, frame.Planes[i].Data)
			}
		}
	})
	for _, fill := range []Fill{Solid, Mosaic, Blur} {
		b.Run(string(fill), func(b *testing.B) {
			p := NewPainter(Options{Fill: fill})
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Paint(frame, Masks{Heads: heads}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	star := [][2]float64{{0.3, 0.05}, {0.4, 0.9}, {0.08, 0.35}, {0.5, 0.37}, {0.2, 0.88}}
	for _, action := range []Action{Mask, Keep} {
		b.Run("region to "+string(action), func(b *testing.B) {
			p := NewPainter(Options{Regions: []Region{{Polygon: star, Action: action}}})
			for b.Loop() {
				if err := p.Paint(frame, Masks{Heads: heads}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("body", func(b *testing.B) {
		p := NewPainter(Options{})
		_, body := bodyOf(standing())
		masks := Masks{Bodies: []Body{*body}}
		masks.Before, masks.After = &masks, &masks
		for b.Loop() {
			if err := p.Paint(frame, masks); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("whole", func(b *testing.B) {
		p := NewPainter(Options{})
		for b.Loop() {
			if err := p.PaintWhole(frame); err != nil {
				b.Fatal(err)
			}
		}
	})
}

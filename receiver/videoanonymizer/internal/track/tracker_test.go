// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	width, height = 1920, 1080
	fps           = 30
)

// actor is a person in a scenario: where the head is in each frame, and whether the detector sees the person.
type actor struct {
	head func(frame int) (x, y float64)
	size float64 // hair to chin
	// present is the range of frames with the person, the second number excluded; the zero value means all. seen reports
	// whether the detector sees the person in a frame; nil means always.
	present [2]int
	seen    func(frame int) bool
}

func walk(x, y, vx, vy float64) func(int) (float64, float64) {
	return func(i int) (float64, float64) {
		return x + vx*float64(i)/fps, y + vy*float64(i)/fps
	}
}

// person returns what a detector and a pose estimator find of a standing person whose head is at (x, y).
func person(x, y, size float64, rng *rand.Rand) vision.Person {
	cm := size / 25
	noise := func() float32 { return float32(rng.NormFloat64() * cm) }
	p := vision.Person{Detection: vision.Detection{Score: 0.8, Box: vision.Box{
		X0: float32(x-25*cm) + noise(), Y0: float32(y-12.5*cm) + noise(),
		X1: float32(x+25*cm) + noise(), Y1: float32(y+160*cm) + noise(),
	}}}
	p.Pose = &vision.Pose{}
	for k, at := range map[int][2]float64{
		vision.Nose: {0, 4}, vision.LeftEye: {3, 1}, vision.RightEye: {-3, 1},
		vision.LeftEar: {7, 2}, vision.RightEar: {-7, 2},
		vision.LeftShoulder: {18, 22}, vision.RightShoulder: {-18, 22}, vision.LeftHip: {13, 72}, vision.RightHip: {-13, 72},
	} {
		p.Pose[k] = vision.Keypoint{X: float32(x + at[0]*cm), Y: float32(y + at[1]*cm), Score: 0.7}
	}
	for k := range p.Pose { // in order, so that the noise is the same every time
		p.Pose[k].X += noise()
		p.Pose[k].Y += noise()
	}
	return p
}

// covered returns the share of a head's visible part, an ellipse three quarters as wide as high, that the heads cover.
func covered(x, y, size float64, heads []mask.Head) float64 {
	const n = 24
	all, in := 0, 0
	var near []mask.Head
	for _, h := range heads {
		around := vision.Box{X0: float32(x - size), Y0: float32(y - size), X1: float32(x + size), Y1: float32(y + size)}
		if h.Bounds().Overlaps(around) {
			near = append(near, h)
		}
	}
	for i := range n {
		for j := range n {
			u, v := (float64(i)+0.5)/n*2-1, (float64(j)+0.5)/n*2-1
			px, py := x+u*size*0.375, y+v*size/2
			if u*u+v*v > 1 || px < 0 || py < 0 || px > width || py > height {
				continue
			}
			all++
			if mask.Contained(float32(px), float32(py), near) {
				in++
			}
		}
	}
	if all == 0 {
		return 1
	}
	return float64(in) / float64(all)
}

type scenario struct {
	frames int
	every  int // interval of analyzed frames; 0 means 3
	actors []actor
	cuts   []int
	failed func(frame int) bool
	opts   Options
	// whole reports which frames are masked whole; nil means none.
	whole func(frame int) bool
	// check makes further checks of the results.
	check func(t *testing.T, results []Result)
}

func (s scenario) observe(i int, rng *rand.Rand) Observation {
	every := s.every
	if every == 0 {
		every = 3
	}
	o := Observation{
		Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%every == 0, Width: width, Height: height,
	}
	for _, c := range s.cuts {
		if c == i {
			o.Cut, o.Analyzed = true, true
		}
	}
	if s.failed != nil && s.failed(i) && o.Analyzed {
		o.Failed = true
		return o
	}
	if o.Analyzed {
		for _, a := range s.actors {
			if a.in(i) && (a.seen == nil || a.seen(i)) {
				x, y := a.head(i)
				o.People = append(o.People, person(x, y, a.size, rng))
			}
		}
	}
	return o
}

func (a actor) in(frame int) bool {
	return a.present == [2]int{} || frame >= a.present[0] && frame < a.present[1]
}

func (s scenario) run(seed uint64) []Result {
	tracker, rng := New(s.opts), rand.New(rand.NewPCG(seed, 1))
	var out []Result
	for i := range s.frames {
		out = append(out, tracker.Push(s.observe(i, rng))...)
	}
	return append(out, tracker.Flush()...)
}

func people(n int, size float64) []actor {
	var out []actor
	for i := range n {
		out = append(out, actor{head: walk(60+float64(i%20)*95, 60+float64(i/20)*100, 20*float64(i%5-2), 10), size: size})
	}
	return out
}

var stroller = []actor{{head: walk(400, 400, 30, 0), size: 80}}

var scenarios = map[string]scenario{
	"walking":     {frames: 90, actors: []actor{{head: walk(300, 300, 200, 20), size: 60}}, check: count(1)},
	"every 10th":  {frames: 90, every: 10, actors: []actor{{head: walk(300, 300, 200, 20), size: 60}}, check: count(1)},
	"every frame": {frames: 60, every: 1, actors: []actor{{head: walk(300, 300, 200, 20), size: 60}}, check: count(1)},
	"far":         {frames: 60, actors: []actor{{head: walk(300, 300, 20, 2), size: 15}}},
	"crossing": {frames: 120, actors: []actor{
		{head: walk(400, 300, 250, 0), size: 60},
		{head: walk(1400, 310, -250, 0), size: 55, seen: func(i int) bool { return i < 54 || i > 66 }},
	}, check: count(2)},
	"crossing close, equal": {frames: 120, actors: []actor{
		{head: walk(400, 300, 250, 0), size: 60}, {head: walk(1400, 300, -250, 0), size: 60},
	}, check: count(2)},
	"behind a pillar": {frames: 120, actors: []actor{
		{head: walk(300, 300, 180, 10), size: 60, seen: func(i int) bool { return i < 40 || i > 62 }},
	}, check: count(1)},
	"walks in": {frames: 90, actors: []actor{
		{head: walk(-300, 300, 300, 0), size: 60, seen: func(i int) bool { return i > 36 }},
	}},
	"walks out": {frames: 90, actors: []actor{
		{head: walk(1500, 300, 300, 0), size: 60, seen: func(i int) bool { return i < 36 }},
	}},
	"appears late": {frames: 90, actors: []actor{
		{head: walk(900, 400, 15, 0), size: 80, seen: func(i int) bool { return i >= 29 }},
	}},
	"lost permanently": {frames: 60, actors: []actor{
		{head: walk(900, 400, 15, 0), size: 80, seen: func(i int) bool { return i <= 30 }},
	}},
	"seen once": {frames: 61, actors: []actor{
		{head: walk(900, 400, 10, 0), size: 80, seen: func(i int) bool { return i == 30 }},
	}},
	"running close": {frames: 45, actors: []actor{{head: walk(-200, 500, 1500, 0), size: 160}}},
	"running, far":  {frames: 60, actors: []actor{{head: walk(100, 500, 500, 0), size: 40}}},
	"jumping up": {frames: 60, actors: []actor{
		{head: func(i int) (float64, float64) { return 600, 500 + 60*math.Sin(float64(i)*0.35) }, size: 80},
	}},
	"every other missed": {frames: 120, actors: []actor{
		{head: walk(300, 300, 250, 30), size: 60, seen: func(i int) bool { return i%6 == 0 }},
	}},
	"mostly missed": {frames: 150, actors: []actor{
		{head: walk(300, 300, 100, 0), size: 60, seen: func(i int) bool { return i%24 == 0 }},
	}},
	"cut": {
		frames: 60, cuts: []int{31},
		actors: []actor{
			{head: walk(400, 400, 60, 0), size: 80, present: [2]int{0, 31}},
			{head: walk(1400, 600, 60, 0), size: 100, present: [2]int{31, 60}},
		},
		check: func(t *testing.T, results []Result) {
			for i, r := range results {
				if i > 31 && mask.Contained(460, 400, r.Heads) {
					t.Errorf("frame %d masks the previous scene", i)
				}
				if i < 30 && mask.Contained(1460, 600, r.Heads) {
					t.Errorf("frame %d masks the next scene", i)
				}
			}
			if !mask.Contained(460, 400, results[31].Heads) || !mask.Contained(1462, 600, results[30].Heads) {
				t.Error("the frames next to the cut, which may be blends, do not show the masks of both scenes")
			}
		},
	},
	"200 people": {frames: 40, actors: people(200, 40), check: count(200)},
	"nobody": {frames: 60, check: func(t *testing.T, results []Result) {
		for i, r := range results {
			if len(r.Heads) > 0 || r.People != 0 {
				t.Errorf("frame %d has %d heads of %d people", i, len(r.Heads), r.People)
			}
		}
	}},
	"one frame":    {frames: 1, actors: []actor{{head: walk(400, 400, 0, 0), size: 80}}, check: count(1)},
	"no frame":     {},
	"two frames":   {frames: 2, actors: []actor{{head: walk(400, 400, 0, 0), size: 80}}, check: count(1)},
	"small window": {frames: 60, opts: Options{MaxFrames: 2}, actors: stroller},
	"failed once": {
		frames: 60, actors: stroller,
		failed: func(i int) bool { return i == 30 }, whole: func(i int) bool { return i > 27 && i < 33 },
	},
	"failed always": {frames: 60, failed: func(int) bool { return true }, whole: func(int) bool { return true }},
	"failed twice": {
		frames: 40, every: 1, actors: stroller,
		failed: func(i int) bool { return i == 10 || i == 12 }, whole: func(i int) bool { return i > 9 && i < 13 },
	},
	"failed at the end": {
		frames: 60, failed: func(i int) bool { return i == 57 }, whole: func(i int) bool { return i > 54 },
	},
	"never analyzed": {
		frames: 60, every: 1000, failed: func(i int) bool { return i == 0 }, whole: func(int) bool { return true },
	},
	"analyzed too rarely": {frames: 100, every: 99, whole: func(i int) bool { return i > 30 && i < 69 }},
}

// count checks the number of people in every frame.
func count(n int) func(*testing.T, []Result) {
	return func(t *testing.T, results []Result) {
		for i, r := range results {
			if r.People != n {
				t.Errorf("frame %d has %d people, want %d", i, r.People, n)
			}
		}
	}
}

func TestTrackerScenarios(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			results := s.run(1)
			if len(results) != s.frames {
				t.Fatalf("%d results for %d frames", len(results), s.frames)
			}
			for i, r := range results {
				if r.Index != i {
					t.Fatalf("result %d is of frame %d", i, r.Index)
				}
				if want := s.whole != nil && s.whole(i); r.WholeFrame != want {
					t.Errorf("frame %d is masked whole: %v, want %v", i, r.WholeFrame, want)
				}
				for j, a := range s.actors {
					if !a.in(i) {
						continue
					}
					x, y := a.head(i)
					if c := covered(x, y, a.size, r.Heads); c < 0.9 {
						t.Errorf("frame %d: %.2f of head %d at %.0f, %.0f is covered", i, c, j, x, y)
					}
				}
			}
			noBlink(t, results, same)
			noTear(t, results)
			if s.check != nil {
				s.check(t, results)
			}
			if again := s.run(1); !reflect.DeepEqual(results, again) {
				t.Error("a second run differs")
			}
		})
	}
}

// noBlink checks that a mask that is in the frames before and after a frame is in that frame, too: a mask there covers
// the middle between the two, or is the same as both.
func noBlink(t *testing.T, results []Result, same func(a, b mask.Head) bool) {
	t.Helper()
	for i := 1; i+1 < len(results); i++ {
		if results[i-1].WholeFrame && results[i+1].WholeFrame && !results[i].WholeFrame {
			t.Fatalf("frame %d: the mask of the whole frame blinks", i)
		}
		if results[i].WholeFrame {
			continue
		}
		for _, a := range results[i-1].Heads {
			for _, b := range results[i+1].Heads {
				if results[i-1].WholeFrame || results[i+1].WholeFrame || !(a.Contains(b.X, b.Y) && b.Contains(a.X, a.Y)) {
					continue
				}
				present := mask.Contained((a.X+b.X)/2, (a.Y+b.Y)/2, results[i].Heads)
				for _, h := range results[i].Heads {
					present = present || same(h, a) && same(h, b)
				}
				if !present {
					t.Fatalf("frame %d: the mask at %v, %v blinks", i, a.X, a.Y)
				}
			}
		}
	}
}

// same reports whether two heads are in about the same place: one covers the other's center.
func same(a, b mask.Head) bool {
	return a.Origin != mask.OriginFrame && b.Origin != mask.OriginFrame && (a.Contains(b.X, b.Y) || b.Contains(a.X, a.Y))
}

// noTear checks that no mask loses a quarter of its area for one frame.
func noTear(t *testing.T, results []Result) {
	t.Helper()
	for i := 1; i+1 < len(results); i++ {
		before, now, after := results[i-1], results[i], results[i+1]
		if before.WholeFrame || now.WholeFrame || after.WholeFrame {
			continue
		}
		for _, a := range before.Heads {
			torn, all := 0, 0
			for u := -0.9; u < 1; u += 0.2 {
				for v := -0.9; v < 1; v += 0.2 {
					x, y := a.X+float32(u)*a.RX, a.Y+float32(v)*a.RY
					if x < 0 || y < 0 || x >= width || y >= height || !a.Contains(x, y) {
						continue
					}
					all++
					if mask.Contained(x, y, after.Heads) && !mask.Contained(x, y, now.Heads) {
						torn++
					}
				}
			}
			if all >= 20 && torn*4 >= all {
				t.Fatalf("frame %d: %d of %d points of the mask at %.0f, %.0f are bare for this frame", i, torn, all, a.X, a.Y)
			}
		}
	}
}

// TestNoMaskBlinks lets people walk, turn, come and go at random, seen by a poor detector, at all rates of analysis.
func TestNoMaskBlinks(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 2))
		s := scenario{frames: 150, every: 1 + rng.IntN(6), opts: Options{
			LookAhead: time.Duration(rng.IntN(1200)) * time.Millisecond, MaxFrames: 2 + rng.IntN(60),
		}}
		recall := rng.Float64()
		for range rng.IntN(6) {
			x, y, vx, vy := rng.Float64()*width, rng.Float64()*height, rng.NormFloat64()*400, rng.NormFloat64()*80
			wave := rng.Float64() * 100
			seen := make([]bool, s.frames)
			for i := range seen {
				seen[i] = rng.Float64() < recall
			}
			start := rng.IntN(100)
			s.actors = append(s.actors, actor{
				head: func(i int) (float64, float64) {
					u := float64(i) / fps
					return x + vx*u + wave*math.Sin(3*u), y + vy*u
				},
				size: 15 + rng.Float64()*150, present: [2]int{start, start + rng.IntN(100)},
				seen: func(i int) bool { return seen[i] },
			})
		}
		if rng.IntN(2) == 0 {
			s.cuts = []int{rng.IntN(150), rng.IntN(150)}
		}
		if rng.IntN(4) == 0 {
			bad := rng.IntN(150)
			s.failed = func(i int) bool { return i/5 == bad/5 }
		}
		results := s.run(seed)
		if len(results) != s.frames {
			t.Fatalf("%d results", len(results))
		}
		noBlink(t, results, same)
		noTear(t, results)
		// Every head that was found is masked, whatever became of its track.
		observed := rand.New(rand.NewPCG(seed, 1))
		for i, r := range results {
			o := s.observe(i, observed)
			for _, h := range mask.LocateHeads(o.People, width, height, mask.GeometryOptions{}) {
				if inFrame(h, &frame{Observation: o}) && !r.WholeFrame && !anyCovers(r.Heads, h) {
					t.Fatalf("seed %d frame %d: %+v was found but is not masked", seed, i, h)
				}
			}
		}
	}
}

// anyCovers reports whether one of the heads covers another head, with a tolerance of a hundredth of a pixel.
func anyCovers(heads []mask.Head, h mask.Head) bool {
	for _, c := range heads {
		c = c.Grow(1e-2)
		all := true
		for k := range 64 {
			v, u := math.Sincos(float64(k) * math.Pi / 32)
			sin, cos := math.Sincos(float64(h.Angle))
			u, v = u*float64(h.RX), v*float64(h.RY)
			all = all && c.Contains(h.X+float32(u*cos-v*sin), h.Y+float32(u*sin+v*cos))
		}
		if all {
			return true
		}
	}
	return false
}

func TestPushHoldsBackNoMoreThanWindow(t *testing.T) {
	for _, opts := range []Options{
		{}, {MaxFrames: 10}, {LookAhead: 200 * time.Millisecond}, {MaxFrames: -3}, {MaxFrames: 1},
	} {
		t.Run(fmt.Sprintf("%+v", opts), func(t *testing.T) {
			tracker, s := New(opts), scenarios["crossing"]
			rng := rand.New(rand.NewPCG(1, 1))
			given := 0
			most := tracker.opts.MaxFrames
			for i := range 300 {
				for range tracker.Push(s.observe(i, rng)) {
					given++
				}
				held := i + 1 - given
				// Closing gaps holds back one frame more than the look-ahead.
				if limit := min(most, int(tracker.opts.LookAhead*fps/time.Second)+2); held > limit {
					t.Fatalf("%d frames are held back, want at most %d", held, limit)
				}
			}
		})
	}
}

func TestTrackerMemoryIsBounded(t *testing.T) {
	for name, clock := range map[string]func(i int) time.Duration{
		"30 a second":       func(i int) time.Duration { return time.Duration(i) * time.Second / 30 },
		"time stands still": func(int) time.Duration { return 0 },
		"time runs back":    func(i int) time.Duration { return -time.Duration(i) * time.Second },
		"a frame a minute":  func(i int) time.Duration { return time.Duration(i) * time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			tracker, rng := New(Options{MaxFrames: 20}), rand.New(rand.NewPCG(1, 1))
			given := 0
			for i := range 3000 {
				o := Observation{Index: i, Time: clock(i), Analyzed: true, Width: width, Height: height}
				// One person stays, and one is somewhere else in each frame.
				o.People = []vision.Person{person(300, 300, 50, rng), person(rng.Float64()*width, rng.Float64()*height, 30, rng)}
				given += len(tracker.Push(o))
				sightings := 0
				for _, tr := range tracker.tracks {
					sightings += cap(tr.seen)
				}
				if len(tracker.window) > 20 || len(tracker.tracks) > 150 || sightings > 2000 {
					t.Fatalf("frame %d: %d frames, %d tracks, %d sightings", i, len(tracker.window), len(tracker.tracks), sightings)
				}
			}
			if given+len(tracker.Flush()) != 3000 {
				t.Error("frames were lost")
			}
		})
	}
}

func TestHeadAnywhereMasksWholeFrame(t *testing.T) {
	nan := float32(math.NaN())
	rng := rand.New(rand.NewPCG(1, 1))
	good := person(400, 400, 60, rng)
	broken := good
	broken.Box = vision.Box{X0: nan, Y0: 1, X1: 2, Y1: 3}
	spoilt := good
	spoilt.Pose = &vision.Pose{}
	for k := range spoilt.Pose {
		spoilt.Pose[k] = vision.Keypoint{X: nan, Y: nan, Score: nan}
	}
	tests := map[string]struct {
		person vision.Person
		opts   Options
		whole  bool
	}{
		"box of NaN":  {broken, Options{}, true},
		"pose of NaN": {spoilt, Options{}, false},
		"uncertain, whole": {
			vision.Person{Detection: good.Detection},
			Options{Geometry: mask.GeometryOptions{OnUncertain: mask.WholeFrame}}, true,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tracker := New(tt.opts)
			var results []Result
			for i := range 12 {
				o := Observation{
					Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%3 == 0, Width: width, Height: height,
				}
				if o.Analyzed {
					o.People = []vision.Person{good}
				}
				if i == 6 {
					o.People = append(o.People, tt.person)
				}
				results = append(results, tracker.Push(o)...)
			}
			for i, r := range append(results, tracker.Flush()...) {
				// Frames 4 to 8 depend on frame 6.
				if want := tt.whole && i > 3 && i < 9; r.WholeFrame != want {
					t.Errorf("frame %d is masked whole: %v, want %v", i, r.WholeFrame, want)
				}
				if i == 6 && r.People != 2 {
					t.Errorf("%d people, want 2", r.People)
				}
				if !mask.Contained(400, 400, r.Heads) {
					t.Errorf("frame %d: the other person is not masked", i)
				}
				if r.WholeFrame && (len(r.Heads) != 1 || r.Heads[0].Origin != mask.OriginFrame) {
					t.Errorf("frame %d: the heads %+v do not cover the frame", i, r.Heads)
				}
			}
		})
	}
}

func TestResultOrigins(t *testing.T) {
	s := scenario{frames: 90, actors: []actor{
		{head: walk(900, 400, 15, 0), size: 80, seen: func(i int) bool { return i >= 30 && i < 50 }},
	}}
	for i, r := range s.run(1) {
		want := mask.OriginHeld
		switch {
		case i >= 30 && i <= 48 && i%3 == 0:
			want = mask.OriginPose
		case i > 30 && i < 48:
			want = mask.OriginInterpolated
		}
		for _, h := range r.Heads {
			if h.Origin != want || h.Score <= 0 || h.Score > 1 {
				t.Errorf("frame %d: origin %s, score %v, want %s", i, h.Origin, h.Score, want)
			}
		}
		if visible := want != mask.OriginHeld; (r.People == 1) != visible {
			t.Errorf("frame %d: %d people", i, r.People)
		}
	}
}

// TestHeldMasksStayBounded tracks someone who is seen only twice, in different places, as by a poor detector.
func TestHeldMasksStayBounded(t *testing.T) {
	for _, jump := range []float64{0, 20, 50, 100, 200} {
		s := scenario{frames: 60, every: 3, actors: []actor{
			{
				head: func(i int) (float64, float64) { return 900 + jump*float64(i/12), 400 }, size: 60,
				seen: func(i int) bool { return i == 9 || i == 12 },
			},
		}}
		var found mask.Head
		for i, r := range s.run(1) {
			for _, h := range r.Heads {
				if h.Origin == mask.OriginPose {
					found = h
				}
				if b := h.Bounds(); i > 12 && max(b.Width(), b.Height()) > 10*float32(size(found)) {
					t.Errorf("jumps of %v: in frame %d the mask has grown from %.0f to %.0f x %.0f",
						jump, i, size(found), b.Width(), b.Height())
				}
			}
		}
	}
}

func TestFlushResetsTracker(t *testing.T) {
	s := scenarios["walking"]
	tracker := New(s.opts)
	var runs [2][]Result
	for k := range runs {
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range s.frames {
			runs[k] = append(runs[k], tracker.Push(s.observe(i, rng))...)
		}
		runs[k] = append(runs[k], tracker.Flush()...)
	}
	if !reflect.DeepEqual(runs[0], runs[1]) {
		t.Error("the second video differs")
	}
	if rest := tracker.Flush(); len(rest) != 0 {
		t.Errorf("flushing again returns %d results", len(rest))
	}
}

func TestAssign(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		rows, columns := 1+rng.IntN(5), 1+rng.IntN(5)
		costs := make([][]float64, rows)
		for i := range costs {
			costs[i] = make([]float64, columns)
			for j := range costs[i] {
				costs[i][j] = rng.Float64() * 3
				if rng.IntN(3) == 0 {
					costs[i][j] = math.Inf(1)
				}
			}
		}
		got := assign(costs)
		number, sum, taken := 0, 0.0, map[int]bool{}
		for i, j := range got {
			if j < 0 {
				continue
			}
			if taken[j] || math.IsInf(costs[i][j], 1) {
				t.Fatalf("%v for %v", got, costs)
			}
			taken[j] = true
			number++
			sum += costs[i][j]
		}
		wantNumber, wantSum := bestAssignment(costs, 0, map[int]bool{})
		if number != wantNumber || math.Abs(sum-wantSum) > 1e-6 {
			t.Fatalf("%v assigns %d for %v, want %d for %v: %v", got, number, sum, wantNumber, wantSum, costs)
		}
	}
}

// bestAssignment tries all assignments.
func bestAssignment(costs [][]float64, row int, taken map[int]bool) (number int, sum float64) {
	if row == len(costs) {
		return 0, 0
	}
	number, sum = bestAssignment(costs, row+1, taken)
	for j, c := range costs[row] {
		if taken[j] || math.IsInf(c, 1) {
			continue
		}
		taken[j] = true
		n, s := bestAssignment(costs, row+1, taken)
		delete(taken, j)
		if n+1 > number || n+1 == number && s+c < sum {
			number, sum = n+1, s+c
		}
	}
	return number, sum
}

func FuzzTracker(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	f.Add([]byte{255, 0, 255, 0, 255, 0, 128, 128, 9, 200, 4, 1, 1, 7, 7, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		tracker := New(Options{MaxFrames: 2 + len(data)%9, LookAhead: time.Duration(1+len(data)%5) * 100 * time.Millisecond})
		var results []Result
		frames := 0
		for ; len(data) >= 6; data = data[6:] {
			o := Observation{
				Index: frames, Time: time.Duration(int8(data[0])) * 7 * time.Millisecond * time.Duration(frames),
				Analyzed: data[1]&3 == 0, Failed: data[1]&28 == 28, Cut: data[1]&96 == 96, Width: 640, Height: 480,
			}
			for k := range int(data[2] & 3) {
				x, y := float32(data[3])*3, float32(data[4])*2
				p := vision.Person{Detection: vision.Detection{Score: 0.5, Box: vision.Box{
					X0: x, Y0: y, X1: x + float32(data[5]) + float32(k)*40, Y1: y + float32(data[5])*3,
				}}}
				if data[1]&128 != 0 {
					p.Box.X1 = float32(math.Inf(1))
				}
				o.People = append(o.People, p)
			}
			frames++
			results = append(results, tracker.Push(o)...)
		}
		results = append(results, tracker.Flush()...)
		if len(results) != frames {
			t.Fatalf("%d results of %d frames", len(results), frames)
		}
		for i, r := range results {
			if r.Index != i {
				t.Fatalf("result %d is of frame %d", i, r.Index)
			}
			for _, h := range r.Heads {
				if !h.Sane() {
					t.Fatalf("frame %d: %+v", i, h)
				}
			}
		}
		// Frames may be so far apart that masks that close one gap open another; at least they overlap.
		noBlink(t, results, func(a, b mask.Head) bool {
			x, y := a.Bounds(), b.Bounds()
			return x.X0 < y.X1 && y.X0 < x.X1 && x.Y0 < y.Y1 && y.Y0 < x.Y1
		})
	})
}

// BenchmarkTracker measures the time per frame. Every third frame is analyzed; locating heads takes most of the time.
func BenchmarkTracker(b *testing.B) {
	for _, n := range []int{3, 30, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := scenario{actors: people(n, 40)}
			rng := rand.New(rand.NewPCG(1, 1))
			var observations []Observation
			for i := range 30 {
				observations = append(observations, s.observe(i, rng))
			}
			tracker := New(Options{})
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				o := observations[i%30]
				o.Index, o.Time = i, time.Duration(i)*time.Second/fps
				tracker.Push(o)
				i++
			}
		})
	}
}

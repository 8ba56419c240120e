// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Defaults of Options.
const (
	DefaultLookAhead = time.Second
	DefaultMaxFrames = 75
)

// Options bound the tracker; the zero value gives the defaults.
type Options struct {
	// LookAhead is how far in time a sighting reaches: frames are held back this long, and a head is masked this long
	// before its first sighting and after its last; 0 means DefaultLookAhead.
	LookAhead time.Duration
	// MaxFrames bounds the number of frames held back, whatever their times, which shortens the look-ahead (but not how
	// long a head is held after its last sighting); 0 means DefaultMaxFrames, and the least is 2.
	MaxFrames int
	// Geometry tunes how heads are located.
	Geometry mask.GeometryOptions
	// Assured is the index of a frame from which on everyone followed up to it is held for as long as someone found with certainty,
	// since it is not known who was, in frames that the tracker was not given; 0 for none.
	Assured int
}

// Observation is what is known of one frame.
type Observation struct {
	// Index counts frames from 0, in order.
	Index int
	// Time is the frame's presentation time. A time before that of the last frame is taken to be the same.
	Time time.Duration
	// Judged tells that people were looked for; otherwise they are carried from the frames around.
	Judged bool
	// Failed tells that people were looked for in vain: the frame could not be judged.
	Failed bool
	// Cut tells that a new scene begins with this frame.
	Cut bool
	// People are those found in a judged frame.
	People []vision.Person
	// Faces are those found in a judged frame, whether their people were found or not.
	Faces []vision.Face
	// Width and Height are the frame's size in pixels.
	Width, Height int
}

// Result is what to mask in one frame.
type Result struct {
	Index int
	// Heads to be covered. If WholeFrame is set, it is one head with mask.OriginFrame.
	Heads []mask.Head
	// Bodies to be covered beside the heads, of people with a silhouette. Without meaning if WholeFrame is set.
	Bodies []mask.Body
	// Before and After are the masks of the frames around it, where bodies may blink between them; else nil.
	Before, After *mask.Masks
	// People is the number of persons visible: sighted, or between two sightings.
	People int
	// WholeFrame asks for the whole frame to be masked.
	WholeFrame bool
}

// Tracker follows people through the frames of one video. Given the same observations it gives the same results. It is
// not safe for concurrent use.
type Tracker struct {
	opts  Options
	scene int
	// window holds the frames whose heads are not known yet, oldest first.
	window []*frame
	paths  []*path
	// before is the last judged frame that has left the window.
	before *frame
	// closing holds the last two frames that have left the window: the first was returned, the second waits for its
	// successor.
	closing [2]*Result
	pushed  int
}

// frame is an observation in the window.
type frame struct {
	Observation
	number int // counted by the tracker: the index may leave frames out
	scene  int
	last   bool // of its scene
	attempted,
	whole bool
	unplaced int // people found whose heads may be anywhere
}

// New returns a tracker for one video.
func New(opts Options) *Tracker {
	if opts.LookAhead <= 0 {
		opts.LookAhead = DefaultLookAhead
	}
	if opts.MaxFrames == 0 {
		opts.MaxFrames = DefaultMaxFrames
	}
	opts.MaxFrames = max(opts.MaxFrames, 2)
	return &Tracker{opts: opts}
}

// Push takes the next frame and returns the results that are ready, in order, none or several. Frames are held back until
// one is pushed that is later by more than the look-ahead, but never more than MaxFrames of them.
func (t *Tracker) Push(o Observation) []Result {
	t.admit(o)
	var out []Result
	for t.overdue() {
		out = t.advance(out)
	}
	return out
}

// Flush returns the results of all frames still held back. The tracker is then as new.
func (t *Tracker) Flush() []Result {
	var out []Result
	for len(t.window) > 0 {
		out = t.advance(out)
	}
	out = t.close(nil, out)
	*t = *New(t.opts)
	return out
}

// admit takes a frame into the window and links the heads found in it.
func (t *Tracker) admit(o Observation) {
	f := &frame{Observation: o, number: t.pushed, attempted: o.Judged || o.Failed, whole: o.Failed}
	t.pushed++
	if n := len(t.window); n > 0 {
		f.Time = max(f.Time, t.window[n-1].Time)
		t.window[n-1].last = o.Cut
	}
	if o.Cut {
		t.scene++
	}
	f.scene = t.scene
	t.window = append(t.window, f)
	if !f.Judged || f.Failed {
		return
	}

	sure, weak := f.sightings(t.opts.Geometry)
	f.People, f.Faces = nil, nil
	t.link(f, sure, weak)
}

// sightings are the heads found in the frame: those that are sure, and those of candidates that nothing but a path can bear
// out. A head of which nothing is known but that it exists costs the whole frame.
func (f *frame) sightings(opts mask.GeometryOptions) (sure, weak []sighting) {
	people, heads := withoutGuesses(f.People, mask.LocateHeads(f.People, f.Width, f.Height, opts))
	bodies := mask.LocateBodies(people, heads, f.Width, f.Height)
	lone, hasFace := mask.JoinFaces(heads, f.Faces, f.Width, f.Height)
	for i, p := range people {
		h := heads[i]
		borne := !p.Candidate || hasFace[i] || mask.PoseConfirms(p, f.Width, f.Height)
		switch s := (sighting{number: f.number, time: f.Time, head: h, box: p.Box, body: bodies[i], certain: !p.Candidate || hasFace[i]}); {
		case h.Origin == mask.OriginFrame || !h.Sane():
			if borne {
				f.whole = true
				f.unplaced++
			}
		case borne:
			sure = append(sure, s)
		default:
			weak = append(weak, s)
		}
	}
	for _, h := range lone {
		if h.Origin == mask.OriginFrame {
			f.whole = true
			f.unplaced++
			continue
		}
		sure = append(sure, sighting{number: f.number, time: f.Time, head: h, box: h.Bounds(), certain: true})
	}
	return sure, weak
}

// withoutGuesses leaves out candidates of whom nothing new is known: those whose head the keypoints do not show or leave to the box,
// since where it would be is a guess, which may be half of the frame (a face that was found there speaks for itself), and those whose
// head is that of someone who was found more surely.
func withoutGuesses(people []vision.Person, heads []mask.Head) (known []vision.Person, located []mask.Head) {
	order := make([]int, len(people))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return vision.ByConfidence(people[i].Detection, people[j].Detection) })
	for _, i := range order {
		p, h := people[i], heads[i]
		if p.Candidate && (h.Origin != mask.OriginPose || h.Sane() && contained(h.X, h.Y, located)) {
			continue
		}
		known, located = append(known, p), append(located, h)
	}
	return known, located
}

// link assigns what was found to the paths that are alive, and begins new ones. What is weak continues the paths that are left,
// or waits in a path of its own for a sure sighting (after Zhang et al., ByteTrack, 2022, whose low scores too go to the paths
// that the high ones leave).
func (t *Tracker) link(f *frame, sure, weak []sighting) {
	var alive []*path
	for _, p := range t.paths {
		if p.scene == f.scene && t.reaches(p.last(), f) {
			alive = append(alive, p)
		}
	}
	taken := t.assign(f, alive, sure, true)
	if len(weak) == 0 {
		return
	}
	left := slices.DeleteFunc(alive, func(p *path) bool { return taken[p] })
	t.assign(f, left, weak, false)
}

// assign links the sightings to paths and tells which.
func (t *Tracker) assign(f *frame, paths []*path, found []sighting, sure bool) (taken map[*path]bool) {
	taken = make(map[*path]bool, len(found))
	links := associate(paths, found)
	for i, s := range found {
		p := &path{scene: f.scene}
		if links[i] != nil {
			p = links[i].path
			links[i].follow(s)
		} else {
			p.seen = []sighting{s}
			t.paths = append(t.paths, p)
		}
		p.sure, p.certain = p.sure || sure, p.certain || s.certain
		taken[p] = true
	}
	return taken
}

// reaches reports whether a frame is near enough to a sighting to hold the head. The number of frames limits it where
// times stand still.
func (t *Tracker) reaches(s sighting, f *frame) bool {
	distance, frames := f.Time-s.time, f.number-s.number
	return max(distance, -distance) <= t.opts.LookAhead && max(frames, -frames) <= 4*t.opts.MaxFrames
}

// candidateHold is the part of the look-ahead for which someone is held of whom there were candidates alone: what is no person at
// all flickers, and would be masked all around.
const candidateHold = 0.2

// holds reports whether a path's first or last sighting covers a frame beyond it.
func (t *Tracker) holds(p *path, s sighting, f *frame) bool {
	return t.reaches(s, f) && (p.certain || (f.Time-s.time).Abs() <= time.Duration(candidateHold*float64(t.opts.LookAhead)))
}

// overdue reports whether the oldest frame of the window must be decided.
func (t *Tracker) overdue() bool {
	n := len(t.window)
	if n == 0 {
		return false
	}
	waiting := 0
	if t.closing[1] != nil {
		waiting = 1
	}
	return n+waiting > t.opts.MaxFrames || t.window[n-1].Time-t.window[0].Time > t.opts.LookAhead
}

// advance decides the oldest frame of the window and appends what has become ready.
func (t *Tracker) advance(out []Result) []Result {
	f := t.window[0]
	if t.opts.Assured != 0 && f.Index == t.opts.Assured {
		for _, p := range t.paths {
			p.certain = p.certain || p.seen[0].number < f.number
		}
	}
	before, after := t.judgements(f)
	r := &Result{Index: f.Index, WholeFrame: t.wholeFrame(f, before, after), People: f.unplaced}
	for _, p := range t.paths {
		if !p.sure {
			continue
		}
		heads, bodies, visible := t.cover(p, f, before, after)
		if visible {
			r.People++
		}
		for _, h := range heads {
			if inFrame(h, f) {
				r.Heads = append(r.Heads, h)
			}
		}
		r.Bodies = append(r.Bodies, bodies...)
	}
	if r.WholeFrame {
		r.Heads = []mask.Head{mask.FrameHead(f.Width, f.Height)}
	}
	t.retire(f)
	return t.close(r, out)
}

// judgements are the frames nearest to f, of its scene and within reach, in which people were looked for: f itself, or
// those before and after it.
func (t *Tracker) judgements(f *frame) (before, after *frame) {
	if f.attempted {
		return f, f
	}
	near := func(g *frame) bool {
		return g != nil && g.scene == f.scene && t.reaches(sighting{number: g.number, time: g.Time}, f)
	}
	if near(t.before) {
		before = t.before
	}
	for _, g := range t.window[1:] {
		if g.attempted {
			if near(g) {
				after = g
			}
			break
		}
	}
	return before, after
}

func (t *Tracker) wholeFrame(f, before, after *frame) bool {
	return before == nil && after == nil || before != nil && before.whole || after != nil && after.whole
}

// cover gives what a path masks in a frame, and whether its person is visible there rather than held.
func (t *Tracker) cover(p *path, f, before, after *frame) (heads []mask.Head, bodies []mask.Body, visible bool) {
	switch f.scene {
	case p.scene:
	case p.scene + 1:
		if !f.Cut {
			return nil, nil, false
		}
	case p.scene - 1:
		if !f.last {
			return nil, nil, false
		}
	default:
		return nil, nil, false
	}
	i, sighted := p.find(f.number)
	switch {
	case sighted:
		heads, visible = []mask.Head{p.smooth(i)}, true
	case i == 0:
		if !t.holds(p, p.seen[0], f) {
			return nil, nil, false
		}
		heads, visible = []mask.Head{p.holdBackward(f.Time)}, before == nil && after != nil && after.number == p.seen[0].number
	case i == len(p.seen):
		if !t.holds(p, p.last(), f) {
			return nil, nil, false
		}
		heads, visible = []mask.Head{p.holdForward(f.Time)}, after == nil && before != nil && before.number == p.last().number
	default:
		heads, visible = p.between(i, f.Time), true
	}
	return heads, p.bodies(i, sighted, f.Time), visible
}

// retire forgets the oldest frame of the window, and what can no longer matter to the next.
func (t *Tracker) retire(f *frame) {
	if f.attempted {
		t.before = f
	}
	t.window[0] = nil
	t.window = t.window[1:]
	alive := t.paths[:0]
	for _, p := range t.paths {
		if f.scene <= p.scene+1 && (p.last().number >= f.number || t.reaches(p.last(), f)) {
			p.forget(f.number)
			alive = append(alive, p)
		}
	}
	clear(t.paths[len(alive):])
	t.paths = alive
}

// close appends the frame that waited for its successor, r, once no mask blinks in it; r is nil at the end.
func (t *Tracker) close(r *Result, out []Result) []Result {
	if waiting := t.closing[1]; waiting != nil {
		if first := t.closing[0]; first != nil && r != nil && !waiting.WholeFrame {
			if first.WholeFrame && r.WholeFrame {
				waiting.WholeFrame, waiting.Heads = true, r.Heads
			} else {
				waiting.Heads = closeGaps(first.Heads, waiting.Heads, r.Heads)
				if !first.WholeFrame && !r.WholeFrame && len(first.Bodies)+len(r.Bodies) > 0 {
					waiting.Before = &mask.Masks{Heads: first.Heads, Bodies: first.Bodies}
					waiting.After = &mask.Masks{Heads: r.Heads, Bodies: r.Bodies}
				}
			}
		}
		out = append(out, *waiting)
	}
	t.closing = [2]*Result{t.closing[1], r}
	return out
}

// closeGaps adds to the heads of a frame what the frames before and after it both cover, where the frame itself leaves it
// bare: a mask that is there again after one frame shows a face for that one.
func closeGaps(before, heads, after []mask.Head) []mask.Head {
	heads = heads[:len(heads):len(heads)] // what is added goes to a copy
	var near []mask.Head
	for _, a := range before {
		for _, b := range after {
			if !meet(a, b) {
				continue
			}
			part := smaller(a, b)
			near = near[:0]
			for _, h := range heads {
				if meet(h, part) {
					near = append(near, h)
				}
			}
			if !bare(a, b, near) {
				continue
			}
			middle := between(a, b, 0.5)
			if bare(a, b, []mask.Head{middle}) { // of another shape than both
				middle = part
			}
			middle.Origin = mask.OriginInterpolated
			heads = append(heads, middle)
		}
	}
	return heads
}

// bare reports whether a part of what two heads have in common is covered by none of the heads, by a look at 37 points of
// the smaller one.
func bare(a, b mask.Head, heads []mask.Head) bool {
	if s := smaller(a, b); s != a {
		a, b = b, a
	}
	uncovered := func(x, y float32) bool { return b.Contains(x, y) && !contained(x, y, heads) }
	if uncovered(a.X, a.Y) {
		return true
	}
	sin, cos := math.Sincos(float64(a.Angle))
	for _, radius := range [...]float64{0.4, 0.7, 0.95} {
		for i := range 12 {
			v, u := math.Sincos(float64(i) * math.Pi / 6)
			u, v = u*radius*float64(a.RX), v*radius*float64(a.RY)
			if uncovered(a.X+float32(u*cos-v*sin), a.Y+float32(u*sin+v*cos)) {
				return true
			}
		}
	}
	return false
}

func smaller(a, b mask.Head) mask.Head {
	if b.RX*b.RY < a.RX*a.RY {
		return b
	}
	return a
}

// meet reports whether two heads may have something in common.
func meet(a, b mask.Head) bool {
	if a.Origin == mask.OriginFrame || b.Origin == mask.OriginFrame {
		return false
	}
	// No head reaches further than this; most pairs of a crowd need no closer look.
	dx, dy, most := a.X-b.X, a.Y-b.Y, a.RX+a.RY+b.RX+b.RY
	if dx*dx+dy*dy > most*most {
		return false
	}
	return a.Bounds().Overlaps(b.Bounds())
}

func contained(x, y float32, heads []mask.Head) bool {
	for _, h := range heads {
		if h.Contains(x, y) {
			return true
		}
	}
	return false
}

func inFrame(h mask.Head, f *frame) bool {
	b := h.Bounds()
	return b.X1 > 0 && b.Y1 > 0 && b.X0 < float32(f.Width) && b.Y0 < float32(f.Height)
}

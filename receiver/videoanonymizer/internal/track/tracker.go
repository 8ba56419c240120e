// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
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
	// LookAhead is how far in time a sighting reaches: frames are held back for this long, and a head is masked for
	// this long before its first sighting and after its last; 0 means DefaultLookAhead.
	LookAhead time.Duration
	// MaxFrames bounds the number of frames held back, whatever their times. It can shorten the look-ahead, but not how
	// long a head is held after its last sighting. 0 means DefaultMaxFrames; the minimum is 2.
	MaxFrames int
	// Geometry tunes how heads are located.
	Geometry mask.GeometryOptions
}

// Observation is what is known of one frame.
type Observation struct {
	// Index counts frames from 0, in order.
	Index int
	// Time is the frame's presentation time. One before that of the last frame counts as the same.
	Time time.Duration
	// Analyzed means that the frame was searched for people; in others, heads are carried from the frames around.
	Analyzed bool
	// Hard means that the whole frame was searched for people whom the usual analysis does not show.
	Hard bool
	// Failed means that the frame should have been analyzed, but the analysis failed.
	Failed bool
	// Cut means that a new scene begins with this frame.
	Cut bool
	// People are those found in an analyzed frame.
	People []vision.Person
	// Faces are those found in an analyzed frame, whether or not their people were found.
	Faces []vision.Face
	// Width and Height are the frame's size in pixels.
	Width, Height int
}

// Result is what to mask in one frame.
type Result struct {
	Index int
	// Heads are the heads to cover. If WholeFrame is set, there is one, with mask.OriginFrame.
	Heads []mask.Head
	// Bodies are what to cover besides the heads, of people with a silhouette. Meaningless if WholeFrame is set.
	Bodies []mask.Body
	// Before and After are the masks of the adjacent frames if bodies might blink in this one, otherwise nil.
	Before, After *mask.Masks
	// People is the number of people visible: sighted, or between two sightings.
	People int
	// WholeFrame means that the whole frame must be masked.
	WholeFrame bool
}

// Tracker follows people through the frames of one video. The same observations give the same results. It is not safe
// for concurrent use.
type Tracker struct {
	opts  Options
	scene int // number of the current one
	// numbered is the number of the latest track.
	numbered int
	// window holds the frames whose results are not known yet, oldest first.
	window []*frame
	tracks []*track
	// before is the last frame that has left the window of those that were analyzed, or whose analysis failed.
	before *frame
	// latest are the last two frames that have left the window: the first was returned, the second waits for its
	// successor.
	latest   [2]*Result
	pushed   int // number of frames so far
	analyses analyses
}

// frame is an observation in the window.
type frame struct {
	Observation
	number    int      // counted by the tracker: the index may skip frames
	analyses  analyses // up to this one
	scene     int
	last      bool // of its scene
	attempted bool // it was analyzed, or its analysis failed
	whole     bool // it must be masked whole
	unplaced  int  // number of people found whose heads may be anywhere
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

// Push takes the next frame and returns the results that are ready, if any, in order. Frames are held back until one is
// pushed that is later by more than the look-ahead, but never more than MaxFrames of them.
func (t *Tracker) Push(o Observation) []Result {
	t.admit(o)
	var out []Result
	for t.overdue() {
		out = t.advance(out)
	}
	return out
}

// Flush returns the results of all frames still held back, and resets the tracker.
func (t *Tracker) Flush() []Result {
	var out []Result
	for len(t.window) > 0 {
		out = t.advance(out)
	}
	out = t.finish(nil, out)
	*t = *New(t.opts)
	return out
}

// admit adds a frame to the window and links the heads found in it.
func (t *Tracker) admit(o Observation) {
	f := &frame{Observation: o, number: t.pushed, attempted: o.Analyzed || o.Failed, whole: o.Failed}
	t.pushed++
	t.analyses.count(o)
	f.analyses = t.analyses
	if n := len(t.window); n > 0 {
		f.Time = max(f.Time, t.window[n-1].Time)
		t.window[n-1].last = o.Cut
	}
	if o.Cut {
		t.scene++
	}
	f.scene = t.scene
	t.window = append(t.window, f)
	if !f.Analyzed || f.Failed {
		return
	}

	confirmed, candidates := f.sightings(t.opts.Geometry)
	f.People, f.Faces = nil, nil
	t.link(f, confirmed, candidates)
}

// link assigns the sightings of a frame to the tracks that are alive, and starts new ones. Candidates go to the tracks
// that are left, or wait in a track of their own for a confirmed sighting (after Zhang et al., "ByteTrack: Multi-Object
// Tracking by Associating Every Detection Box", 2022, where low scores go to the tracks that high ones leave).
func (t *Tracker) link(f *frame, confirmed, candidates []sighting) {
	var alive []*track
	for _, tr := range t.tracks {
		if tr.scene == f.scene && t.holds(tr, tr.last(), f, 2) {
			alive = append(alive, tr)
		}
	}
	continued := t.extend(f, alive, confirmed, true)
	if len(candidates) == 0 {
		return
	}
	left := slices.DeleteFunc(alive, func(tr *track) bool { return continued[tr] })
	t.extend(f, left, candidates, false)
}

// extend adds each sighting to one of the tracks or to a new one, and returns the tracks that it added to.
func (t *Tracker) extend(f *frame, tracks []*track, found []sighting, confirmed bool) (extended map[*track]bool) {
	extended = make(map[*track]bool, len(found))
	links := associate(tracks, found)
	for i, s := range found {
		tr := &track{scene: f.scene, number: t.numbered + 1}
		if links[i] != nil {
			tr = links[i].track
			links[i].follow(s)
		} else {
			tr.seen = []sighting{s}
			t.tracks = append(t.tracks, tr)
			t.numbered++
		}
		tr.confirmed = tr.confirmed || confirmed
		if s.certain {
			tr.certain = s.moment()
		}
		if s.sure() {
			tr.sure = s.moment()
		}
		extended[tr] = true
	}
	return extended
}

// reaches reports whether a frame is near enough to a sighting for the head to be held. The number of frames bounds
// that if times do not advance.
func (t *Tracker) reaches(s sighting, f *frame) bool {
	distance, frames := f.Time-s.time, f.number-s.number
	return max(distance, -distance) <= t.opts.LookAhead && max(frames, -frames) <= 4*t.opts.MaxFrames
}

// Shares of the look-ahead for which someone is held who never was more than a candidate or a second box, or whose head
// was never more than a guess: what is not a person at all flickers, and would otherwise be masked all the time.
const (
	candidateHold = 0.2
	guessHold     = 0.4
)

// remembered is for how long it counts that someone was found with certainty, or their head. It ends within the time by
// which a resumed video is analyzed before it continues, so that it is masked as if it had not been cut off.
const remembered = 3 * time.Second

// moment is when something was seen, the zero value if it never was.
type moment struct {
	seen bool
	time time.Duration
}

func (s sighting) moment() moment { return moment{seen: true, time: s.time} }

// counts reports whether what was seen counts at a time.
func (m moment) counts(at time.Duration) bool { return m.seen && (at-m.time).Abs() <= remembered }

// analyses counts the frames that were analyzed, and those of them that were searched hard.
type analyses struct{ all, hard int }

func (a *analyses) count(o Observation) {
	if o.Analyzed {
		a.all++
	}
	if o.Analyzed && o.Hard {
		a.hard++
	}
}

// missed is the number of frames between a sighting and a frame, that one included, that would have shown the person.
func (s sighting) missed(f *frame) int {
	if s.hidden {
		return f.analyses.hard - s.analyses.hard
	}
	return f.analyses.all - s.analyses.all
}

// holds reports whether a track's first or last sighting covers a frame beyond it. However briefly it holds, it does
// for a number of analyzed frames, so that those who are missed once do not blink where few frames are analyzed.
func (t *Tracker) holds(tr *track, s sighting, f *frame, analyses int) bool {
	share := 1.0
	switch {
	case !tr.certain.counts(s.time):
		share = candidateHold
	case !tr.sure.counts(s.time):
		share = guessHold
	}
	brief := (f.Time - s.time).Abs() <= time.Duration(share*float64(t.opts.LookAhead))
	missed := s.missed(f)
	return t.reaches(s, f) && (brief || max(missed, -missed) <= analyses)
}

// overdue reports whether the result of the oldest frame in the window is due.
func (t *Tracker) overdue() bool {
	n := len(t.window)
	if n == 0 {
		return false
	}
	waiting := 0
	if t.latest[1] != nil {
		waiting = 1
	}
	return n+waiting > t.opts.MaxFrames || t.window[n-1].Time-t.window[0].Time > t.opts.LookAhead
}

// advance computes the result of the oldest frame in the window, and appends those that are ready.
func (t *Tracker) advance(out []Result) []Result {
	f := t.window[0]
	before, after := t.nearestAnalyzed(f)
	r := &Result{Index: f.Index, WholeFrame: wholeFrame(before, after), People: f.unplaced}
	for _, tr := range t.tracks {
		if !tr.confirmed {
			continue
		}
		heads, bodies, visible := t.cover(tr, f, before, after)
		tr.mark(heads, bodies)
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
	return t.finish(r, out)
}

// nearestAnalyzed are the frames nearest to f, in its scene and within reach, that were analyzed or whose analysis
// failed: f itself, or those before and after it, or nil.
func (t *Tracker) nearestAnalyzed(f *frame) (before, after *frame) {
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

// wholeFrame reports whether a frame must be masked whole, given the analyzed frames nearest to it.
func wholeFrame(before, after *frame) bool {
	return before == nil && after == nil || before != nil && before.whole || after != nil && after.whole
}

// cover is what a track masks in a frame, and whether its person is visible there rather than held.
func (t *Tracker) cover(tr *track, f, before, after *frame) (heads []mask.Head, bodies []mask.Body, visible bool) {
	if !f.within(tr.scene) || t.opts.Geometry.OnUncertain != mask.WholePerson && tr.pillar(f.Time, f.Height) {
		return nil, nil, false
	}
	i, sighted := tr.find(f.number)
	switch {
	case sighted:
		heads, visible = []mask.Head{tr.smooth(i)}, true
	case i == 0:
		if !t.holds(tr, tr.seen[0], f, 1) {
			return nil, nil, false
		}
		heads = []mask.Head{tr.holdBackward(f.Time)}
		visible = before == nil && after != nil && after.number == tr.seen[0].number
	case i == len(tr.seen):
		if !t.holds(tr, tr.last(), f, 1) {
			return nil, nil, false
		}
		heads = []mask.Head{tr.holdForward(f.Time)}
		visible = after == nil && before != nil && before.number == tr.last().number
	default:
		heads, visible = tr.between(i, f.Time), true
	}
	return heads, tr.bodies(i, sighted, f.Time), visible
}

// within reports whether the frame belongs to a scene, or is next to it across a cut.
func (f *frame) within(scene int) bool {
	return f.scene == scene || f.scene == scene+1 && f.Cut || f.scene == scene-1 && f.last
}

// retire drops the oldest frame of the window, and the tracks that can no longer matter to the next.
func (t *Tracker) retire(f *frame) {
	if f.attempted {
		t.before = f
	}
	t.window[0] = nil
	t.window = t.window[1:]
	alive := t.tracks[:0]
	for _, tr := range t.tracks {
		if f.scene <= tr.scene+1 && (tr.last().number >= f.number || t.reaches(tr.last(), f)) {
			tr.forget(f.number)
			alive = append(alive, tr)
		}
	}
	clear(t.tracks[len(alive):])
	t.tracks = alive
}

// finish closes the gaps in the frame that waited for its successor, r, and appends it; r is nil at the end.
func (t *Tracker) finish(r *Result, out []Result) []Result {
	if waiting := t.latest[1]; waiting != nil {
		if first := t.latest[0]; first != nil && r != nil && !waiting.WholeFrame {
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
	t.latest = [2]*Result{t.latest[1], r}
	return out
}

// inFrame reports whether a part of the head is visible.
func inFrame(h mask.Head, f *frame) bool {
	b := h.Bounds()
	return b.X1 > 0 && b.Y1 > 0 && b.X0 < float32(f.Width) && b.Y0 < float32(f.Height)
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import "time"

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

// missed is the number of frames from a sighting to another frame, the latter included, that would have shown the
// person.
func (s sighting) missed(f *frame) int {
	missed, shows := f.analyses.all-s.analyses.all, f.Analyzed
	if s.hidden {
		missed, shows = f.analyses.hard-s.analyses.hard, f.Analyzed && f.Hard
	}
	if f.number >= s.number {
		return missed
	}
	if !shows { // the sighting's own frame counts in its place
		missed++
	}
	return -missed
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
	return t.reaches(s, f) && (brief || missed <= analyses)
}

// Someone counts as gone who was missed in more than maxMissed frames, over more than briefly, if the picture has
// changed where they were, or their head was never more than a guess.
const (
	maxMissed = 3
	briefly   = 300 * time.Millisecond
)

// covers reports whether a track's first or last sighting covers a frame beyond it: it is held, and the frame does not
// show that they have left.
func (t *Tracker) covers(tr *track, s sighting, f *frame) bool {
	looks := 1
	if s.guess && len(tr.seen) == 1 { // another look has to confirm it
		looks = 0
	}
	return t.holds(tr, s, f, looks) && !s.gone(f, tr.sure.counts(s.time))
}

// gone reports whether a frame shows that the person of a sighting has left, or was none: they were missed several
// times, and where they were the picture has changed, or their head was never more than a guess. Without a glance,
// nobody is gone.
func (s sighting) gone(f *frame, sure bool) bool {
	if f.Glance == nil || s.glance == nil || s.missed(f) <= maxMissed || (f.Time-s.time).Abs() <= briefly {
		return false
	}
	b := s.head.Bounds()
	return !sure || !f.Glance.Still(s.glance, b.Moved(f.offset.X, f.offset.Y))
}

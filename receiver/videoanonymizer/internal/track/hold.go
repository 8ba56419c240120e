// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import "time"

// reaches reports whether a frame is near enough to a sighting for the head to be held. If times do not advance, the
// number of frames limits this.
func (t *Tracker) reaches(s sighting, f *frame) bool {
	distance, frames := f.Time-s.time, f.number-s.number
	return max(distance, -distance) <= t.opts.LookAhead && max(frames, -frames) <= 4*t.opts.MaxFrames
}

// Someone who was never more than a candidate or a second box is held for candidateHold of the look-ahead; someone
// whose head was never more than a guess, for guessHold. False detections flicker, and would always be masked
// otherwise.
const (
	candidateHold = 0.2
	guessHold     = 0.4
)

// remembered is how long it counts that someone was found with certainty, or that their head was sure. It is less than
// how far back a resumed video is analyzed before it continues, so that it is masked as if it had not been interrupted.
const remembered = 3 * time.Second

// moment is when something was seen; the zero value means never.
type moment struct {
	seen bool
	time time.Duration
}

func (s sighting) moment() moment { return moment{seen: true, time: s.time} }

// counts reports whether what was seen at the moment counts at a given time.
func (m moment) counts(at time.Duration) bool { return m.seen && (at-m.time).Abs() <= remembered }

// analyses counts the frames that were analyzed, and those of them that were surveyed.
type analyses struct{ all, hard int }

func (a *analyses) count(o Observation) {
	if o.Analyzed {
		a.all++
	}
	if o.Analyzed && o.Hard {
		a.hard++
	}
}

// missed returns the number of frames from a sighting to another frame, the latter included, that should have shown the
// person: those surveyed if the usual analysis does not find the person, otherwise all that were analyzed.
func (s sighting) missed(f *frame) int {
	missed, shows := f.analyses.all-s.analyses.all, f.Analyzed
	if s.hidden {
		missed, shows = f.analyses.hard-s.analyses.hard, f.Analyzed && f.Hard
	}
	if f.number >= s.number {
		return missed
	}
	if !shows { // otherwise, the sighting's own frame is counted in its place
		missed++
	}
	return -missed
}

// holds reports whether a track's first or last sighting is held in a frame beyond it. However briefly, it is held for
// the given number of analyzed frames, so that people who are missed once do not blink if few frames are analyzed.
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

// A person counts as gone if they were missed in more than maxMissed frames, over more than briefly, and the picture
// has changed where they were, or their head was never more than a guess.
const (
	maxMissed = 3
	briefly   = 300 * time.Millisecond
)

// covers reports whether a track's first or last sighting covers a frame beyond it: it is held, and the frame does not
// show that the person has left.
func (t *Tracker) covers(tr *track, s sighting, f *frame) bool {
	looks := 1
	if s.guess && len(tr.seen) == 1 { // another analysis has to confirm it
		looks = 0
	}
	return t.holds(tr, s, f, looks) && !s.gone(f, tr.sure.counts(s.time))
}

// gone reports whether a frame shows that the person of a sighting has left or was none: they were missed several
// times, and the picture has changed where they were, or their head was never more than a guess. Without a glance, no
// one is gone.
func (s sighting) gone(f *frame, sure bool) bool {
	if f.Glance == nil || s.glance == nil || s.missed(f) <= maxMissed || (f.Time-s.time).Abs() <= briefly {
		return false
	}
	b := s.head.Bounds()
	return !sure || !f.Glance.Still(s.glance, b.Moved(f.offset.X, f.offset.Y))
}

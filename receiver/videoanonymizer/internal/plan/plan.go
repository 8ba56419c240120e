// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package plan divides a long video into units, which are processed independently: in parallel, or on several machines.
// The units depend only on the source and the configuration, never on who processes them, so that all machines agree on
// them.
package plan

import (
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Unit is a run of a video's frames, counted from 0: First <= frame < End. It begins with a key frame, except maybe the
// first unit. Its frames have From <= PTS < To, in units of the source's time base.
type Unit struct {
	// Number counts the units of the video from 0.
	Number     int
	First, End int
	From, To   int64
}

// Frames returns the number of frames.
func (u Unit) Frames() int { return u.End - u.First }

// Worthwhile reports whether a video of that length may have more than one unit. If not, its frames need not be listed.
func Worthwhile(video, unit time.Duration) bool { return unit > 0 && video >= 2*unit }

// Units divides a video, whose frames are listed in index, into units. A unit ends with the last frame before the first
// key frame at or after a multiple of length, counted from the video's first frame. No unit is shorter than half of
// length, except the only unit of a video that is shorter. Without frames, there are no units.
//
// Each frame is in exactly one unit, in the order of the index, whatever the key frames and the length are.
func Units(timeBase media.Rational, index media.Index, length time.Duration) []Unit {
	times := index.Times
	if len(times) == 0 {
		return nil
	}
	g := grid{
		first: times[0], last: times[len(times)-1],
		step: media.Rescale(int64(length), media.Rational{Num: 1, Den: int64(time.Second)}, timeBase),
	}
	cuts := []int{0}
	for _, key := range index.Keys {
		if i, found := slices.BinarySearch(times, key); found && g.cutsAt(times[cuts[len(cuts)-1]], key) {
			cuts = append(cuts, i)
		}
	}
	units := make([]Unit, len(cuts))
	for n, first := range cuts {
		end, to := len(times), times[len(times)-1]+1
		if n+1 < len(cuts) {
			end, to = cuts[n+1], times[cuts[n+1]]
		}
		units[n] = Unit{Number: n, First: first, End: end, From: times[first], To: to}
	}
	return units
}

// grid determines where units may end. Its times are in units of the time base.
type grid struct{ first, last, step int64 }

// cutsAt reports whether a unit that begins at begun ends before the key frame at key.
func (g grid) cutsAt(begun, key int64) bool {
	if g.step <= 0 || g.last-g.first < 0 { // no length, or the numbers overflow
		return false
	}
	return (key-g.first)/g.step > (begun-g.first)/g.step && key-begun >= g.step/2 && g.last-key >= g.step/2
}

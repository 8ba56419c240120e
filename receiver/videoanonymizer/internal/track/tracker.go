// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Options bound the tracker; the zero value gives the defaults.
type Options struct {
	// LookAhead is how far a sighting reaches back and forth in time; 0 means 1 s.
	LookAhead time.Duration
	// MaxFrames bounds the frames held back, whatever their times; 0 means 75.
	MaxFrames int
	// Geometry tunes how heads are located.
	Geometry mask.GeometryOptions
}

// Observation is what is known of one frame.
type Observation struct {
	// Index counts frames from 0, in order.
	Index int
	// Time is the frame's presentation time.
	Time time.Duration
	// Judged tells that people were looked for; otherwise they are carried from the frames around.
	Judged bool
	// Failed tells that the frame could not be judged; it is masked whole.
	Failed bool
	// Cut tells that a new scene begins with this frame.
	Cut bool
	// People are those found in a judged frame.
	People []vision.Person
	// Width and Height are the frame's size in pixels.
	Width, Height int
}

// Result is what to mask in one frame.
type Result struct {
	Index int
	// Heads to be covered.
	Heads []mask.Head
	// People is the number of persons visible: sighted, or between two sightings.
	People int
	// WholeFrame asks for the whole frame to be masked.
	WholeFrame bool
}

// Tracker follows people through the frames of one video. It is not safe for concurrent use.
type Tracker struct{ pending []Observation }

// New returns a tracker for one video.
func New(opts Options) *Tracker { return &Tracker{} }

// Push takes the next frame and returns the results that are ready, in order, none or several.
func (t *Tracker) Push(o Observation) []Result {
	return []Result{{Index: o.Index, WholeFrame: true}}
}

// Flush returns the results of all frames still held back.
func (t *Tracker) Flush() []Result { return nil }
